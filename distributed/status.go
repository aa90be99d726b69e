package distributed

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// A Status is what goes on on a server.
type Status struct {
	Jobs    []JobStatus `json:"jobs"`
	Workers []Presence  `json:"workers"`
}

// A JobStatus is the state of one job.
type JobStatus struct {
	ID string `json:"id"`
	// Kind is "training" or "sweep", and Coordinator its process.
	Kind        string `json:"kind"`
	Coordinator string `json:"coordinator"`
	// Waiting is the number of pieces of work in the queue that no worker has, and Taken of those that one has. Redelivered is
	// the number of pieces, of those that are taken, that were given out more than once.
	Waiting     int `json:"waiting"`
	Taken       int `json:"taken"`
	Redelivered int `json:"redelivered"`
}

// Listen listens for a while to what coordinators and workers of a server say, and looks at the queues.
func Listen(ctx context.Context, c *Conn, span time.Duration) (*Status, error) {
	var mu sync.Mutex
	jobs, workers := map[string]heartbeat{}, map[string]Presence{}
	alive, err := c.nc.Subscribe(aliveSubject, func(m *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		if p, err := readPresence(m.Data); err == nil && len(workers) < maxSlots {
			workers[p.Name] = p
		}
	})
	if err != nil {
		return nil, fmt.Errorf("distributed: %w", err)
	}
	defer func() { _ = alive.Unsubscribe() }()
	going, err := c.nc.Subscribe(jobSubject, func(m *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		var h heartbeat
		if len(m.Data) <= maxText && json.Unmarshal(m.Data, &h) == nil && validName(h.Job) && len(jobs) < maxJobs {
			jobs[h.Job] = h
		}
	})
	if err != nil {
		return nil, fmt.Errorf("distributed: %w", err)
	}
	defer func() { _ = going.Unsubscribe() }()
	if err := c.nc.Publish(helloSubject, nil); err != nil {
		return nil, fmt.Errorf("distributed: %w", err)
	}
	if err := sleep(ctx, span); err != nil {
		return nil, err
	}
	mu.Lock()
	defer mu.Unlock()
	s := &Status{}
	for _, id := range slices.Sorted(maps.Keys(jobs)) {
		h := jobs[id]
		if h.Ended {
			continue
		}
		j := JobStatus{ID: id, Kind: h.Kind, Coordinator: h.Process}
		if stream, err := c.js.Stream(ctx, workStream(id)); err == nil {
			consumers := stream.ListConsumers(ctx)
			for info := range consumers.Info() {
				j.Waiting += int(info.NumPending)
				j.Taken += info.NumAckPending
				j.Redelivered += info.NumRedelivered
			}
		}
		s.Jobs = append(s.Jobs, j)
	}
	for _, name := range slices.Sorted(maps.Keys(workers)) {
		s.Workers = append(s.Workers, workers[name])
	}
	return s, nil
}
