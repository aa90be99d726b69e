package policy_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"learnedopt/policy"
)

// garnet draws a decision process with dense random transitions.
func garnet(seed uint64, states, actions int) *policy.MDP {
	rng := rand.New(rand.NewPCG(seed, 5))
	m := &policy.MDP{States: states, Actions: actions, Discount: 0.9}
	simplex := func() (p []float64) {
		sum := 0.0
		for range states {
			p = append(p, rng.ExpFloat64())
			sum += p[len(p)-1]
		}
		for i := range p {
			p[i] /= sum
		}
		return p
	}
	for range states * actions {
		m.Transitions = append(m.Transitions, simplex()...)
		m.Rewards = append(m.Rewards, rng.NormFloat64())
	}
	m.Start = simplex()
	return m
}

func tabular(t testing.TB, m *policy.MDP) *policy.Tabular {
	t.Helper()
	p, err := policy.NewTabular(m)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func move(t testing.TB, p *policy.Tabular, theta []float64) {
	t.Helper()
	if err := p.Move(theta); err != nil {
		t.Fatal(err)
	}
}

func normals(seed uint64, n int) []float64 {
	rng, x := rand.New(rand.NewPCG(seed, 6)), make([]float64, n)
	for i := range x {
		x[i] = rng.NormFloat64()
	}
	return x
}

// fisher is the matrix, made of the scores e_sa − Σ_b π(b|s) e_sb of all states and actions.
func fisher(m *policy.MDP, p *policy.Tabular) *mat.SymDense {
	f := mat.NewSymDense(p.Dim(), nil)
	for s := range m.States {
		for a := range m.Actions {
			score := mat.NewVecDense(p.Dim(), nil)
			for b := range m.Actions {
				score.SetVec(s*m.Actions+b, -p.Probability(s, b))
			}
			score.SetVec(s*m.Actions+a, 1-p.Probability(s, a))
			f.SymRankOne(f, p.Visitation(s)*p.Probability(s, a), score)
		}
	}
	return f
}

// One state and two actions with rewards 0 and 1: J = π(1)/(1 − γ). Two states, of which the second keeps the agent: V is a geometric series.
func TestClosedForms(t *testing.T) {
	one := &policy.MDP{States: 1, Actions: 2, Transitions: []float64{1, 1}, Rewards: []float64{0, 1}, Start: []float64{1}, Discount: 0.75}
	p := tabular(t, one)
	move(t, p, []float64{0, math.Log(3)})
	if got := p.Return(); math.Abs(got-3) > 1e-14 {
		t.Errorf("return %v, want 3", got)
	}
	g := make([]float64, 2)
	if p.Gradient(g); math.Abs(g[1]-0.75) > 1e-14 || math.Abs(g[0]+0.75) > 1e-14 { // π(1)π(0)/(1−γ) = 3/4
		t.Errorf("gradient %v, want ∓0.75", g)
	}
	// From state 0 the agent goes on with probability ½ at each step; state 1 pays 2 for ever. V(0) = ½γ·2/(1−γ)/(1 − ½γ).
	two := &policy.MDP{States: 2, Actions: 2, Transitions: []float64{1, 0, 0, 1, 0, 1, 0, 1}, Rewards: []float64{0, 0, 2, 2}, Start: []float64{1, 0}, Discount: 0.8}
	p = tabular(t, two)
	if got, want := p.Return(), 0.4*10/0.6; math.Abs(got-want) > 1e-13 {
		t.Errorf("return %v, want %v", got, want)
	}
	if got, want := p.Visitation(0), 0.2/0.6; math.Abs(got-want) > 1e-14 || math.Abs(p.Visitation(1)-1+want) > 1e-14 {
		t.Errorf("visitation %v and %v, want %v and the rest", got, p.Visitation(1), want)
	}
}

func TestPolicyGradientAgainstDifferences(t *testing.T) {
	m := garnet(1, 4, 3)
	p := tabular(t, m)
	theta, g := normals(1, p.Dim()), make([]float64, p.Dim())
	move(t, p, theta)
	p.Gradient(g)
	const h = 1e-5 // the error of a central difference is of the order of h² + 10⁻¹⁶/h
	for i := range theta {
		was := theta[i]
		theta[i] = was + h
		move(t, p, theta)
		above := p.Return()
		theta[i] = was - h
		move(t, p, theta)
		below := p.Return()
		theta[i] = was
		if want := (above - below) / (2 * h); math.Abs(g[i]-want) > 1e-8 {
			t.Errorf("coordinate %d: %v, from differences %v", i, g[i], want)
		}
	}
}

func TestFisherProductIsThatOfTheMatrix(t *testing.T) {
	for _, actions := range []int{2, 5} {
		m := garnet(2, 4, actions)
		p := tabular(t, m)
		v, got := normals(3, p.Dim()), make([]float64, p.Dim())
		move(t, p, normals(2, p.Dim()))
		p.Fisher(got, v)
		var want mat.VecDense
		want.MulVec(fisher(m, p), mat.NewVecDense(p.Dim(), v))
		for i, x := range got {
			if math.Abs(x-want.AtVec(i)) > 1e-12 {
				t.Errorf("%d actions, coordinate %d: %v, want %v", actions, i, x, want.AtVec(i))
			}
		}
		if p.Fisher(v, v); v[0] != got[0] || v[len(v)-1] != got[len(v)-1] {
			t.Error("in place the product differs")
		}
	}
}

// KL(θ ‖ θ + εv) is ½ε²vᵀFv for small ε, and recomputed from probabilities for large ones.
func TestDivergence(t *testing.T) {
	m := garnet(3, 4, 3)
	p := tabular(t, m)
	theta, v, fv, to := normals(2, p.Dim()), normals(3, p.Dim()), make([]float64, p.Dim()), make([]float64, p.Dim())
	move(t, p, theta)
	p.Fisher(fv, v)
	square := 0.0
	for i := range v {
		square += v[i] * fv[i]
	}
	for _, c := range []struct{ epsilon, tolerance float64 }{{1e-2, 3e-2}, {1e-3, 3e-3}, {1e-4, 3e-4}} {
		for i := range to {
			to[i] = theta[i] + c.epsilon*v[i]
		}
		if ratio := p.Divergence(to) / (c.epsilon * c.epsilon * square / 2); math.Abs(ratio-1) > c.tolerance {
			t.Errorf("ε = %v: the ratio is %v", c.epsilon, ratio)
		}
	}
	q := tabular(t, m)
	move(t, q, v)
	want := 0.0
	for s := range m.States {
		for a := range m.Actions {
			want += p.Visitation(s) * p.Probability(s, a) * math.Log(p.Probability(s, a)/q.Probability(s, a))
		}
	}
	if got := p.Divergence(v); math.Abs(got-want) > 1e-13 || want < 0.1 {
		t.Errorf("divergence %v, want %v", got, want)
	}
}

// The natural policy gradient of a tabular softmax is the advantage (Kakade 2002; Agarwal et al. 2021, lemma 15): F A = (1 − γ) ∇J.
func TestAdvantageIsTheNaturalGradient(t *testing.T) {
	m := garnet(4, 5, 3)
	p := tabular(t, m)
	move(t, p, normals(4, p.Dim()))
	g, a := make([]float64, p.Dim()), make([]float64, p.Dim())
	for i := range a {
		a[i] = p.Advantage(i/m.Actions, i%m.Actions)
	}
	p.Gradient(g)
	p.Fisher(a, a)
	for i := range g {
		if math.Abs(a[i]-(1-m.Discount)*g[i]) > 1e-13 {
			t.Errorf("coordinate %d: F A = %v, (1 − γ)∇J = %v", i, a[i], (1-m.Discount)*g[i])
		}
	}
}

// With θ = Aψ, the natural gradient in ψ changes the policy as the natural gradient in θ does. The plain gradient does not.
func TestNaturalGradientIsInvariant(t *testing.T) {
	m := garnet(5, 3, 3)
	p := tabular(t, m)
	n := p.Dim()
	move(t, p, normals(5, n))
	g := make([]float64, n)
	p.Gradient(g)
	f, a, gradient := fisher(m, p), mat.NewDense(n, n, normals(6, n*n)), mat.NewVecDense(n, g)
	// solve returns the least solution of Mx = b; a row of the softmax leaves one direction of each state without effect.
	solve := func(square mat.Matrix, b mat.Vector) *mat.VecDense {
		var svd mat.SVD
		if !svd.Factorize(square, mat.SVDThin) {
			t.Fatal("no singular values")
		}
		var x mat.VecDense
		svd.SolveVecTo(&x, b, n-m.States)
		return &x
	}
	change := func(direction mat.Vector) *mat.VecDense { // what it does to the policy, in the metric of F
		var c mat.VecDense
		c.MulVec(f, direction)
		return &c
	}
	far := func(x, y *mat.VecDense) float64 {
		var d mat.VecDense
		d.SubVec(x, y)
		return mat.Norm(&d, 2) / mat.Norm(x, 2)
	}
	var inner, outer mat.Dense
	inner.Mul(a.T(), f)
	outer.Mul(&inner, a)
	var pulled, back, plain mat.VecDense
	pulled.MulVec(a.T(), gradient)
	back.MulVec(a, solve(&outer, &pulled))
	plain.MulVec(a, &pulled)
	if d := far(change(solve(f, gradient)), change(&back)); d > 1e-9 {
		t.Errorf("the natural gradient in other coordinates differs by %.2g", d)
	}
	if d := far(change(gradient), change(&plain)); d < 0.1 {
		t.Errorf("the plain gradient differs by %.2g: the test is blind", d)
	}
}

// Policy iteration finds the best of all deterministic policies.
func TestOptimumAgainstAllPolicies(t *testing.T) {
	for seed := range uint64(20) {
		m := garnet(seed, 4, 2)
		p := tabular(t, m)
		best := math.Inf(-1)
		for code := range 1 << m.States {
			theta := make([]float64, p.Dim())
			for s := range m.States {
				theta[s*2+code>>s&1] = 1e3 // probability 1 in float64
			}
			move(t, p, theta)
			best = max(best, p.Return())
		}
		move(t, p, make([]float64, p.Dim()))
		got, err := p.Optimum()
		if err != nil || math.Abs(got-best) > 1e-11 {
			t.Errorf("seed %d: %v (%v), want %v", seed, got, err, best)
		}
	}
}

// An action without probability and a state without visits leave all numbers finite, and have no part in F and in KL.
func TestUnusedActionsAndStates(t *testing.T) {
	m := garnet(7, 3, 2)
	m.Start = []float64{1, 0, 0}
	for i := range 4 { // states 0 and 1 never lead to 2
		copy(m.Transitions[i*3:], []float64{0.5, 0.5, 0})
	}
	p := tabular(t, m)
	theta := []float64{0, -2000, 1, 0, 0, 0}
	move(t, p, theta)
	if p.Probability(0, 1) != 0 || p.Visitation(2) > 1e-15 {
		t.Fatalf("probability %v and visitation %v, want 0", p.Probability(0, 1), p.Visitation(2))
	}
	g, v := make([]float64, 6), normals(1, 6)
	p.Gradient(g)
	p.Fisher(v, v)
	for i := range g {
		if zero := i != 2 && i != 3; zero != (math.Abs(g[i]) < 1e-14) || zero != (math.Abs(v[i]) < 1e-14) || math.IsNaN(g[i]+v[i]) {
			t.Errorf("coordinate %d: gradient %v and product %v, want 0: %v", i, g[i], v[i], zero)
		}
	}
	if kl := p.Divergence([]float64{0, -3000, 1, 0, 9, -9}); kl > 1e-13 {
		t.Errorf("a divergence of %v where nothing is done differently", kl)
	}
	if kl := p.Divergence([]float64{-4000, 0, 1, 0, 0, 0}); !(kl > 1000) || math.IsInf(kl, 0) {
		t.Errorf("a divergence of %v", kl)
	}
}

func TestInvalidMDPs(t *testing.T) {
	for want, spoil := range map[string]func(m *policy.MDP){
		"0 states":                           func(m *policy.MDP) { m.States = 0 },
		"rewards":                            func(m *policy.MDP) { m.Rewards = m.Rewards[1:] },
		"discount 1":                         func(m *policy.MDP) { m.Discount = 1 },
		"action 1 in state 2":                func(m *policy.MDP) { m.Rewards[5] = math.NaN() },
		"starting":                           func(m *policy.MDP) { m.Start[0] += 0.1 },
		"transitions of action 0 in state 1": func(m *policy.MDP) { m.Transitions[6] = -1 },
	} {
		m := garnet(1, 3, 2)
		spoil(m)
		if _, err := policy.NewTabular(m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one about %q", err, want)
		}
	}
}
