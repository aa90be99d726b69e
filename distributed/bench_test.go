package distributed

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"learnedopt/distributed/embedded"
	"learnedopt/internal/cputime"
	"learnedopt/metatrain"
	"learnedopt/recipe"
	"learnedopt/sweep"
	"learnedopt/tasks"
)

// sleeper sleeps in place of computing.
type sleeper struct {
	computer
	span time.Duration
}

// answerSize is the size of the gradient of a network with 5,061 parameters.
const answerSize = 8 * 5061

func (s sleeper) compute(_ context.Context, body []byte) ([]byte, int, error) {
	time.Sleep(s.span)
	return append(make([]byte, answerSize), body...), 0, nil
}

// BenchmarkQueue gives out eight pieces of work for each worker, which sleeps in place of computing: 0 s measures what the queue
// adds to a unit, 50 ms and 500 ms how 40 workers compare with one, and 5 s what it costs to watch workers. The processor time is that
// of coordinator, server and workers together.
func BenchmarkQueue(b *testing.B) {
	for _, c := range []struct {
		workers int
		span    time.Duration
	}{{1, 0}, {1, 50 * time.Millisecond}, {40, 50 * time.Millisecond}, {1, time.Second / 2}, {40, time.Second / 2}, {40, 5 * time.Second}} {
		b.Run(fmt.Sprintf("%d workers, %v a unit", c.workers, c.span), func(b *testing.B) {
			server := start(b, embedded.Config{})
			lead, n := lead(b, server.URL(), parse(b, trainings["backprop"]), Options{})
			for range c.workers {
				hire(b, server.URL(), WorkerConfig{}, func(inner computer) computer { return sleeper{inner, c.span} })
			}
			for lead.queue.crew.count() < c.workers {
				time.Sleep(10 * time.Millisecond)
			}
			units := 0
			before := cputime.Used()
			for b.Loop() {
				var pieces []*piece
				for range 8 * c.workers {
					pieces = append(pieces, &piece{id: fmt.Sprint("p", units), body: []byte("work")})
					units++
				}
				if err := lead.queue.run(b.Context(), pieces, func(*piece, *answer) error { return nil }); err != nil {
					b.Fatal(err, n)
				}
			}
			b.ReportMetric((cputime.Used()-before).Seconds()*1000/float64(units), "cpu-ms/unit")
			b.ReportMetric(b.Elapsed().Seconds()*1000/float64(units), "ms/unit")
			b.ReportMetric(float64(units)/b.Elapsed().Seconds(), "units/s")
		})
	}
}

// BenchmarkMetaStep takes meta-steps with eight episodes of MNIST, in this process and with two workers in it, which has the same
// cores.
func BenchmarkMetaStep(b *testing.B) {
	r, err := recipe.Parse([]byte(`{"defaults": 2, "task": {"name": "mnist"}, "meta_batch": 8, "meta_steps": 1000}`))
	if err != nil {
		b.Fatal(err)
	}
	cfg, err := r.Config(recipe.Local{})
	if err != nil {
		b.Skip(err)
	}
	sum, err := r.Checksum("")
	if err != nil {
		b.Fatal(err)
	}
	for _, workers := range []int{0, 2} {
		b.Run(fmt.Sprintf("%d workers", workers), func(b *testing.B) {
			if workers > 0 {
				server := start(b, embedded.Config{})
				c, err := Coordinate(b.Context(), connect(b, server.URL()), Training{Recipe: r, Data: sum}, Options{})
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(c.Close)
				for range workers {
					hire(b, server.URL(), WorkerConfig{}, nil)
				}
				for c.queue.crew.count() < workers {
					time.Sleep(10 * time.Millisecond)
				}
				cfg.Executor = c.Executor(r.Seed)
			}
			trainer, err := metatrain.NewTrainer(cfg)
			if err != nil {
				b.Fatal(err)
			}
			defer trainer.Close()
			for range 2 {
				if err := trainer.Step(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				if err := trainer.Step(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSweep runs sweeps of 1,000 tiny cells, in this process and with workers in it. A worker that computes nothing remembers its answers
// of a first sweep: what is left then is what the queue and the files cost. Steps are not timed, which takes milliseconds a rule.
func BenchmarkSweep(b *testing.B) {
	const cells = 1000
	var values []string
	for i := range cells {
		values = append(values, fmt.Sprint(1+float64(i)/cells))
	}
	axis, err := sweep.NewAxis("loss-scale", values)
	if err != nil {
		b.Fatal(err)
	}
	p := sweptPlan(b, func(c *sweep.Config) {
		c.Task = tasks.MustParse("quadratic dims=1 batch=1")
		c.Axes, c.Steps, c.Runs, c.Rules, c.TuneLearned, c.KLGuard, c.Tune, c.Times = []sweep.Axis{axis}, 2, 1, nil, false, 0, sweep.TuneCell, false
	})
	for _, where := range []string{"in process", "one worker", "two workers", "one worker that computes nothing"} {
		b.Run(where, func(b *testing.B) {
			server := start(b, embedded.Config{})
			var mu sync.Mutex
			known := map[string][]byte{}
			wrap := map[string]func(computer) computer{"one worker that computes nothing": func(inner computer) computer { return remembering{inner, &mu, known} }}[where]
			workers := map[string]int{"in process": 0, "two workers": 2}
			n, many := workers[where]
			if !many {
				n = 1
			}
			for range n {
				hire(b, server.URL(), WorkerConfig{}, wrap)
			}
			sweepOnce := func() {
				var x sweep.Executor
				if n > 0 {
					c, notes := leadSweep(b, server.URL(), p, Options{})
					defer c.Close()
					notes.waitTimes(b, "takes part", n)
					x = c
				}
				b.StartTimer()
				defer b.StopTimer()
				if _, err := run(b.Context(), b.TempDir(), p, x); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			if wrap != nil {
				sweepOnce()
			}
			b.ResetTimer()
			used := cputime.Used()
			for range b.N {
				sweepOnce()
			}
			b.ReportMetric(cells*float64(b.N)/b.Elapsed().Seconds(), "cells/s")
			b.ReportMetric(1000*(cputime.Used()-used).Seconds()/float64(cells*b.N), "CPU-ms/cell")
		})
	}
}

// remembering computes every piece once.
type remembering struct {
	computer
	mu    *sync.Mutex
	known map[string][]byte
}

func (r remembering) compute(ctx context.Context, body []byte) ([]byte, int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if answer, ok := r.known[string(body)]; ok {
		return answer, 0, nil
	}
	answer, n, err := r.computer.compute(ctx, body)
	r.known[string(body)] = answer
	return answer, n, err
}
