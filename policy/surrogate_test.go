package policy_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"learnedopt/optimizer"
	"learnedopt/policy"
)

// A setting is a surrogate with the arrays that it was made of.
type setting struct {
	network    policy.Network
	theta      []float32
	states     []float32
	actions    []int
	advantages []float64
	*policy.Surrogate
}

func newSetting(rows int, seed uint64, n policy.Network) *setting {
	rng := rand.New(rand.NewPCG(seed, 9))
	s := &setting{network: n, theta: make([]float32, n.Layout().Len())}
	for i := range s.theta {
		s.theta[i] = float32(0.5 * rng.NormFloat64())
	}
	for range rows {
		for range n.Observations {
			s.states = append(s.states, float32(rng.NormFloat64()))
		}
		s.actions = append(s.actions, rng.IntN(n.Actions))
		s.advantages = append(s.advantages, rng.NormFloat64())
	}
	s.Surrogate = policy.NewSurrogate(n, s.theta, s.states, s.actions, s.advantages)
	return s
}

func three() *setting {
	return newSetting(12, 1, policy.Network{Observations: 3, Hidden: []int{5, 4}, Actions: 3})
}

// logs returns log π(·|s) for each row, in float64, by loops over the layers.
func (s *setting) logs(theta []float64) [][]float64 {
	widths := slices.Concat([]int{s.network.Observations}, s.network.Hidden, []int{s.network.Actions})
	var all [][]float64
	for row := range s.actions {
		var h []float64
		for _, x := range s.states[row*widths[0] : (row+1)*widths[0]] {
			h = append(h, float64(x))
		}
		at := 0
		for l, in := range widths[:len(widths)-1] {
			out := widths[l+1]
			z := slices.Clone(theta[at+in*out : at+in*out+out])
			for i, x := range h {
				for j := range z {
					z[j] += x * theta[at+i*out+j]
				}
			}
			at += in*out + out
			if l < len(widths)-2 {
				for j := range z {
					z[j] = math.Tanh(z[j])
				}
			}
			h = z
		}
		sum := 0.0
		for _, z := range h {
			sum += math.Exp(z)
		}
		for k := range h {
			h[k] -= math.Log(sum)
		}
		all = append(all, h)
	}
	return all
}

func (s *setting) loss(theta []float64) (sum float64) {
	old, now := s.logs(widen(s.theta)), s.logs(theta)
	for i, a := range s.actions {
		sum -= s.advantages[i] * math.Exp(now[i][a]-old[i][a]) / float64(len(s.actions))
	}
	return sum
}

// divergence recomputes the mean divergence from the logits.
func (s *setting) divergence(theta, to []float64) (sum float64) {
	p, q := s.logs(theta), s.logs(to)
	for i := range p {
		for k, l := range p[i] {
			sum += math.Exp(l) * (l - q[i][k]) / float64(len(p))
		}
	}
	return sum
}

func widen(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

func narrow(x []float64) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = float32(v)
	}
	return y
}

// differences returns central differences of f; the error is of the order of h².
func differences(f func([]float64) float64, theta []float64) []float64 {
	const h = 1e-5
	theta, g := slices.Clone(theta), make([]float64, len(theta))
	for i, was := range theta {
		theta[i] = was + h
		above := f(theta)
		theta[i] = was - h
		g[i], theta[i] = (above-f(theta))/(2*h), was
	}
	return g
}

// far returns the distance relative to the length of want.
func far(got []float32, want []float64) float64 {
	d, size := 0.0, 0.0
	for i, w := range want {
		d += (float64(got[i]) - w) * (float64(got[i]) - w)
		size += w * w
	}
	return math.Sqrt(d / size)
}

