package tasks

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	rules "learnedopt/curvature"
	"learnedopt/optimizer"
	"learnedopt/policy"
)

// The loss is 1 for the uniform policy and nearly 0 for the one
// that always goes to the better end.
func TestChainLosses(t *testing.T) {
	p := sample(t, Chain{Dims: 5, Batch: 6}, 4).(*decisions)
	theta, grad := make([]float32, p.Dim()), make([]float32, p.Dim())
	p.Init(theta)
	if loss := lossGrad(t, p, theta, grad); math.Abs(loss-1) > 1e-12 {
		t.Errorf("the loss at the start is %v", loss)
	}
	// The gradient says of each chain where its better end is, and going there always is nearly the best.
	for b := range 6 {
		for s := range 5 {
			right := float32(20)
			if grad[b*10+5] > 0 { // to go right from the middle raises the loss
				right = -20
			}
			theta[b*10+2*s+1] = right
		}
	}
	if loss := lossGrad(t, p, theta, grad); !(loss >= -1e-12 && loss < 0.05) {
		t.Errorf("the loss of going to the better end is %v", loss)
	}
	for i := range theta {
		theta[i] *= -1
	}
	if loss := lossGrad(t, p, theta, grad); !(loss > 0.3) {
		t.Errorf("the loss of going to the worse end is %v", loss)
	}
	theta[3] = float32(math.Inf(1))
	if loss := lossGrad(t, p, theta, grad); !math.IsNaN(loss) {
		t.Errorf("the loss of infinite parameters is %v", loss)
	}
}

// Transitions and rewards are those of the documentation.
func TestChainsAreChains(t *testing.T) {
	starts := map[int]int{}
	for seed := range uint64(40) {
		m := drawChain(4, rand.New(rand.NewPCG(seed, 0)))
		if err := m.Validate(); err != nil {
			t.Fatal(err)
		}
		first := slices.Index(m.Start, 1)
		starts[first]++
		for s := range 4 {
			for a := range 2 {
				at := 2*s + a
				to := min(max(s+2*a-1, 0), 3)
				if q := m.Transitions[at*4+to]; !(q >= 0.7) {
					t.Errorf("from %d by %d to %d with probability %v", s, a, to, q)
				}
				low, high := -0.06, 0.06
				switch s {
				case first:
					high += 0.5
				case 3 - first:
					low, high = low+0.5, high+1
				}
				if r := m.Rewards[at]; r < low || r > high {
					t.Errorf("reward %v in state %d of a chain that starts at %d", r, s, first)
				}
			}
		}
	}
	if starts[0] < 8 || starts[3] < 8 || len(starts) != 2 {
		t.Errorf("chains start at %v", starts)
	}
}

// Products are those of the chains' matrices, KL and changes are sums over the chains.
func TestChainCurvature(t *testing.T) {
	p := sample(t, Chain{Dims: 3, Batch: 4}, 2).(*decisions)
	theta, to, v := normals(1, p.Dim(), 1), normals(2, p.Dim(), 1), normals(3, p.Dim(), 1)
	got := product(t, p, theta, v, optimizer.Fisher, 0)
	kl := 0.0
	for b, policy := range p.policies {
		if _, _, err := p.move(b, theta); err != nil {
			t.Fatal(err)
		}
		for s := range 3 {
			q0, q1 := policy.Probability(s, 0), policy.Probability(s, 1)
			at := b*6 + 2*s
			// diag(q) − qqᵀ of two actions is q0 q1 (1 −1; −1 1).
			want := policy.Visitation(s) * q0 * q1 * float64(v[at]-v[at+1])
			if math.Abs(float64(got[at])-want) > 1e-6 || math.Abs(float64(got[at+1])+want) > 1e-6 {
				t.Errorf("chain %d, state %d: %v, want ±%v", b, s, got[at:at+2], want)
			}
			r := 1 / (1 + math.Exp(float64(to[at+1]-to[at])))
			kl += policy.Visitation(s) * (q0*math.Log(q0/r) + q1*math.Log(q1/(1-r)))
		}
	}
	trial, err := p.Try(theta, to, 0)
	if err != nil {
		t.Fatal(err)
	}
	grad := make([]float32, p.Dim())
	change := 4 * (lossGrad(t, p, to, grad) - lossGrad(t, p, theta, grad))
	if math.Abs(trial.KL-kl) > 1e-6 || math.Abs(trial.Change-change) > 1e-9 {
		t.Errorf("%+v, want the divergence %v and the change %v", trial, kl, change)
	}
}

// Natural gradients and trust regions run on chains, and go through the plateau on which plain gradients wait.
func TestCurvatureOnChains(t *testing.T) {
	f := Chain{Dims: 5, Batch: 3}
	var kl []float64
	for _, c := range []struct {
		rule optimizer.Rule
		most float64
	}{
		{rules.NaturalGradient{LearningRate: 1}, 0.1},
		{rules.TrustRegion{Radius: 0.1, Damping: 1e-3, OnStep: func(s rules.Step) { kl = append(kl, s.Trial.KL) }}, 0.1},
	} {
		out, err := optimizer.Run(context.Background(), c.rule, sample(t, f, 1), 60)
		if err != nil {
			t.Fatal(err)
		}
		if last := out.Losses[60]; !(last < c.most) {
			t.Errorf("%T ends at %v", c.rule, last)
		}
	}
	if top := slices.Max(kl); top > 0.1 || top < 0.02 {
		t.Errorf("the largest divergence of a step is %v", top)
	}
}

// A singular Fisher matrix, of an action that is never taken and of states that are never visited, gives finite steps.
func TestSingularFisher(t *testing.T) {
	m := drawChain(4, rand.New(rand.NewPCG(3, 0)))
	for at := range 8 { // nothing leads from the start's half into the other
		row := m.Transitions[at*4 : at*4+4]
		clear(row)
		row[slices.Index(m.Start, 1)] = 1
	}
	for _, start := range []float32{0, 2000} {
		p, err := newDecisions([]*policy.MDP{m})
		if err != nil {
			t.Fatal(err)
		}
		for _, rule := range []optimizer.Rule{rules.NaturalGradient{LearningRate: 1}, rules.NaturalGradient{LearningRate: 1, Damping: 1e-9, Fixed: true}, rules.TrustRegion{Radius: 0.01}, rules.TrustRegion{Radius: 0.01, Damping: 1e-12}} {
			state, dst, grad, theta := rule.Start(p.layout), make([]float32, 8), make([]float32, 8), make([]float32, 8)
			theta[1], theta[6] = start, start
			for step := range 3 {
				loss := lossGrad(t, p, theta, grad)
				if _, err := state.Update(dst, optimizer.Point{Grad: grad, Theta: theta, Loss: loss, Curvature: p, Step: step}); err != nil {
					t.Errorf("%+v: %v", rule, err)
				}
				for i, u := range dst {
					theta[i] += u
				}
				if i := optimizer.NonFinite(theta); i >= 0 {
					t.Fatalf("%+v, step %d: parameters %v", rule, step, theta)
				}
			}
		}
	}
}
