package curvature_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"learnedopt/baselines"
	"learnedopt/curvature"
	"learnedopt/optimizer"
)

func rng(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

func dot(a, b []float32) (sum float64) {
	for i, x := range a {
		sum += float64(x) * float64(b[i])
	}
	return sum
}

func norm(x []float32) float64 { return math.Sqrt(dot(x, x)) }

// once is K-FAC with factors of the current minibatch alone and without momentum or bound.
func once(damping float64) curvature.KFAC {
	return curvature.KFAC{LearningRate: 1, Damping: damping, Momentum: 1e-9, Radius: 1e9, FactorSteps: 1, InverseSteps: 1}
}

// For a deep linear network with squared error the derivatives of the outputs do not depend on the inputs, and K-FAC's blocks are those of the Gauss-Newton
// matrix (Bernacchia et al. 2018; Benzing 2022): with the step d of a layer, (its block of F) d is the layer's gradient. For a network with an activation it is not.
func TestKFACIsExactOnDeepLinearNetworks(t *testing.T) {
	far := func(activation string) float64 {
		n := newNetwork(activation, true, 50, 8, 4, 5, 3, 2)
		grad := make([]float32, n.Dim())
		if _, err := n.LossGrad(n.start, grad); err != nil {
			t.Fatal(err)
		}
		theta := run(t, once(1e-6), n, 1).Theta
		worst, at := 0.0, 0
		for l, in := range n.widths[:3] {
			size := (in + 1) * n.widths[l+1]
			d, product := make([]float32, n.Dim()), make([]float32, n.Dim())
			for i := at; i < at+size; i++ {
				d[i] = n.start[i] - theta[i]
			}
			if err := n.CurvatureProduct(product, n.start, d, optimizer.Fisher, 0); err != nil {
				t.Fatal(err)
			}
			// The gradient has a part in the null space of a layer's G where the next layer is narrower; the product has not.
			// What is compared is therefore multiplied by the block once more.
			other, twice := make([]float32, n.Dim()), make([]float32, n.Dim())
			copy(other[at:at+size], product[at:at+size])
			copy(d, make([]float32, n.Dim()))
			copy(d[at:at+size], grad[at:at+size])
			_ = n.CurvatureProduct(twice, n.start, other, optimizer.Fisher, 0)
			want := make([]float32, n.Dim())
			_ = n.CurvatureProduct(want, n.start, d, optimizer.Fisher, 0)
			for i := at; i < at+size; i++ {
				twice[i] -= want[i]
			}
			worst = max(worst, norm(twice[at:at+size])/norm(want[at:at+size]))
			at += size
		}
		return worst
	}
	// γ shifts the factors by about √γ = 1e-3 of their size.
	if d := far(""); !(d < 0.02) {
		t.Errorf("the blocks of a linear network are %.2g from Gauss-Newton's", d)
	}
	if d := far("tanh"); !(d > 0.05) {
		t.Errorf("those of a non-linear one only %.2g: the test is blind", d)
	}
}

// The damped step of one layer, against matrices that are inverted here.
func TestKFACStep(t *testing.T) {
	const damping = 0.04
	n := newNetwork("tanh", false, 7, 5, 3, 2)
	grad := make([]float32, n.Dim())
	if _, err := n.LossGrad(n.start, grad); err != nil {
		t.Fatal(err)
	}
	theta := run(t, once(damping), n, 1).Theta
	a, g := make([][]float64, 4), make([][]float64, 2)
	for i := range a {
		a[i] = make([]float64, 4)
	}
	for j := range g {
		g[j] = make([]float64, 2)
	}
	z := n.outputs(n.start)
	for row := range 7 {
		x := append(append([]float64(nil), float64(n.x[3*row]), float64(n.x[3*row+1]), float64(n.x[3*row+2])), 1)
		p := softmax(z[2*row : 2*row+2])
		for i := range x {
			for j := range x {
				a[i][j] += x[i] * x[j] / 7
			}
		}
		for i := range p {
			for j := range p {
				g[i][j] -= p[i] * p[j] / 7
			}
			g[i][i] += p[i] / 7
		}
	}
	pi := math.Sqrt(((a[0][0] + a[1][1] + a[2][2] + a[3][3]) / 4) / ((g[0][0] + g[1][1]) / 2))
	for i := range a {
		a[i][i] += pi * math.Sqrt(damping)
	}
	for i := range g {
		g[i][i] += math.Sqrt(damping) / pi
	}
	// (A) U (G) must be the gradient.
	for i := range 4 {
		for j := range 2 {
			sum := 0.0
			for k := range 4 {
				for l := range 2 {
					sum += a[i][k] * float64(n.start[2*k+l]-theta[2*k+l]) * g[l][j]
				}
			}
			if want := float64(grad[2*i+j]); math.Abs(sum-want) > 1e-5 {
				t.Errorf("A U G at %d, %d is %v, want the gradient %v", i, j, sum, want)
			}
		}
	}
}

// ν bounds the divergence of a step to second order, in K-FAC's own metric: with a small radius the true divergence is of that order.
func TestKFACRadius(t *testing.T) {
	n := newNetwork("tanh", false, 60, 5, 4, 5, 3)
	for _, radius := range []float64{1e-3, 1e-5} {
		rule := once(1e-3)
		rule.Radius, rule.LearningRate = radius, 10
		theta := run(t, rule, n, 1).Theta
		if kl := n.divergence(n.start, theta); !(kl > radius/5 && kl < 5*radius) {
			t.Errorf("δ = %v: a divergence of %v", radius, kl)
		}
	}
}

// With a cosine the updates are those without, times (1 + cos(πt/T))/2.
func TestKFACCosine(t *testing.T) {
	n := newNetwork("tanh", false, 60, 5, 4, 5, 3)
	rule := curvature.KFAC{LearningRate: 0.1}
	falling := rule
	falling.Cosine = true
	a, b := rule.Start(optimizer.Flat(n.Dim())), falling.Start(optimizer.Flat(n.Dim()))
	grad, u, v := make([]float32, n.Dim()), make([]float32, n.Dim()), make([]float32, n.Dim())
	if _, err := n.LossGrad(n.start, grad); err != nil {
		t.Fatal(err)
	}
	for step := range 7 {
		p := optimizer.Point{Grad: grad, Theta: n.start, Curvature: n, Step: step, Total: 5}
		if err := errors.Join(second(a.Update(u, p)), second(b.Update(v, p))); err != nil {
			t.Fatal(err)
		}
		want := (1 + math.Cos(math.Pi*float64(min(step, 5))/5)) / 2
		if got := dot(u, v) / dot(u, u); math.Abs(got-want) > 1e-5 {
			t.Errorf("step %d: the update is %v times as long, want %v", step, got, want)
		}
	}
	if rule.Needs().Total || !falling.Needs().Total {
		t.Error("the length of the run is needed with a cosine, and only then")
	}
}

func second(_ optimizer.Move, err error) error { return err }

// Layers whose outputs do not matter, an input of zeros and a batch of one example have singular factors: the updates are finite.
func TestKFACSingular(t *testing.T) {
	for _, batch := range []int{1, 20} {
		n := newNetwork("relu", false, batch, 6, 3, 4, 3)
		clear(n.start[16:]) // no weights and no biases of the output layer, so that the first layer does not matter
		for i := 0; i < len(n.x); i += 3 {
			n.x[i] = 0
		}
		for _, damping := range []float64{0.01, 1e-20} {
			out := run(t, curvature.KFAC{LearningRate: 0.1, Damping: damping, InverseSteps: 1, FactorSteps: 1}, n, 20)
			if d := out.Diverged; d != nil {
				t.Fatalf("batch %d, damping %v: %v", batch, damping, d)
			}
			if !(out.Losses[20] < out.Losses[0]) {
				t.Errorf("batch %d, damping %v: the loss goes from %v to %v", batch, damping, out.Losses[0], out.Losses[20])
			}
		}
	}
}

// Per step K-FAC is far ahead of tuned SGD on badly scaled inputs.
func TestKFACAgainstSGD(t *testing.T) {
	n := newNetwork("tanh", false, 100, 5, 6, 10, 3)
	clear(n.y)
	for i := range 100 { // the class is the largest of the first three inputs
		x := n.x[6*i : 6*i+3]
		n.y[3*i+slices.Index(x, slices.Max(x))] = 1
	}
	for i := range n.x {
		n.x[i] *= float32(math.Pow(10, -float64(i%3)))
	}
	best := math.Inf(1)
	for _, rate := range []float64{0.003, 0.01, 0.03, 0.1, 0.3, 1} {
		if out := run(t, baselines.SGD{LearningRate: rate}, n, 60); out.Diverged == nil {
			best = min(best, out.Losses[60])
		}
	}
	if loss := run(t, curvature.KFAC{LearningRate: 0.3, Damping: 1e-5, Radius: 0.1}, n, 60).Losses[60]; !(loss < 0.5*best) {
		t.Errorf("K-FAC's loss is %v, tuned SGD's %v", loss, best)
	}
}

// Factors that are not all of θ, non-finite ones, and those that cannot be inverted are typed errors.
func TestKFACErrors(t *testing.T) {
	n := newNetwork("tanh", false, 5, 6, 3, 4, 3)
	point := func() optimizer.Point {
		return optimizer.Point{Grad: make([]float32, n.Dim()+1), Theta: make([]float32, n.Dim()+1), Curvature: short{n}}
	}
	p := point()
	_, err := curvature.KFAC{LearningRate: 1}.Start(optimizer.Flat(n.Dim()+1)).Update(make([]float32, n.Dim()+1), p)
	var layers *curvature.LayersError
	if !errors.As(err, &layers) || layers.Covered != n.Dim() || layers.Coordinates != n.Dim()+1 {
		t.Errorf("error %v", err)
	}
	n.start[0] = float32(math.NaN())
	grad := make([]float32, n.Dim())
	_, err = curvature.KFAC{LearningRate: 1}.Start(optimizer.Flat(n.Dim())).Update(make([]float32, n.Dim()), optimizer.Point{Grad: grad, Theta: n.start, Curvature: n})
	var diverged *optimizer.DivergedError
	if !errors.As(err, &diverged) || diverged.What != "curvature product" {
		t.Errorf("error %v", err)
	}
	// Inputs whose squares overflow: no damping makes their factor positive definite.
	clear(n.start)
	for i := range n.x {
		n.x[i] *= 1e25
	}
	_, err = curvature.KFAC{LearningRate: 1}.Start(optimizer.Flat(n.Dim())).Update(make([]float32, n.Dim()), optimizer.Point{Grad: grad, Theta: n.start, Curvature: n})
	var factor *curvature.FactorError
	if !errors.As(err, &factor) || factor.Layer != 0 || factor.Factor != "inputs" || !(factor.Damping > 0) {
		t.Errorf("error %v", err)
	}
}

// short has a problem whose θ is longer than its layers.
type short struct{ *network }

func (s short) Factors(theta []float32, metric optimizer.Metric, step int) ([]optimizer.Block, error) {
	return s.network.Factors(theta[:s.Dim()], metric, step)
}

// Updates may be written over the gradient.
func TestInPlace(t *testing.T) {
	for _, rule := range []optimizer.Rule{curvature.NaturalGradient{LearningRate: 0.5}, curvature.TrustRegion{Radius: 0.01}, curvature.KFAC{LearningRate: 0.1}} {
		n := newNetwork("tanh", false, 20, 3, 3, 4, 3)
		grad, dst := make([]float32, n.Dim()), make([]float32, n.Dim())
		a, b := rule.Start(optimizer.Flat(n.Dim())), rule.Start(optimizer.Flat(n.Dim()))
		for range 3 {
			if _, err := n.LossGrad(n.start, grad); err != nil {
				t.Fatal(err)
			}
			was := slices.Clone(grad)
			p := optimizer.Point{Grad: grad, Theta: n.start, Curvature: n}
			_, err := a.Update(dst, p)
			if err != nil || !slices.Equal(grad, was) {
				t.Errorf("%T changed its gradient (%v)", rule, err)
			}
			if _, err := b.Update(grad, p); err != nil || !slices.Equal(grad, dst) {
				t.Errorf("%T in place differs (%v)", rule, err)
			}
		}
	}
}
