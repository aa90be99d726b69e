package distributed

import (
	"testing"

	"learnedopt/distributed/embedded"
	"learnedopt/internal/cputime"
	"learnedopt/metatrain"
	"learnedopt/recipe"
)

// BenchmarkTakeover has a worker go on with an episode of MNIST that another one computed: by replaying its window, or with its state,
// which travels through the server. The crossover is the number of windows whose replay takes as much processor time as the state's
// journey.
func BenchmarkTakeover(b *testing.B) {
	r, err := recipe.Parse([]byte(`{"defaults": 2, "task": {"name": "mnist"}, "steps": 1000, "meta_batch": 1, "meta_steps": 1000}`))
	if err != nil {
		b.Fatal(err)
	}
	r = r.WithDefaults()
	sum, err := r.Checksum("")
	if err != nil {
		b.Skip(err)
	}
	server := start(b, embedded.Config{})
	c, err := Coordinate(b.Context(), connect(b, server.URL()), Training{Recipe: r, Data: sum}, Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	hire := func() *trainee {
		t, err := newTrainee(&job{Recipe: &r, Data: sum}, nil, c.queue.kv, c.queue.store, WorkerConfig{})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { t.close(false) })
		return t
	}
	first := hire()
	phi := writePhi(first.net.Params())
	key := digestOf(phi)
	if err := c.keep(b.Context(), key, phi); err != nil {
		b.Fatal(err)
	}
	compute := func(t *trainee, u *unitMessage) *resultMessage {
		body, err := u.marshal()
		if err != nil {
			b.Fatal(err)
		}
		answer, _, err := t.compute(b.Context(), body)
		if err != nil {
			b.Fatal(err)
		}
		m, err := readResult(answer)
		if err != nil {
			b.Fatal(err)
		}
		return m
	}
	unit := func(windows int) *unitMessage {
		u := &unitMessage{Phi: key, Unit: metatrain.Unit{Length: r.Steps, Step: windows * r.Unroll, Window: r.Unroll}, From: begin(0, 0, r.Steps)}
		for range windows {
			u.From = next(u.From, key, r.Unroll)
			u.History = append(u.History, key)
		}
		return u
	}
	compute(hire(), unit(0)) // the data sets are read
	var window, replay, travel float64
	seconds := func(f func()) float64 {
		before := cputime.Used()
		f()
		return (cputime.Used() - before).Seconds()
	}
	for b.Loop() {
		from := hire()
		compute(from, unit(0))
		window += seconds(func() { compute(from, unit(1)) }) // a worker that holds the episode
		other := hire()
		replay += seconds(func() { compute(other, unit(1)) }) // one that replays a window
		u, third := unit(2), hire()
		u.Phi = ""
		travel += seconds(func() {
			m := compute(from, u)
			u.Phi, u.Base, u.BaseStep, u.History = key, m.Object, u.Step, nil
			compute(third, u) // one that gets the state
		})
	}
	n := float64(b.N)
	b.ReportMetric(window/n*1000, "window-cpu-ms")
	b.ReportMetric((replay-window)/n*1000, "replay-cpu-ms")
	b.ReportMetric((travel-window)/n*1000, "state-cpu-ms")
	b.ReportMetric((travel-window)/(replay-window), "windows-at-crossover")
}
