package baselines

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"learnedopt/curvature"
	"learnedopt/internal/stream"
	"learnedopt/optimizer"
)

// A parabola is f(θ) = ½ c θ² from θ_0 = 1.
type parabola struct{ c float64 }

func (p parabola) Dim() int             { return 1 }
func (p parabola) Init(theta []float32) { theta[0] = 1 }
func (p parabola) LossGrad(theta, grad []float32) (float64, error) {
	x := float64(theta[0])
	grad[0] = float32(p.c * x)
	return p.c * x * x / 2, nil
}

// parabolas draws curvatures ½ or 2 with equal chance, scaled.
type parabolas struct {
	scale   float64
	sampled *atomic.Int64 // may be nil
	err     error
}

func (f parabolas) Name() string { return "parabolas" }
func (f parabolas) Sample(rng *rand.Rand) (optimizer.Problem, error) {
	if f.sampled != nil {
		f.sampled.Add(1)
	}
	return parabola{f.scale * curveOf(rng)}, f.err
}

func curveOf(rng *rand.Rand) float64 { return []float64{0.5, 2}[rng.IntN(2)] }

// Gradient descent on a parabola has f_t = ½ c (1−αc)^{2t}, so the results of the
// whole grid are known. At α = 3 the flat parabolas converge and the steep parabolas
// overflow: 5^t > 3.4e38 at t = 56.
func TestTuneClosedForm(t *testing.T) {
	const steps, runs, seed = 70, 12, 3
	grid := []float64{0.01, 0.1, 0.3, 0.5, 0.8, 0.95, 3, 10}
	var sampled atomic.Int64
	got, err := Tune(t.Context(), "sgd", TuneConfig{
		Family: parabolas{scale: 1, sampled: &sampled}, Steps: steps, Runs: runs, Grid: grid, Seed: seed,
	})
	if err != nil {
		t.Fatal(err)
	}
	if sampled.Load() != runs {
		t.Errorf("%d instances were sampled for %d runs", sampled.Load(), runs)
	}
	curvatures, steep := make([]float64, runs), 0
	for i := range curvatures {
		if curvatures[i] = curveOf(stream.New(seed, "tune", uint64(i))); curvatures[i] == 2 {
			steep++
		}
	}
	if steep == 0 || steep == runs {
		t.Fatalf("%d of %d instances are steep: choose another seed", steep, runs)
	}
	best, least := -1, math.Inf(1)
	for i, lr := range grid {
		p := got.Grid[i]
		if p.LearningRate != lr {
			t.Fatalf("point %d is at learning rate %v, want %v", i, p.LearningRate, lr)
		}
		if lr > 1 {
			if want := map[float64]int{3: steep, 10: runs}[lr]; p.Diverged != want || !math.IsInf(p.MeanLoss, 1) || !math.IsInf(p.FinalLoss, 1) {
				t.Errorf("learning rate %v: %+v, want %d diverged and infinite losses", lr, p, want)
			}
			continue
		}
		wantMean, wantFinal := 0.0, 0.0
		for _, c := range curvatures {
			for k := range steps + 1 {
				f := c / 2 * math.Pow(1-lr*c, 2*float64(k))
				wantMean += f / (steps + 1) / runs
				if k > steps-5 {
					wantFinal += f / 5 / runs
				}
			}
		}
		if wantMean < least {
			best, least = i, wantMean
		}
		// One step has a few roundings of 2^-24; seventy steps, squared, have an error
		// below 1e-4 in the last losses. The mean is dominated by the first losses.
		if relative(p.MeanLoss, wantMean) > 1e-5 || relative(p.FinalLoss, wantFinal) > 1e-4 || p.Diverged != 0 {
			t.Errorf("learning rate %v: %+v, closed form %v and %v", lr, p, wantMean, wantFinal)
		}
	}
	if got.LearningRate != grid[best] || got.AtEdge || got.Rule != (SGD{LearningRate: grid[best]}) {
		t.Errorf("best is %v (at edge: %v, rule %#v), closed form %v", got.LearningRate, got.AtEdge, got.Rule, grid[best])
	}
}

func relative(got, want float64) float64 { return math.Abs(got-want) / math.Abs(want) }

