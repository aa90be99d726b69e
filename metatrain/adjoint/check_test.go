package adjoint_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/floats"

	"learnedopt/compare"
	"learnedopt/internal/stream"
	"learnedopt/lstm"
	"learnedopt/metatrain/adjoint"
	"learnedopt/optimizer"
)

func checkConfig(t *testing.T) adjoint.CheckConfig {
	t.Helper()
	s := settings(t, lstm.Config{Hidden: 3, Inputs: lstm.Raw, Layers: 1, Scale: 1})[0]
	return adjoint.CheckConfig{Family: quartics{2}, Network: s.net, Steps: 6, Unrolls: []int{3, 2}, Episodes: 3, Seed: 8}
}

// TestCheckAgainstTheSystem compares every number of a report with gradients of the oracle. The estimator rounds to 1e-6
// of a gradient (TestMasksAreModes), which changes a norm or a cosine by as much.
func TestCheckAgainstTheSystem(t *testing.T) {
	cfg := checkConfig(t)
	calls := 0
	cfg.Progress = func(done, total int) {
		if calls++; done != calls || total != 3*(2*3+1) {
			t.Errorf("progress %d of %d at call %d", done, total, calls)
		}
	}
	r, err := adjoint.Check(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if r.Task != "quartics" || r.Steps != 6 || r.Episodes != 3 || r.LeftOut != 0 || r.Seed != 8 ||
		r.Parameters != len(cfg.Network.Params()) || calls != 21 || len(r.Unrolls) != 3 {
		t.Fatalf("%+v after %d calls", r, calls)
	}

	var systems []*adjoint.System
	for e := range 3 {
		p, err := cfg.Family.Sample(stream.New(8, "check", uint64(e)))
		if err != nil {
			t.Fatal(err)
		}
		systems = append(systems, assemble(t, adjoint.Problem{
			Network: cfg.Network.Config(), Phi: widen(cfg.Network.Params()), Loss: loss,
			Theta0: widen(p.(*quartic).start), Steps: 6,
		}))
	}
	gradients := func(m adjoint.Mask) (each [][]float64, sum []float64) {
		sum = make([]float64, r.Parameters)
		for _, sys := range systems {
			each = append(each, solve(t, sys, m).Gradient)
			floats.Add(sum, each[len(each)-1])
		}
		return each, sum
	}
	cos := func(a, b []float64) float64 { return floats.Dot(a, b) / floats.Norm(a, 2) / floats.Norm(b, 2) }
	whole, wholeSum := gradients(adjoint.Mask{})
	for i, k := range []int{2, 3, 6} {
		row := r.Unrolls[i]
		if row.Unroll != k {
			t.Fatalf("row %d is of unroll %d, want %d", i, row.Unroll, k)
		}
		for first, got := range map[bool]adjoint.Agreement{true: row.FirstOrder, false: row.SecondDerivatives} {
			each, sum := gradients(adjoint.Mask{FirstOrder: first, Unroll: k})
			want := []float64{floats.Norm(sum, 2) / 3, cos(sum, wholeSum)}
			is := []float64{float64(got.Norm), float64(got.Cosine)}
			for e := range whole {
				want, is = append(want, cos(each[e], whole[e])), append(is, float64(got.EpisodeCosines[e]))
			}
			if !floats.EqualApprox(is, want, 1e-5) {
				t.Errorf("unroll %d, first order %v: norm and cosines %v, want %v", k, first, is, want)
			}
		}
	}
	if last := r.Unrolls[2]; math.Abs(float64(last.SecondDerivatives.Cosine)-1) > 1e-12 || last.FirstOrder.Cosine > 0.999 {
		t.Errorf("cosines of the whole horizon are %g, and %g in first order", last.SecondDerivatives.Cosine, last.FirstOrder.Cosine)
	}
}

// TestNudgedStarts: on a smooth problem, a nudge by a millionth changes the whole gradient by little more than a millionth,
// but not by 0. On a problem that magnifies its start, the nudge changes the gradient completely.
func TestNudgedStarts(t *testing.T) {
	cfg := checkConfig(t)
	r, err := adjoint.Check(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	whole := r.Unrolls[2].SecondDerivatives
	if d := math.Abs(float64(r.Nudged.Norm/whole.Norm - 1)); d == 0 || d > 1e-4 {
		t.Errorf("the norm moves by %g of itself", d)
	}
	if d := math.Abs(float64(r.Nudged.Cosine - 1)); d > 1e-4 || len(r.Nudged.EpisodeCosines) != 3 {
		t.Errorf("%+v", r.Nudged)
	}
	cfg.Family = rough{}
	if r, err = adjoint.Check(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if slices.Max(r.Nudged.EpisodeCosines) > -0.5 {
		t.Errorf("cosines on a rough problem are %v", r.Nudged.EpisodeCosines)
	}
}

// rough is f(θ) = cθ in one dimension from θ_0 = 0, where c = cos(10⁷θ_0). So c is 1, and nearly −1 from both nudged
// starts.
type rough struct {
	t     int
	slope float32
}

func (rough) Name() string                                 { return "rough" }
func (rough) Sample(*rand.Rand) (optimizer.Problem, error) { return &rough{}, nil }
func (*rough) Dim() int                                    { return 1 }
func (*rough) Init(theta []float32)                        { clear(theta) }
func (r *rough) Seek(t int)                                { r.t = t }
func (*rough) Metrics() optimizer.Metric                   { return optimizer.Hessian }
func (*rough) CurvatureProduct(dst, theta, v []float32, _ optimizer.Metric, _ int) error {
	clear(dst)
	return nil
}
func (r *rough) LossGrad(theta, grad []float32) (float64, error) {
	if r.t == 0 {
		r.slope = float32(math.Cos(1e7 * float64(theta[0])))
	}
	grad[0] = r.slope
	r.t++
	return float64(grad[0] * theta[0]), nil
}

// In a window of one step no gradient depends on φ. So there are no second derivatives, and both modes give the same
// numbers.
func TestWindowsOfOneStep(t *testing.T) {
	cfg := checkConfig(t)
	cfg.Unrolls = []int{1}
	r, err := adjoint.Check(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := r.Unrolls[0].FirstOrder, r.Unrolls[0].SecondDerivatives; math.Abs(float64(a.Norm/b.Norm-1)) > 1e-6 ||
		math.Abs(float64(a.Cosine-b.Cosine)) > 1e-6 {
		t.Errorf("%+v and %+v", a, b)
	}
}

// broken draws quartic functions. If every is true for an episode, its loss is NaN from step 4 on. closed counts closed
// problems.
type broken struct {
	quartics
	every  func(sample int) bool
	sample *int
	closed *int
}

type breaking struct {
	*quartic
	closed *int
}

func (b breaking) Close() error { *b.closed++; return nil }
func (b breaking) LossGrad(theta, grad []float32) (float64, error) {
	at := b.t
	f, err := b.quartic.LossGrad(theta, grad)
	if at >= 4 {
		f = math.NaN()
	}
	return f, err
}

func (b broken) Sample(rng *rand.Rand) (optimizer.Problem, error) {
	*b.sample++
	p, err := b.quartics.Sample(rng)
	if b.every(*b.sample) {
		return breaking{p.(*quartic), b.closed}, err
	}
	return p, err
}

func TestEpisodesThatDiverge(t *testing.T) {
	cfg := checkConfig(t)
	var samples, closed, calls int
	cfg.Family = broken{quartics{2}, func(i int) bool { return i == 2 }, &samples, &closed}
	cfg.Progress = func(done, total int) { calls++ }
	r, err := adjoint.Check(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if r.Episodes != 2 || r.LeftOut != 1 || len(r.Unrolls[0].FirstOrder.EpisodeCosines) != 2 || closed != 1 || calls != 21 {
		t.Errorf("%+v, %d closed, %d calls", r, closed, calls)
	}

	// The numbers equal the numbers of the other two episodes.
	cfg.Progress = nil
	cfg.Family, cfg.Episodes = quartics{2}, 1
	one, err := adjoint.Check(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := r.Unrolls[0].FirstOrder.EpisodeCosines[0], one.Unrolls[0].FirstOrder.Cosine; got != want {
		t.Errorf("cosine of the first episode is %g, alone %g", got, want)
	}

	samples, cfg.Episodes = 0, 2
	cfg.Family = broken{quartics{2}, func(int) bool { return true }, &samples, &closed}
	_, err = adjoint.Check(t.Context(), cfg)
	var diverged *optimizer.DivergedError
	if !errors.As(err, &diverged) || diverged.Step != 4 || diverged.What != "loss" || !strings.Contains(err.Error(), "episode 0") {
		t.Errorf("error %v, want a divergence at step 4 of episode 0", err)
	}
	if closed != 3 {
		t.Errorf("%d problems were closed, want 3", closed)
	}
}

// A network with finite updates and a non-finite meta-gradient counts as diverged. Here λ, a sum of gradients, overflows
// float32.
func TestGradientsThatOverflow(t *testing.T) {
	cfg := checkConfig(t)
	cfg.Family = steep{}
	_, err := adjoint.Check(t.Context(), cfg)
	var diverged *optimizer.DivergedError
	if !errors.As(err, &diverged) || diverged.What != "meta-gradient" {
		t.Errorf("error %v, want a meta-gradient that is not finite", err)
	}
}

type steep struct{}

func (steep) Name() string                                    { return "steep" }
func (s steep) Sample(*rand.Rand) (optimizer.Problem, error)  { return s, nil }
func (steep) Dim() int                                        { return 1 }
func (steep) Init(theta []float32)                            { theta[0] = 1 }
func (steep) LossGrad(theta, grad []float32) (float64, error) { grad[0] = 3e38; return 1, nil }
func (steep) Metrics() optimizer.Metric                       { return optimizer.Hessian }
func (steep) CurvatureProduct(dst, theta, v []float32, _ optimizer.Metric, _ int) error {
	clear(dst)
	return nil
}

func TestCheckStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cfg := checkConfig(t)
	calls := 0
	cfg.Progress = func(int, int) { calls++; cancel() }
	if _, err := adjoint.Check(ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want a cancellation", err)
	}
	cfg.Progress, cfg.Family = nil, failing{}
	if _, err := adjoint.Check(t.Context(), cfg); !errors.Is(err, errFailing) || !strings.Contains(err.Error(), "episode 0 of failing") {
		t.Errorf("error %v, want that of the family", err)
	}
}

var errFailing = errors.New("no such data")

type failing struct{}

func (failing) Name() string                                 { return "failing" }
func (failing) Sample(*rand.Rand) (optimizer.Problem, error) { return nil, errFailing }

func TestCheckConfig(t *testing.T) {
	for _, c := range []struct{ steps, want []int }{
		{[]int{0}, []int{1, 5, 10, 20, 50, 100}}, {[]int{30}, []int{1, 5, 10, 30}}, {[]int{1}, []int{1}},
		{[]int{12, 4, 2, 4}, []int{2, 4, 12}}, {[]int{12, 12}, []int{12}},
	} {
		cfg := adjoint.CheckConfig{Steps: c.steps[0], Unrolls: c.steps[1:]}.WithDefaults()
		if !slices.Equal(cfg.Unrolls, c.want) || cfg.Episodes != 1 || cfg.Steps != c.want[len(c.want)-1] {
			t.Errorf("%v: %+v, want unrolls %v", c.steps, cfg, c.want)
		}
	}
	for want, change := range map[string]func(*adjoint.CheckConfig){
		"no family":           func(c *adjoint.CheckConfig) { c.Family = nil },
		"no network":          func(c *adjoint.CheckConfig) { c.Network = nil },
		"-6 steps":            func(c *adjoint.CheckConfig) { c.Steps = -6 },
		"-1 episodes":         func(c *adjoint.CheckConfig) { c.Episodes = -1 },
		"divisible by unroll": func(c *adjoint.CheckConfig) { c.Unrolls = []int{4} },
		"windows of 0":        func(c *adjoint.CheckConfig) { c.Unrolls = []int{0} },
	} {
		cfg := checkConfig(t)
		change(&cfg)
		if _, err := adjoint.Check(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one about %q", err, want)
		}
	}
}

// TestReportJSON pins the keys that other programs read.
func TestReportJSON(t *testing.T) {
	nan := compare.Number(math.NaN())
	r := adjoint.Report{
		Task: "t", Steps: 2, Episodes: 1, LeftOut: 3, Seed: 4, Parameters: 5,
		Unrolls: []adjoint.Row{{
			Unroll:            2,
			FirstOrder:        adjoint.Agreement{Norm: 0, Cosine: nan, EpisodeCosines: []compare.Number{nan}},
			SecondDerivatives: adjoint.Agreement{Norm: 1.5, Cosine: 1, EpisodeCosines: []compare.Number{1}},
		}},
		Nudged: adjoint.Agreement{Norm: 1.25, Cosine: 0.5, EpisodeCosines: []compare.Number{0.5}},
	}
	const want = `{"task":"t","steps":2,"episodes":1,"left_out":3,"seed":4,"parameters":5,"unrolls":[{"unroll":2,` +
		`"first_order":{"norm":0,"cosine":null,"episode_cosines":[null]},` +
		`"second_derivatives":{"norm":1.5,"cosine":1,"episode_cosines":[1]}}],` +
		`"nudged":{"norm":1.25,"cosine":0.5,"episode_cosines":[0.5]}}`
	got, err := json.Marshal(r)
	if err != nil || string(got) != want {
		t.Errorf("%s (%v), want %s", got, err, want)
	}
}
