package distributed

import (
	"testing"

	"learnedopt/distributed/embedded"
	"learnedopt/metatrain"
)

// An episode that a worker holds counts as one unit, whether the unit of this meta-step was given out already or not.
func TestPlaceCountsEpisodesOnce(t *testing.T) {
	c := newCrew(&queue{})
	c.workers["a"] = &member{name: "a", slots: 1, held: 2}
	c.workers["b"] = &member{name: "b", slots: 1, held: 3}
	for range 2 {
		if got := c.place(&piece{prefer: "a"}); got.worker != "a" {
			t.Fatalf("an episode of a goes to %s", got.worker)
		}
	}
	fresh := []*piece{{}, {}, {}}
	want := []string{"a", "a", "b"} // then a has 3, 4, 4 and b 3, 3, 4
	for i, p := range fresh {
		if got := c.place(p); got.worker != want[i] {
			t.Errorf("new episode %d goes to %s, want %s", i, got.worker, want[i])
		}
	}
	c.done(fresh[0], &answer{Worker: "a"})
	c.drop(fresh[1], "a")
	if a, b := c.workers["a"], c.workers["b"]; a.fresh != 0 || a.pending != 2 || b.fresh != 1 || b.pending != 1 {
		t.Errorf("a has %d new ones of %d, b %d of %d", a.fresh, a.pending, b.fresh, b.pending)
	}
}

// The same units may be asked for again: the server has seen them and their answers, and drops neither.
func TestSameUnitsAgain(t *testing.T) {
	server := start(t, embedded.Config{})
	r := parse(t, `"meta_steps": 2, "meta_batch": 3`)
	c, _ := lead(t, server.URL(), r, Options{})
	hire(t, server.URL(), WorkerConfig{}, nil)
	want := alone(t, r)
	for range 2 {
		var x metatrain.Executor = c.Executor(r.Seed)
		got, err := train(t.Context(), r, x, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, want)
	}
}
