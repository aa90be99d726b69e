package policy_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"learnedopt/baselines"
	"learnedopt/curvature"
	"learnedopt/optimizer"
	"learnedopt/policy"
)

func cartPole(rule optimizer.Rule) policy.Config {
	return policy.Config{New: func() policy.Environment { return &policy.CartPole{} }, Network: policy.Network{Observations: 4, Hidden: []int{32}, Actions: 2}, Rule: rule}
}

func trained(t testing.TB, c policy.Config) *policy.Result {
	t.Helper()
	r, err := policy.Train(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Every step of TRPO has KL ≤ δ, recomputed in float64 from the logits, and uses much of it; returns rise.
func TestTRPOKeepsItsRadius(t *testing.T) {
	const radius = 0.01
	var steps []curvature.Step
	c := cartPole(curvature.TrustRegion{Radius: radius, OnStep: func(s curvature.Step) { steps = append(steps, s) }})
	c.Steps, c.Iterations, c.Seed = 500, 12, 3
	large := 0
	c.OnIteration = func(i policy.Iteration) {
		s := &setting{network: c.Network, actions: make([]int, len(i.States)/4), states: i.States}
		kl := s.divergence(widen(i.Before), widen(i.After))
		if !(kl <= radius*(1+1e-4)) { // logits in float32
			t.Errorf("iteration %d: a divergence of %v", i.Index, kl)
		}
		if kl > radius/3 {
			large++
		}
		if math.Abs(kl-i.Trial.KL) > 1e-4*radius || i.Trial.Change > 0 {
			t.Errorf("iteration %d: %+v, recomputed %v", i.Index, i.Trial, kl)
		}
		if step := steps[i.Index-1]; step.Accepted == slices.Equal(i.Before, i.After) {
			t.Errorf("iteration %d: accepted %v, moved %v", i.Index, step.Accepted, !step.Accepted)
		}
	}
	r := trained(t, c)
	if large < 9 {
		t.Errorf("only %d of 12 steps have a third of the radius", large)
	}
	if first, last := r.Evaluations[0], r.Evaluations[12]; !(last > 2*first) {
		t.Errorf("mean returns %v", r.Evaluations)
	}
}

// TRPO balances the pole within 80,000 environment steps. docs/curvature.md has five seeds.
func TestTRPOBalances(t *testing.T) {
	if testing.Short() {
		t.Skip("some seconds")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := cartPole(curvature.TrustRegion{Radius: 0.01})
	c.Iterations, c.Seed = 40, 1
	best := 0.0
	c.OnIteration = func(i policy.Iteration) {
		if best = max(best, i.Evaluation); best >= 475 {
			cancel()
		}
	}
	if _, err := policy.Train(ctx, c); best < 475 {
		t.Errorf("the best mean return of 20 episodes is %v of 500 (%v)", best, err)
	}
}

// The same seed gives the same bits, another one gives other episodes. Returns are those of the episodes in order.
func TestTrainingIsDeterministic(t *testing.T) {
	c := cartPole(baselines.Adam{LearningRate: 0.01})
	c.Steps, c.Iterations, c.Evaluations = 200, 3, 2
	a, b := trained(t, c), trained(t, c)
	if !slices.Equal(a.Theta, b.Theta) || !slices.Equal(a.Returns, b.Returns) || !slices.Equal(a.Evaluations, b.Evaluations) {
		t.Error("two trainings of one seed differ")
	}
	c.Seed = 1
	if b := trained(t, c); slices.Equal(a.Returns, b.Returns) || slices.Equal(a.Theta, b.Theta) {
		t.Error("two seeds are the same")
	}
	if len(a.Evaluations) != 4 || len(a.Returns) != len(a.Ended) {
		t.Errorf("%d evaluations, %d returns, %d ends", len(a.Evaluations), len(a.Returns), len(a.Ended))
	}
	// A return is the length of its episode: episodes follow one another, across iterations too.
	for i, end := range a.Ended {
		began := 0
		if i > 0 {
			began = a.Ended[i-1]
		}
		if float64(end-began) != a.Returns[i] {
			t.Errorf("episode %d from step %d to %d has the return %v", i, began, end, a.Returns[i])
		}
	}
	if last := a.Ended[len(a.Ended)-1]; last > 600 || last < 400 {
		t.Errorf("the last episode ends at step %d of 600", last)
	}
}

// sampled is an MDP that is acted in, with one-hot observations. An episode terminates with probability 1 − γ after each step, so that its plain
// return has the expectation of the discounted one.
type sampled struct {
	m     *policy.MDP
	state int
	rng   *rand.Rand
}

func (s *sampled) draw(p []float64) int {
	u := s.rng.Float64()
	for i, x := range p {
		if u -= x; u < 0 {
			return i
		}
	}
	return len(p) - 1
}

func (s *sampled) Reset(o []float32, rng *rand.Rand) {
	s.rng = rng
	s.enter(o, s.draw(s.m.Start))
}

func (s *sampled) enter(o []float32, state int) {
	clear(o)
	o[state], s.state = 1, state
}

func (s *sampled) Step(o []float32, action int) (float64, policy.Status) {
	at := s.state*s.m.Actions + action
	s.enter(o, s.draw(s.m.Transitions[at*s.m.States:(at+1)*s.m.States]))
	if s.rng.Float64() >= s.m.Discount {
		return s.m.Rewards[at], policy.Terminated
	}
	return s.m.Rewards[at], policy.Running
}

// A recorder keeps the first gradient and moves nothing.
type recorder struct{ grad []float32 }

func (r *recorder) Needs() optimizer.Needs                 { return optimizer.Needs{} }
func (r *recorder) Start(optimizer.Layout) optimizer.State { return r }
func (r *recorder) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	r.grad = slices.Clone(p.Grad)
	clear(dst)
	return 0, nil
}

// An exploding rule overflows the parameters at its third update.
type exploding struct{ steps int }

func (e *exploding) Needs() optimizer.Needs                 { return optimizer.Needs{} }
func (e *exploding) Start(optimizer.Layout) optimizer.State { return e }
func (e *exploding) Update(dst []float32, _ optimizer.Point) (optimizer.Move, error) {
	clear(dst)
	if e.steps++; e.steps >= 2 {
		dst[3] = 3e38
	}
	return 0, nil
}

// Sampled gradients, with generalized advantages, point along the exact gradient of a decision process. The last of a few iterations has a baseline.
func TestSampledGradientAgainstExact(t *testing.T) {
	m := garnet(11, 3, 2)
	exact := tabular(t, m)
	r := &recorder{}
	c := policy.Config{New: func() policy.Environment { return &sampled{m: m} }, Network: policy.Network{Observations: 3, Actions: 2}, Rule: r,
		Steps: 20000, Iterations: 2, Evaluations: 1, Discount: 1, Lambda: 1}
	theta := widen(trained(t, c).Theta)
	// logits = W[s] + b: in the coordinates of the table, the gradient of W is that of the table.
	table := make([]float64, 6)
	for i := range table {
		table[i] = theta[i] + theta[6+i%2]
	}
	move(t, exact, table)
	g := make([]float64, 6)
	exact.Gradient(g)
	along, a, b := 0.0, 0.0, 0.0
	for i := range g {
		x := -float64(r.grad[i])
		along, a, b = along+x*g[i], a+x*x, b+g[i]*g[i]
	}
	// 20,000 steps give each of the six numbers an error of a few percent of the gradient's length.
	if cosine := along / math.Sqrt(a*b); !(cosine > 0.99) {
		t.Errorf("the cosine of sampled %v and exact %v is %v", r.grad[:6], g, cosine)
	}
}

func TestTrainingRefuses(t *testing.T) {
	good := cartPole(curvature.TrustRegion{Radius: 0.01})
	for want, spoil := range map[string]func(c *policy.Config){
		"set New": func(c *policy.Config) { c.New = nil }, "set Rule": func(c *policy.Config) { c.Rule = nil }, "-1 steps": func(c *policy.Config) { c.Steps = -1 },
		"discount 1.5": func(c *policy.Config) { c.Discount = 1.5 }, "lambda NaN": func(c *policy.Config) { c.Lambda = math.NaN() }, "widths [4 0 2]": func(c *policy.Config) { c.Network.Hidden = []int{0} },
		"factors of dense layers": func(c *policy.Config) { c.Rule = curvature.KFAC{LearningRate: 1} },
		"Hessian-vector":          func(c *policy.Config) { c.Rule = curvature.NaturalGradient{LearningRate: 1, Metric: optimizer.Hessian} },
	} {
		c := good
		spoil(&c)
		if _, err := policy.Train(t.Context(), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one about %q", err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := policy.Train(ctx, good); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v after a cancel", err)
	}
	bad := cartPole(&exploding{})
	bad.Steps, bad.Iterations, bad.Evaluations = 50, 5, 1
	if r := trained(t, bad); r.Diverged == nil || r.Diverged.Step != 2 || r.Diverged.What != "parameter" || len(r.Evaluations) != 3 || optimizer.NonFinite(r.Theta) >= 0 {
		t.Errorf("divergence %v after %d evaluations", r.Diverged, len(r.Evaluations))
	}
}