// Where the policy sampled, the gradient is −mean Â ∇log π, and elsewhere that of the ratios.
func TestSurrogateGradient(t *testing.T) {
	s := three()
	g, from := make([]float32, s.Dim()), make([]float32, s.Dim())
	if s.Init(from); !slices.Equal(from, s.theta) {
		t.Error("the start is not the policy that sampled")
	}
	loss, err := s.LossGrad(s.theta, g)
	if err != nil {
		t.Fatal(err)
	}
	want := differences(func(theta []float64) (sum float64) {
		now := s.logs(theta)
		for i, a := range s.actions {
			sum -= s.advantages[i] * now[i][a] / float64(len(s.actions))
		}
		return sum
	}, widen(s.theta))
	if d := far(g, want); d > 1e-5 { // float32 against float64
		t.Errorf("where it sampled, the gradient is off by %.2g", d)
	}
	mean := 0.0
	for _, a := range s.advantages {
		mean -= a / float64(len(s.advantages))
	}
	if math.Abs(loss-mean) > 1e-12 {
		t.Errorf("loss %v, want %v", loss, mean)
	}
	to := widen(s.theta)
	for i, x := range normals(8, s.Dim()) {
		to[i] = float64(float32(to[i] + 0.3*x))
	}
	loss, _ = s.LossGrad(narrow(to), g)
	if d := far(g, differences(s.loss, to)); d > 1e-5 || math.Abs(loss-s.loss(to)) > 1e-5 {
		t.Errorf("elsewhere the gradient is off by %.2g, and the loss is %v, not %v", d, loss, s.loss(to))
	}
}

// Products are those of the second derivative of KL at 0, and belong to the point at which they are asked for.
func TestSurrogateProducts(t *testing.T) {
	s := three()
	got, g, other := make([]float32, s.Dim()), make([]float32, s.Dim()), make([]float32, s.Dim())
	for i := range other {
		other[i] = s.theta[i] + 0.3*float32(math.Sin(float64(i)))
	}
	v := normals(9, s.Dim())
	for step, at := range [][]float32{s.theta, other, s.theta} {
		if err := s.CurvatureProduct(got, at, narrow(v), optimizer.Fisher, step); err != nil {
			t.Fatal(err)
		}
		// F v = mean over rows of Jᵀ Λ J v, with J v by a difference and J one output at a time.
		theta := widen(at)
		const h = 1e-5
		plus, minus := slices.Clone(theta), slices.Clone(theta)
		for i := range theta {
			plus[i] += h * v[i]
			minus[i] -= h * v[i]
		}
		p, up, down := s.logs(theta), s.logs(plus), s.logs(minus)
		want := differences(func(theta []float64) (sum float64) {
			now := s.logs(theta)
			for i := range now {
				for k, l := range now[i] {
					// The scores of log π have mean 0 under π, so that F is E[∇log π ∇log πᵀ].
					sum += math.Exp(p[i][k]) * (up[i][k] - down[i][k]) / (2 * h) * l / float64(len(now))
				}
			}
			return sum
		}, theta)
		if d := far(got, want); d > 1e-5 {
			t.Errorf("product %d is off by %.2g", step, d)
		}
		if _, err := s.LossGrad(other, g); err != nil { // moves the point
			t.Fatal(err)
		}
	}
}

func TestSurrogateTry(t *testing.T) {
	s := three()
	for _, size := range []float64{1, 0.1} {
		to := widen(s.theta)
		for i, x := range normals(3, s.Dim()) {
			to[i] = float64(float32(to[i] + size*x))
		}
		got, err := s.Try(s.theta, narrow(to), 0)
		if err != nil {
			t.Fatal(err)
		}
		kl, change := s.divergence(widen(s.theta), to), s.loss(to)-s.loss(widen(s.theta))
		if math.Abs(got.KL-kl) > 1e-5*kl+1e-8 || math.Abs(got.Change-change) > 1e-5 || kl < 1e-4 {
			t.Errorf("size %v: %+v, want the divergence %v and the change %v", size, got, kl, change)
		}
	}
	if same, _ := s.Try(s.theta, s.theta, 0); same != (optimizer.Trial{}) {
		t.Errorf("at the same point: %+v", same)
	}
}

