// Package fleet is what a coordinator knows of its workers, as a file in the folder of its run: for programs that show it and
// know nothing of the network between the machines.
package fleet

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"

	"learnedopt/internal/durable"
)

// File is the name of the file in the run folder. The coordinator replaces it every few seconds and removes it when it ends; a
// killed one leaves it.
const File = "workers.json"

// A Status is the state of a queue and of its workers.
type Status struct {
	// Units is the number of answers that the coordinator has used, and Rate their number a second of late.
	Units int     `json:"units"`
	Rate  float64 `json:"units_per_second"`
	// Waiting is the number of pieces of work whose answers the coordinator waits for: the depth of the queue. Redelivered is the number
	// of copies of pieces that it gave out again so far, because a worker died, was slow or could not compute them.
	Waiting     int      `json:"waiting"`
	Redelivered int      `json:"redelivered"`
	Workers     []Worker `json:"workers"`
}

// A Worker is one worker.
type Worker struct {
	Name    string `json:"name"`
	Process string `json:"process"`
	// Slots is the number of units that it computes at a time.
	Slots int `json:"slots"`
	// Units is the number of its answers that were used, and Rate their number a second of late.
	Units int     `json:"units"`
	Rate  float64 `json:"units_per_second"`
	// Seconds is the time of one unit, smoothed; 0 before the first.
	Seconds float64 `json:"unit_seconds"`
	// Waiting is the number of pieces of work that it has, Held of episodes, and Replayed of windows that it computed again.
	Waiting  int `json:"waiting"`
	Held     int `json:"held"`
	Replayed int `json:"replayed"`
}

// Slowest returns the index of the worker whose units take longest, or -1 if none has computed any.
func (s *Status) Slowest() int {
	slowest := -1
	for i, w := range s.Workers {
		if w.Seconds > 0 && (slowest < 0 || w.Seconds > s.Workers[slowest].Seconds) {
			slowest = i
		}
	}
	return slowest
}

// Write replaces the file in a run folder.
func Write(dir string, s *Status) error {
	data, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("fleet: %w", err)
	}
	return durable.Replace(filepath.Join(dir, File), data)
}

// Bounds of what is read.
const (
	MaxSize    = 4 << 20 // bytes
	maxWorkers = 1 << 12
)

// Read reads the content of a file. It refuses what Write would not write.
func Read(data []byte) (*Status, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("fleet: %d bytes, at most %d", len(data), MaxSize)
	}
	var s Status
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	if len(s.Workers) > maxWorkers {
		return nil, fmt.Errorf("fleet: %d workers, at most %d", len(s.Workers), maxWorkers)
	}
	least, most := min(s.Units, s.Waiting, s.Redelivered), s.Rate
	for _, w := range s.Workers {
		least = min(least, w.Slots, w.Units, w.Waiting, w.Held, w.Replayed)
		most = math.Max(most, math.Max(w.Rate, w.Seconds))
		if w.Rate < 0 || w.Seconds < 0 {
			least = -1
		}
	}
	if least < 0 || s.Rate < 0 || most > math.MaxInt32 {
		return nil, errors.New("fleet: a number of units or seconds that cannot be")
	}
	slices.SortFunc(s.Workers, func(a, b Worker) int { return cmp.Compare(a.Name, b.Name) })
	return &s, nil
}
