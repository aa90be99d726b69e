package distributed

import (
	"testing"
	"time"

	"learnedopt/distributed/embedded"
	"learnedopt/metatrain"
)

// A worker that ends in order leaves the states of its episodes on the server. Another one goes on from them: it replays nothing, and
// nothing of them stays there.
func TestLeavingWorker(t *testing.T) {
	server := start(t, embedded.Config{})
	r := parse(t, trainings["imitation of rules"])
	c, n := lead(t, server.URL(), r, Options{})
	stop := hire(t, server.URL(), WorkerConfig{}, nil)
	n.wait(t, "takes part")
	left := 0
	got, err := train(t.Context(), r, c.Executor(r.Seed), nil, func(tr *metatrain.Trainer) error {
		if tr.MetaSteps() == 6 && left == 0 { // episodes of four windows
			stop()
			objects, err := c.queue.store.List(t.Context())
			if err != nil {
				return err
			}
			left = len(objects)
			hire(t, server.URL(), WorkerConfig{}, nil)
			for c.queue.crew.count() < 2 { // the first is forgotten at the next review
				time.Sleep(10 * time.Millisecond)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, alone(t, r))
	s := c.queue.crew.status()
	if left == 0 || len(s.Workers) != 1 || s.Workers[0].Replayed != 0 {
		t.Errorf("%d states were left, and %+v", left, s)
	}
	if objects, err := c.queue.store.List(t.Context()); err == nil && len(objects) > 0 {
		t.Errorf("%d objects stay", len(objects))
	}
}

// The states of a job that has ended are of no use.
func TestEndedJobLeavesNothing(t *testing.T) {
	server := start(t, embedded.Config{})
	r := parse(t, `"meta_steps": 2, "meta_batch": 2`)
	c, _ := lead(t, server.URL(), r, Options{})
	leaves := make(chan bool, 1)
	hire(t, server.URL(), WorkerConfig{}, func(inner computer) computer { return &closing{inner, leaves} })
	if _, err := train(t.Context(), r, c.Executor(r.Seed), nil, nil); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if <-leaves {
		t.Error("the worker sends states of a job that has ended")
	}
}

// closing says how it is closed.
type closing struct {
	computer
	leaves chan<- bool
}

func (c *closing) close(leaves bool) {
	c.leaves <- leaves
	c.computer.close(leaves)
}