func TestTuneFlagsTheEdge(t *testing.T) {
	for _, c := range []struct {
		name   string
		scale  float64
		grid   []float64
		best   float64
		atEdge bool
	}{
		{"inside", 1, []float64{0.01, 0.8, 0.99}, 0.8, false},
		{"low", 1, []float64{0.8, 0.99, 3}, 0.8, true},
		{"high", 1, []float64{0.01, 0.1, 0.8}, 0.8, true},
		{"one", 1, []float64{0.8}, 0.8, true},
		// All losses are 0: of equal learning rates the lowest wins.
		{"equal", 0, []float64{0.1, 0.2, 0.3}, 0.1, true},
		// All rates above the best diverge; the best is not at an edge of the grid.
		{"cliff", 1, []float64{0.1, 0.8, 50}, 0.8, false},
	} {
		got, err := Tune(t.Context(), "sgd", TuneConfig{Family: parabolas{scale: c.scale}, Steps: 70, Runs: 6, Grid: c.grid})
		if err != nil || got.LearningRate != c.best || got.AtEdge != c.atEdge {
			t.Errorf("%s: best %v, at edge %v, error %v; want %v, %v", c.name, got.LearningRate, got.AtEdge, err, c.best, c.atEdge)
		}
	}
}

// Tuning rules together or one by one, on one processor or two, gives the same
// results; another seed gives others.
func TestTuneAll(t *testing.T) {
	cfg := TuneConfig{Family: parabolas{scale: 1}, Seed: 5}
	const runs = (10*21 + 1) * 10 // prodigy is not tuned
	last := 0
	cfg.Progress = func(done, total int) {
		if last++; done != last || total != runs {
			t.Errorf("progress %d of %d, want %d of %d", done, total, last, runs)
		}
	}
	all, err := TuneAll(t.Context(), ofGradients(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if last != runs {
		t.Errorf("progress ended at %d", last)
	}
	cfg.Progress = nil
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for i, name := range ofGradients() {
		alone, err := Tune(t.Context(), name, cfg)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(all[i], alone); d != "" {
			t.Errorf("%s together (-) and alone on one processor (+):\n%s", name, d)
		}
		if alone.Name != name || len(alone.Grid) != len(GridFor(name, DefaultGrid())) || alone.Steps != 100 || alone.Runs != 10 || alone.Seed != 5 || alone.Family != "parabolas" {
			t.Errorf("%s: %+v does not say how it was tuned", name, alone)
		}
	}
	cfg.Seed++
	if other, err := Tune(t.Context(), "sgd", cfg); err != nil || cmp.Equal(other.Grid, all[0].Grid) {
		t.Errorf("another seed gave the same grid (error %v)", err)
	}
}

// Rules with curvature are tuned where the problems offer it, and refused by name before the first run where they do not.
func TestTuneWithCurvature(t *testing.T) {
	cfg := TuneConfig{Family: bowls{}, Steps: 5, Runs: 2, Grid: []float64{0.01, 0.1, 1}}
	all, err := TuneAll(t.Context(), []string{"sgd", "natural-gradient", "trust-region"}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if r, ok := all[1].Rule.(curvature.NaturalGradient); !ok || r.LearningRate != 1 || all[1].LearningRate != 1 {
		t.Errorf("natural-gradient is tuned to %+v", all[1])
	}
	if r, ok := all[2].Rule.(curvature.TrustRegion); !ok || r.Radius != all[2].LearningRate {
		t.Errorf("trust-region is tuned to %+v", all[2])
	}
	var need *optimizer.NeedError
	cfg.Progress = func(int, int) { t.Error("a run") }
	for name, family := range map[string]optimizer.Family{"kfac": bowls{}, "natural-gradient": parabolas{scale: 1}, "trust-region": parabolas{scale: 1}} {
		cfg.Family = family
		_, err := TuneAll(t.Context(), []string{"prodigy", "sgd", name}, cfg)
		if !errors.As(err, &need) || !strings.Contains(err.Error(), "baselines: "+name+" on "+family.Name()) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// bowls are functions 50 θ_0² + ½ θ_1² from (1, 1), with their curvature.
type bowls struct{}

func (bowls) Name() string                                 { return "bowls" }
func (bowls) Sample(*rand.Rand) (optimizer.Problem, error) { return bowl{}, nil }

type bowl struct{}

func (bowl) Dim() int             { return 2 }
func (bowl) Init(theta []float32) { theta[0], theta[1] = 1, 1 }
func (bowl) value(theta []float32) float64 {
	return 50*float64(theta[0])*float64(theta[0]) + float64(theta[1])*float64(theta[1])/2
}

func (b bowl) LossGrad(theta, grad []float32) (float64, error) {
	grad[0], grad[1] = 100*theta[0], theta[1]
	return b.value(theta), nil
}

func (bowl) Metrics() optimizer.Metric { return optimizer.Fisher }
func (bowl) CurvatureProduct(dst, _, v []float32, _ optimizer.Metric, _ int) error {
	dst[0], dst[1] = 100*v[0], v[1]
	return nil
}

func (bowl) CanTry() bool { return true }
func (b bowl) Try(theta, to []float32, _ int) (optimizer.Trial, error) {
	u := []float32{to[0] - theta[0], to[1] - theta[1]}
	return optimizer.Trial{Change: b.value(to) - b.value(theta), KL: b.value(u)}, nil
}

func TestTuneErrors(t *testing.T) {
	family := parabolas{scale: 1}
	sound := TuneConfig{Family: family, Steps: 70, Runs: 4}
	broken := errors.New("no data")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		want string
		ctx  context.Context
		name string
		with func(*TuneConfig)
	}{
		{"no family", t.Context(), "sgd", func(c *TuneConfig) { c.Family = nil }},
		{"-1 steps", t.Context(), "sgd", func(c *TuneConfig) { c.Steps = -1 }},
		{"-1 runs", t.Context(), "sgd", func(c *TuneConfig) { c.Runs = -1 }},
		{"grid is empty", t.Context(), "sgd", func(c *TuneConfig) { c.Grid = []float64{} }},
		{"grid[1] is 0.1 after 0.1", t.Context(), "sgd", func(c *TuneConfig) { c.Grid = []float64{0.1, 0.1} }},
		{"grid[0] is 0 after 0", t.Context(), "sgd", func(c *TuneConfig) { c.Grid = []float64{0, 1} }},
		{"grid[0] is NaN", t.Context(), "sgd", func(c *TuneConfig) { c.Grid = []float64{math.NaN()} }},
		{"grid[1] is +Inf", t.Context(), "sgd", func(c *TuneConfig) { c.Grid = []float64{1, math.Inf(1)} }},
		{"did you mean \"sgd\"", t.Context(), "sgdd", func(*TuneConfig) {}},
		{"no data", t.Context(), "sgd", func(c *TuneConfig) { c.Family = parabolas{err: broken} }},
		{context.Canceled.Error(), cancelled, "sgd", func(*TuneConfig) {}},
	} {
		cfg := sound
		c.with(&cfg)
		if got, err := Tune(c.ctx, c.name, cfg); err == nil || !strings.Contains(err.Error(), c.want) || got.Rule != nil {
			t.Errorf("%s: rule %v, error %v", c.want, got.Rule, err)
		}
	}
}

// A rule that diverges at every rate gives an error that names it; the other rules are tuned.
func TestUntunable(t *testing.T) {
	grid := []float64{20, 40}
	got, err := TuneAll(t.Context(), []string{"sgd", "adam"}, TuneConfig{Family: parabolas{scale: 1}, Steps: 70, Runs: 4, Grid: grid})
	var untunable *UntunableError
	if !errors.As(err, &untunable) || *untunable != (UntunableError{"sgd", 20, 40}) {
		t.Fatalf("error %v, want that sgd diverged from 20 to 40", err)
	}
	if got[0].Rule != nil || got[0].LearningRate != 0 || got[0].AtEdge || got[0].Grid[1].Diverged != 4 {
		t.Errorf("the untunable rule is %+v", got[0])
	}
	if got[1].Rule != (Adam{LearningRate: 20}) {
		t.Errorf("the other rule is %+v", got[1])
	}
}

// Prodigy has no learning rate to tune: it runs once, and is returned even if it diverged. A caller's own rule of its name is tuned.
func TestUntuned(t *testing.T) {
	cfg := TuneConfig{Family: parabolas{scale: 1}, Steps: 70, Runs: 4}
	got, err := Tune(t.Context(), "prodigy", cfg)
	if err != nil || len(got.Grid) != 1 || got.LearningRate != 1 || got.AtEdge || got.Rule != (Prodigy{LearningRate: 1}) {
		t.Errorf("prodigy: %+v (%v)", got, err)
	}
	cfg.Family = parabolas{scale: math.Inf(1)}
	lost, err := TuneAll(t.Context(), []string{"prodigy", "adam"}, cfg)
	var untunable *UntunableError
	if !errors.As(err, &untunable) || untunable.Name != "adam" || len(lost) != 2 || lost[0].Rule != got.Rule || lost[0].Grid[0].Diverged != 4 || lost[1].Rule != nil {
		t.Errorf("where every rule diverges: %+v (%v)", lost, err)
	}
	cfg.Family, cfg.New = parabolas{scale: 1}, func(_ string, lr float64) (optimizer.Rule, error) { return SGD{LearningRate: lr}, nil }
	if own, err := Tune(t.Context(), "prodigy", cfg); err != nil || len(own.Grid) != 21 {
		t.Errorf("an own rule of that name has %d learning rates (%v)", len(own.Grid), err)
	}
}

// A Tuned is read back as it was written, with its infinite losses and its rule.
func TestTunedJSON(t *testing.T) {
	cfg := TuneConfig{Family: parabolas{scale: 1}, Steps: 70, Runs: 4, Grid: []float64{0.1, 3, 20}, Seed: math.MaxUint64}
	want, err := TuneAll(t.Context(), []string{"sgd", "rmsprop"}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Grid = cfg.Grid[2:]
	lost, err := Tune(t.Context(), "sgd", cfg)
	if err == nil {
		t.Fatal("sgd does not diverge at 20")
	}
	want = append(want, lost)
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), `{"learning_rate":20,"mean_loss":null,"final_loss":null,"diverged":4}`) {
		t.Errorf("an unusable point is not written with null: %s", data)
	}
	var got []Tuned
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("written (-) and read (+):\n%s", d)
	}
	if err := json.Unmarshal([]byte(`{"name":"admm","learning_rate":1}`), &Tuned{}); err == nil {
		t.Error("a tuned rule of unknown name was read")
	}
}

func ExampleTune() {
	tuned, err := Tune(context.Background(), "nesterov", TuneConfig{Family: parabolas{scale: 1}})
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s: best of %d learning rates %.3f, at the edge: %v\n", tuned.Name, len(tuned.Grid), tuned.LearningRate, tuned.AtEdge)
	// Output: nesterov: best of 21 learning rates 0.316, at the edge: false
}

// Files of results name a grid by its number of learning rates per decade.
func TestGridOf(t *testing.T) {
	if got := GridOf(1); len(got) != 6 || got[0] != 1e-4 || got[3] != 0.1 || got[5] != 10 {
		t.Errorf("one a decade: %v", got)
	}
	grid := GridOf(3)
	if len(grid) != 16 || grid[0] != 1e-4 || grid[15] != 10 || grid[11] != math.Pow(10, -1.0/3) {
		t.Errorf("three a decade: %v", grid)
	}
	for i, lr := range DefaultGrid() {
		if want := math.Pow(10, float64(i-16)/4); lr != want {
			t.Errorf("default learning rate %d is %v, want %v", i, lr, want)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("no learning rate a decade: no panic")
		}
	}()
	GridOf(0)
}

func TestEffort(t *testing.T) {
	for _, c := range [][5]int{ // steps, requested instances and rates, used instances and rates
		{100, 10, 4, 10, 4}, {500, 10, 4, 10, 4}, {1000, 10, 4, 5, 4}, {10000, 10, 4, 2, 3}, {10000, 1, 1, 1, 1}, {10000, 100, 2, 5, 2},
	} {
		if runs, grid := Effort(c[0], c[1], c[2]); runs != c[3] || grid != c[4] {
			t.Errorf("%d steps: %d instances, %d a decade; want %v", c[0], runs, grid, c[3:])
		}
	}
	if rates := len(GridOf(3)); rates < 15 {
		t.Errorf("%d learning rates, want 15", rates)
	}
}

// A caller's own rule is tuned like any other.
func TestTuneAnOwnRule(t *testing.T) {
	own := func(name string, lr float64) (optimizer.Rule, error) {
		switch name {
		case "halved": // SGD at half the learning rate: its best is twice SGD's
			return SGD{LearningRate: lr / 2}, nil
		case "broken":
			return nil, errors.New("no such rule")
		}
		return New(name, lr)
	}
	cfg := TuneConfig{Family: parabolas{scale: 1}, Steps: 20, Runs: 3, Grid: []float64{0.1, 0.2, 0.4, 0.8, 1.6}, New: own}
	tuned, err := TuneAll(context.Background(), []string{"sgd", "halved"}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := tuned[0], tuned[1]; b.LearningRate != 2*a.LearningRate || b.Rule != (SGD{LearningRate: a.LearningRate}) {
		t.Errorf("SGD is best at %v, at half the rate at %v with %+v", a.LearningRate, b.LearningRate, b.Rule)
	}
	if _, err := Tune(context.Background(), "broken", cfg); err == nil || !strings.Contains(err.Error(), "no such rule") {
		t.Errorf("%v", err)
	}
}
