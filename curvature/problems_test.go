package curvature_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"learnedopt/internal/gemm/mlp"
	"learnedopt/optimizer"
)

// run runs a rule and fails on an error.
func run(t testing.TB, rule optimizer.Rule, p optimizer.Problem, steps int) optimizer.Outcome {
	t.Helper()
	out, err := optimizer.Run(context.Background(), rule, p, steps)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A network is a problem of a network of package mlp on one fixed minibatch, of softmax or squared error. Without an activation it is a
// deep linear one.
type network struct {
	widths  []int
	squared bool
	x, y    []float32
	start   []float32
	c       *mlp.Curvature
	tried   *mlp.Curvature
	factors []mlp.Factor
	scores  []float32
	// What products are multiplied with, and what they are at the given product, if set.
	corrupt func(count int, dst []float32)
	count   int
	thetas  [][]float32 // the points of the products
}

func newNetwork(activation string, squared bool, batch int, seed uint64, widths ...int) *network {
	a, ok := mlp.ActivationOf(activation)
	if !ok {
		a = mlp.Activation{Apply: func([]float32) {}, Slope: func(dz, _, dh []float32) { copy(dz, dh) }, Derivatives: func(first, second, _ []float32) {
			clear(second)
			for i := range first {
				first[i] = 1
			}
		}}
	}
	made := func() *mlp.Curvature {
		if squared {
			return mlp.NewSquared(widths, a, batch)
		}
		return mlp.New(widths, a, batch)
	}
	rng := rand.New(rand.NewPCG(seed, 3))
	n := &network{widths: widths, squared: squared, c: made(), tried: made()}
	classes := widths[len(widths)-1]
	n.x, n.y = make([]float32, batch*widths[0]), make([]float32, batch*classes)
	for i := range n.x {
		n.x[i] = float32(rng.NormFloat64())
	}
	for i := range batch {
		if squared {
			for j := range classes {
				n.y[i*classes+j] = float32(rng.NormFloat64())
			}
			continue
		}
		n.y[i*classes+rng.IntN(classes)] = 1
	}
	n.start = make([]float32, len(n.c.Theta()))
	for i := range n.start {
		n.start[i] = float32(0.5 * rng.NormFloat64())
	}
	return n
}

func (n *network) Dim() int             { return len(n.start) }
func (n *network) Init(theta []float32) { copy(theta, n.start) }

// LossGrad computes the loss from the outputs, and the gradient as the mean of a gᵀ of the scores of the data.
func (n *network) LossGrad(theta, grad []float32) (float64, error) {
	n.c.Move(theta, n.x, n.y)
	batch := len(n.x) / n.widths[0]
	n.factors = make([]mlp.Factor, n.c.Layers())
	n.scores = make([]float32, len(n.y))
	n.c.EmpiricalScores(n.scores)
	n.c.Factors(n.factors, n.scores)
	clear(grad)
	for _, f := range n.factors {
		for row := range batch {
			for j, g := range f.Out[row*f.Outputs : (row+1)*f.Outputs] {
				for i, a := range f.In[row*f.Inputs : (row+1)*f.Inputs] {
					grad[f.Weights+i*f.Outputs+j] += a * g / float32(batch)
				}
				grad[f.Weights+f.Inputs*f.Outputs+j] += g / float32(batch)
			}
		}
	}
	return n.loss(theta), nil
}

// outputs returns copies of the outputs at θ in float64.
func (n *network) outputs(theta []float32) []float64 {
	var z []float64
	for _, v := range n.tried.Logits(theta, n.x) {
		z = append(z, float64(v))
	}
	return z
}

// probabilities returns the softmax of the outputs at θ.
func (n *network) probabilities(theta []float32) []float64 {
	var all []float64
	for z := range slices.Chunk(n.outputs(theta), n.widths[len(n.widths)-1]) {
		all = append(all, softmax(z)...)
	}
	return all
}

func (n *network) loss(theta []float32) float64 {
	z, sum, classes := n.outputs(theta), 0.0, n.widths[len(n.widths)-1]
	for at := 0; at < len(z); at += classes {
		if n.squared {
			for j := at; j < at+classes; j++ {
				sum += math.Pow(z[j]-float64(n.y[j]), 2)
			}
			continue
		}
		for j, p := range softmax(z[at : at+classes]) {
			if n.y[at+j] != 0 {
				sum -= math.Log(max(p, 1e-300))
			}
		}
	}
	return sum / float64(len(z)/classes)
}

func softmax(z []float64) []float64 {
	p, sum, top := make([]float64, len(z)), 0.0, slices.Max(z)
	for j, v := range z {
		p[j] = math.Exp(v - top)
		sum += p[j]
	}
	for j := range p {
		p[j] /= sum
	}
	return p
}

// divergence recomputes KL(θ ‖ θ') from the outputs.
func (n *network) divergence(theta, to []float32) float64 {
	z, w, sum, classes := n.outputs(theta), n.outputs(to), 0.0, n.widths[len(n.widths)-1]
	for at := 0; at < len(z); at += classes {
		if n.squared {
			for j := at; j < at+classes; j++ {
				sum += math.Pow(z[j]-w[j], 2)
			}
			continue
		}
		p, q := softmax(z[at:at+classes]), softmax(w[at:at+classes])
		for j := range p {
			sum += p[j] * math.Log(p[j]/q[j])
		}
	}
	return sum / float64(len(z)/classes)
}

// logDivergence is divergence of a classifier for outputs of any size: a probability that is 0 in float64 has no part in it.
func (n *network) logDivergence(theta, to []float32) (kl float64) {
	z, w, classes := n.outputs(theta), n.outputs(to), n.widths[len(n.widths)-1]
	for at := 0; at < len(z); at += classes {
		p, q := z[at:at+classes], w[at:at+classes]
		logs := func(x []float64) float64 {
			sum := 0.0
			for _, v := range x {
				sum += math.Exp(v - slices.Max(x))
			}
			return slices.Max(x) + math.Log(sum)
		}
		for j, prob := range softmax(p) {
			kl += prob * (p[j] - q[j] + logs(q) - logs(p))
		}
	}
	return kl / float64(len(z)/classes)
}

func (n *network) Metrics() optimizer.Metric {
	return optimizer.Hessian | optimizer.Fisher | optimizer.SampledFisher | optimizer.EmpiricalFisher
}

// draw sets the scores of labels that the model draws at a step.
func (n *network) draw(metric optimizer.Metric, step int) {
	n.scores = make([]float32, metric.Labels()*len(n.y))
	n.c.SampledScores(n.scores, rand.New(rand.NewPCG(uint64(step), 4)))
}

func (n *network) CurvatureProduct(dst, theta, v []float32, metric optimizer.Metric, step int) error {
	n.thetas = append(n.thetas, append([]float32(nil), theta...))
	n.c.Move(theta, n.x, n.y)
	switch metric.Kind() {
	case optimizer.Hessian:
		n.c.Hessian(dst, v)
	case optimizer.Fisher:
		n.c.Fisher(dst, v)
	case optimizer.SampledFisher:
		n.draw(metric, step)
		n.c.Outer(dst, v, n.scores)
	default:
		n.scores = make([]float32, len(n.y))
		n.c.EmpiricalScores(n.scores)
		n.c.Outer(dst, v, n.scores)
	}
	if n.count++; n.corrupt != nil {
		n.corrupt(n.count, dst)
	}
	return nil
}

func (n *network) CanTry() bool { return true }

func (n *network) Try(theta, to []float32, _ int) (optimizer.Trial, error) {
	trial := optimizer.Trial{Change: n.loss(to) - n.loss(theta)}
	if n.squared {
		trial.KL = n.divergence(theta, to)
	} else {
		trial.KL = n.logDivergence(theta, to)
	}
	return trial, nil
}

func (n *network) CanFactor() bool { return true }

func (n *network) Factors(theta []float32, metric optimizer.Metric, step int) ([]optimizer.Block, error) {
	n.c.Move(theta, n.x, n.y)
	n.factors = make([]mlp.Factor, n.c.Layers())
	switch metric.Kind() {
	case optimizer.Fisher:
		n.scores = make([]float32, len(n.y)*n.widths[len(n.widths)-1])
		n.c.ExactScores(n.scores)
	case optimizer.SampledFisher:
		n.draw(metric, step)
	default:
		n.scores = make([]float32, len(n.y))
		n.c.EmpiricalScores(n.scores)
	}
	n.c.Factors(n.factors, n.scores)
	var blocks []optimizer.Block
	for _, f := range n.factors {
		blocks = append(blocks, optimizer.Block(f))
	}
	return blocks, nil
}

// A bowl is f(θ) = ½θᵀAθ − bᵀθ with any symmetric A, whose curvature of every metric is A. KL is ½uᵀ|A|u of a diagonal A.
type bowl struct {
	a      []float32 // n × n
	b      []float32
	start  []float32
	failed error
}

func diagonal(d ...float32) *bowl {
	n := len(d)
	w := &bowl{a: make([]float32, n*n), b: make([]float32, n), start: make([]float32, n)}
	for i, x := range d {
		w.a[i*n+i], w.b[i] = x, 1
	}
	return w
}

func (w *bowl) Dim() int             { return len(w.b) }
func (w *bowl) Init(theta []float32) { copy(theta, w.start) }
func (w *bowl) times(dst, v []float32) {
	n := len(w.b)
	for i := range n {
		sum := 0.0
		for j := range n {
			sum += float64(w.a[i*n+j]) * float64(v[j])
		}
		dst[i] = float32(sum)
	}
}

func (w *bowl) value(theta []float32) (sum float64) {
	product := make([]float32, len(theta))
	w.times(product, theta)
	for i, x := range theta {
		sum += float64(x) * (float64(product[i])/2 - float64(w.b[i]))
	}
	return sum
}

func (w *bowl) LossGrad(theta, grad []float32) (float64, error) {
	w.times(grad, theta)
	for i, b := range w.b {
		grad[i] -= b
	}
	return w.value(theta), nil
}

func (w *bowl) Metrics() optimizer.Metric { return optimizer.Hessian | optimizer.Fisher }
func (w *bowl) CurvatureProduct(dst, _, v []float32, _ optimizer.Metric, _ int) error {
	w.times(dst, append([]float32(nil), v...))
	return w.failed
}
func (w *bowl) CanTry() bool { return true }
func (w *bowl) Try(theta, to []float32, _ int) (t optimizer.Trial, err error) {
	n := len(w.b)
	for i, x := range to {
		u := float64(x - theta[i])
		t.KL += u * u * math.Abs(float64(w.a[i*n+i])) / 2
	}
	t.Change = w.value(to) - w.value(theta)
	return t, w.failed
}

var errFailed = errors.New("no product")
