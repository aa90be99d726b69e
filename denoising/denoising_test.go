package denoising

import (
	"math"
	"math/rand/v2"
	"testing"

	"learnedopt/qp"
)

// TestTautString compares with the quadratic program in x and bounds t on |differences|, and with the layer.
func TestTautString(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 6 {
		n, lambda := 2+r.IntN(15), 20*r.ExpFloat64()
		s := Draw(r, n)
		got := make([]float64, n)
		TautString(got, s.Noisy, lambda)
		width, m := 2*n-1, 2*(n-1)
		p := qp.Problem{Q: make([]float64, width), Linear: make([]float64, width), G: make([]float64, m*width), H: make([]float64, m)}
		for i := range n {
			p.Q[i], p.Linear[i] = 1, -s.Noisy[i]
		}
		for i := range n - 1 {
			p.Linear[n+i] = lambda
			for side, sign := range [...]float64{1, -1} {
				row := p.G[(2*i+side)*width:][:width]
				row[i], row[i+1], row[n+i] = -sign, sign, -1
			}
		}
		var solver qp.InteriorPoint
		var out qp.Solution
		if err := solver.Solve(&out, &p); err != nil {
			t.Fatal(err)
		}
		l := &Layer{N: n}
		theta := make([]float32, l.Layout().Len())
		rounded := float64(float32(lambda))
		l.Differences(theta, rounded)
		x, err := l.Forward(theta, []Signal{s})
		if err != nil {
			t.Fatal(err)
		}
		exact := make([]float64, n)
		TautString(exact, s.Noisy, rounded)
		for i := range n {
			if math.Abs(got[i]-out.Z[i]) > 1e-8 || math.Abs(exact[i]-x[i]) > 1e-8 {
				t.Fatalf("λ %g: taut string %v, quadratic program %v, layer %v", lambda, got, out.Z[:n], x)
			}
		}
	}
	// λ = 0 changes nothing, a large one leaves the mean.
	x := make([]float64, 3)
	TautString(x, []float64{1, 5, 3}, 0)
	if x[0] != 1 || x[1] != 5 || x[2] != 3 {
		t.Errorf("λ = 0: %v", x)
	}
	TautString(x, []float64{1, 5, 3}, 100)
	for _, v := range x {
		if math.Abs(v-3) > 1e-12 {
			t.Errorf("λ = 100: %v", x)
		}
	}
}

// TestGradient compares with central differences of the loss, whose parameters are float32: a step of 2⁻⁸ is exact next to them.
func TestGradient(t *testing.T) {
	for _, mapped := range []bool{false, true} {
		testGradient(t, &Layer{N: 6, Map: mapped})
	}
}

func testGradient(t *testing.T, l *Layer) {
	t.Helper()
	r := rand.New(rand.NewPCG(3, 4))
	theta := make([]float32, l.Layout().Len())
	l.Differences(theta, 8)
	for i := range theta {
		theta[i] += float32(math.Round(64*r.NormFloat64()) / 64)
	}
	signals := []Signal{Draw(r, 6), Draw(r, 6), Draw(r, 6)}
	grad, unused := make([]float32, len(theta)), make([]float32, len(theta))
	if _, err := l.LossGrad(theta, grad, signals); err != nil {
		t.Fatal(err)
	}
	for i := range theta {
		const step = 1. / 256
		keep := theta[i]
		var v [2]float64
		for side, sign := range [...]float32{1, -1} {
			theta[i] = keep + sign*step
			var err error
			if v[side], err = l.LossGrad(theta, unused, signals); err != nil {
				t.Fatal(err)
			}
		}
		theta[i] = keep
		if want := (v[0] - v[1]) / (2 * step); math.Abs(float64(grad[i])-want) > 1e-3*(1+math.Abs(want)) {
			t.Errorf("map %v: ∂loss/∂θ_%d = %g, differences %g", l.Map, i, grad[i], want)
		}
	}
}

// TestFit compares the fitted layer with the best of a few maps nearby, and with total variation.
func TestFit(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	const n = 6
	signals := make([]Signal, 60)
	for i := range signals {
		signals[i] = Draw(r, n)
	}
	l := &Layer{N: n, Map: true}
	theta, grad := make([]float32, l.Layout().Len()), make([]float32, l.Layout().Len())
	loss := func() float64 {
		v, err := l.LossGrad(theta, grad, signals)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	l.Differences(theta, 15)
	before := loss()
	if err := l.Fit(theta, 15, signals); err != nil {
		t.Fatal(err)
	}
	after := loss()
	if !(after < 0.95*before) {
		t.Errorf("error %g after the fit, %g before", after, before)
	}
	// The gradient of the penalized error is 0: that of the error is −(2·10/n)(V − I), and −(2·10/n) c.
	for i := range n {
		for j := range n {
			k := (n-1+i)*n + j
			change := float64(theta[k])
			if i == j {
				change--
			}
			if want := -20. / n * change; math.Abs(float64(grad[k])-want) > 1e-3*(1+math.Abs(want)) {
				t.Errorf("∂loss/∂V_%d,%d = %g, want %g", i, j, grad[k], want)
			}
		}
	}
}
