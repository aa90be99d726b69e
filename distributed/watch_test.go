package distributed

import (
	"context"
	"reflect"
	"testing"
	"time"

	"learnedopt/distributed/embedded"
	"learnedopt/distributed/fleet"
)

// The status counts the units of each worker, the windows that were replayed, and what was given out again.
func TestWatch(t *testing.T) {
	server := start(t, embedded.Config{})
	r := parse(t, trainings["backprop"])
	c, n := lead(t, server.URL(), r, Options{})
	stop := hire(t, server.URL(), WorkerConfig{}, nil)
	n.wait(t, "takes part")
	status := func() (got fleet.Status) {
		ctx, cancel := context.WithCancel(t.Context())
		c.Watch(ctx, time.Hour, func(s *fleet.Status) { got = *s; cancel() })
		return got
	}
	x := c.Executor(r.Seed)
	half := r
	half.MetaSteps = 6
	if _, err := train(t.Context(), half, x, nil, nil); err != nil {
		t.Fatal(err)
	}
	got := status()
	if len(got.Workers) != 1 || got.Units != 18 || got.Waiting != 0 || got.Redelivered != 0 {
		t.Fatalf("after 6 meta-steps of 3 units: %+v", got)
	}
	if w := got.Workers[0]; w.Units != 18 || w.Slots != 1 || w.Seconds <= 0 || w.Waiting != 0 || w.Replayed != 0 || w.Process != process() {
		t.Errorf("%+v", w)
	}
	stop()
	hire(t, server.URL(), WorkerConfig{}, func(inner computer) computer { return failingComputer{inner} })
	hire(t, server.URL(), WorkerConfig{}, nil)
	for c.queue.crew.count() < 3 { // the first one is forgotten when there is work
		time.Sleep(10 * time.Millisecond)
	}
	if _, err := train(t.Context(), half, x, nil, nil); err != nil {
		t.Fatal(err)
	}
	if got = status(); got.Units != 36 || got.Redelivered == 0 {
		t.Errorf("a worker fails: %+v", got)
	}
}

func TestRates(t *testing.T) {
	before := fleet.Status{Units: 10, Workers: []fleet.Worker{{Name: "a", Units: 4}, {Name: "back", Units: 6}}}
	now := fleet.Status{Units: 20, Workers: []fleet.Worker{{Name: "a", Units: 8}, {Name: "back", Units: 1}, {Name: "new", Units: 6}}}
	rates(&now, &before, 2*time.Second)
	want := fleet.Status{Units: 20, Rate: 5, Workers: []fleet.Worker{{Name: "a", Units: 8, Rate: 2}, {Name: "back", Units: 1}, {Name: "new", Units: 6, Rate: 3}}}
	if !reflect.DeepEqual(now, want) {
		t.Errorf("%+v", now)
	}
}