// The same numbers follow from Set as from a new surrogate.
func TestSurrogateSet(t *testing.T) {
	a, b := three(), newSetting(12, 2, policy.Network{Observations: 3, Hidden: []int{5, 4}, Actions: 3})
	g, h := make([]float32, a.Dim()), make([]float32, a.Dim())
	if _, err := a.LossGrad(a.theta, g); err != nil {
		t.Fatal(err)
	}
	a.Set(b.theta, b.states, b.actions, b.advantages)
	x, _ := a.LossGrad(b.theta, g)
	y, _ := b.LossGrad(b.theta, h)
	if x != y || !slices.Equal(g, h) {
		t.Errorf("losses %v and %v, or the gradients differ", x, y)
	}
	// Other steps at the same parameters: a product of the steps before would be wrong.
	v := narrow(normals(4, a.Dim()))
	c := policy.NewSurrogate(b.network, b.theta, three().states, b.actions, b.advantages)
	a.Set(b.theta, three().states, b.actions, b.advantages)
	for _, p := range []struct {
		s   *policy.Surrogate
		dst []float32
	}{{a.Surrogate, g}, {c, h}} {
		if err := p.s.CurvatureProduct(p.dst, b.theta, v, optimizer.Fisher, 0); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(g, h) {
		t.Error("a product after Set is one of the steps before")
	}
}

// Gradient, products and divergence are means over the steps: to have all steps twice changes none of them.
func TestSurrogateIsAMean(t *testing.T) {
	s := three()
	twice := policy.NewSurrogate(s.network, s.theta, slices.Repeat(s.states, 2), slices.Repeat(s.actions, 2), slices.Repeat(s.advantages, 2))
	v, to := narrow(normals(5, s.Dim())), narrow(normals(6, s.Dim()))
	var results [2][]float64
	for i, p := range []*policy.Surrogate{s.Surrogate, twice} {
		g, f := make([]float32, s.Dim()), make([]float32, s.Dim())
		loss, err := p.LossGrad(s.theta, g)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.CurvatureProduct(f, s.theta, v, optimizer.Fisher, 0); err != nil {
			t.Fatal(err)
		}
		trial, err := p.Try(s.theta, to, 0)
		if err != nil {
			t.Fatal(err)
		}
		results[i] = slices.Concat(widen(g), widen(f), []float64{loss, trial.KL, trial.Change})
	}
	for i, x := range results[0] {
		if y := results[1][i]; math.Abs(x-y) > 1e-5*(1+math.Abs(x)) {
			t.Errorf("number %d is %v, and %v with all steps twice", i, x, y)
		}
	}
}

func TestSurrogatePanics(t *testing.T) {
	s := three()
	right, wrong := make([]float32, s.Dim()), make([]float32, s.Dim()-1)
	for name, f := range map[string]func(){
		"theta": func() { _, _ = s.LossGrad(wrong, right) }, "grad": func() { _, _ = s.LossGrad(right, wrong) }, "init": func() { s.Init(wrong) },
		"metric": func() { _ = s.CurvatureProduct(right, right, right, optimizer.Hessian, 0) }, "step": func() { _ = s.CurvatureProduct(right, right, right, optimizer.Fisher, -1) },
		"vector": func() { _ = s.CurvatureProduct(right, right, wrong, optimizer.Fisher, 0) }, "try": func() { _, _ = s.Try(right, wrong, 0) }, "try step": func() { _, _ = s.Try(right, right, -1) },
		"action": func() { s.Set(s.theta, s.states, slices.Repeat([]int{3}, 12), s.advantages) }, "rows": func() { s.Set(s.theta, s.states[3:], s.actions[1:], s.advantages[1:]) },
		"empty": func() { policy.NewSurrogate(s.network, s.theta, nil, nil, nil) },
	} {
		func() {
			defer func() {
				if text, _ := recover().(string); len(text) < 8 || text[:8] != "policy: " {
					t.Errorf("%s: panic %q", name, text)
				}
			}()
			f()
		}()
	}
}
