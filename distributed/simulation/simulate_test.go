package simulation

import (
	"fmt"
	"math"
	"testing"
)

// plain are machines that all have the same speed, and a queue that costs nothing.
var plain = Figures{Unit: 0.5, Link: math.MaxFloat64}

func run(t *testing.T, c Config) Result {
	t.Helper()
	r, err := Run(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-9*math.Abs(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// Without costs and differences, workers are as many times as fast as one as they are; those without an episode have nothing to do.
func TestWithoutCosts(t *testing.T) {
	for _, c := range []struct{ workers, batch, rounds int }{{1, 1, 1}, {1, 3, 3}, {4, 4, 1}, {4, 6, 2}, {8, 2, 1}} {
		r := run(t, Config{Workers: c.workers, Batch: c.batch, Windows: 5, Steps: 50, Figures: plain})
		near(t, fmt.Sprint(c, " rate"), r.Rate(), float64(c.batch)/(0.5*float64(c.rounds)))
		near(t, fmt.Sprint(c, " busy"), r.Busy, float64(c.batch)/float64(c.rounds*c.workers))
		if r.Replayed != 0 || r.Failures != 0 || r.MostStale != 0 {
			t.Errorf("%v: %+v", c, r)
		}
	}
}

// One worker's unit takes all of its parts one after another.
func TestPartsOfAUnit(t *testing.T) {
	f := Figures{Unit: 0.5, Latency: 0.01, Queue: 0.02, Watch: 0.5, Step: 0.03, Gradient: 10, Phi: 5, Link: 1000}
	r := run(t, Config{Workers: 1, Batch: 1, Windows: 5, Steps: 50, Figures: f})
	near(t, "seconds of a meta-step", r.Seconds/float64(r.MetaSteps), 0.5+4*0.01+0.02/(1-0.5)+0.03+15./1000)
	f.Valid, f.ValidEvery = 7, 10
	r = run(t, Config{Workers: 1, Batch: 1, Windows: 5, Steps: 50, Figures: f})
	near(t, "with validations", r.Seconds, 40*0.625+4*7)
	near(t, "share of validations", r.Paused, 4*7/(40*0.625+4*7))
}

// The queue bounds the rate, however many workers there are.
func TestQueueSaturates(t *testing.T) {
	f := plain
	f.Queue = 0.01
	for _, workers := range []int{100, 1000} {
		r := run(t, Config{Workers: workers, Batch: 4 * workers, Windows: 5, Steps: 20, Figures: f})
		if r.Rate() > 100*(1+1e-9) || r.Rate() < 80 || r.Queue < 0.8 || r.Queue > 1+1e-9 {
			t.Errorf("%d workers: %v units/s, the queue at work %v", workers, r.Rate(), r.Queue)
		}
	}
}

// No gradient is older than the bound, and each mode with the bound 0 is the synchronous meta-step.
func TestStaleness(t *testing.T) {
	f := Measured()
	f.Lifetime, f.Away, f.Spread, f.Jitter = 200, 5, 0.5, 0.5
	base := Config{Workers: 7, Batch: 11, Windows: 5, Steps: 400, Figures: f}
	sync := run(t, base)
	if sync.Failures == 0 || sync.Replayed == 0 {
		t.Fatalf("no worker failed: %+v", sync)
	}
	for _, mode := range []Mode{Bounded, Delayed} {
		for _, stale := range []int{0, 1, 2, 5} {
			c := base
			c.Mode, c.Stale = mode, stale
			r := run(t, c)
			if r.MostStale > stale || stale > 0 && r.MostStale == 0 {
				t.Errorf("mode %d, at most %d old: %d", mode, stale, r.MostStale)
			}
			if mode == Delayed && r.MeanStale != float64(stale) {
				t.Errorf("a mean age of %v, want exactly %d", r.MeanStale, stale)
			}
			if stale == 0 && r != sync {
				t.Errorf("mode %d is not the synchronous one: %+v and %+v", mode, r, sync)
			}
			if r.Units != c.Batch*r.MetaSteps || r.Busy > 1 {
				t.Errorf("mode %d: %+v", mode, r)
			}
		}
	}
}

// A failed worker's episodes are replayed from the last saved state.
func TestSavedStatesShortenReplays(t *testing.T) {
	f := plain
	f.Lifetime, f.Away, f.Notice = 300, 10, 1
	c := Config{Workers: 10, Batch: 20, Windows: 50, Steps: 2000, Figures: f}
	long := run(t, c)
	c.SaveEvery = 5
	short := run(t, c)
	if long.Failures == 0 || short.Failures == 0 || short.Replayed*3 > long.Replayed {
		t.Errorf("%d windows replayed after %d failures, with saved states %d after %d", long.Replayed, long.Failures, short.Replayed, short.Failures)
	}
}

func TestDeterminism(t *testing.T) {
	c := Config{Workers: 10, Batch: 20, Windows: 5, Steps: 100, Seed: 1, Figures: Measured()}
	first := run(t, c)
	if second := run(t, c); first != second {
		t.Errorf("%+v, then %+v", first, second)
	}
	c.Seed = 2
	if other := run(t, c); other == first {
		t.Error("another seed changes nothing")
	}
}

func TestValidate(t *testing.T) {
	good := Config{Workers: 1, Batch: 1, Windows: 1, Steps: 5, Figures: Measured()}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"workers": func(c *Config) { c.Workers = 0 }, "stale": func(c *Config) { c.Stale = -1 }, "mode": func(c *Config) { c.Mode = 9 },
		"unit": func(c *Config) { c.Unit = 0 }, "nan": func(c *Config) { c.Spread = math.NaN() }, "watch": func(c *Config) { c.Watch = 1 },
	} {
		c := good
		change(&c)
		if _, err := Run(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
