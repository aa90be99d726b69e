package curvature

import (
	"errors"
	"math"

	"learnedopt/internal/gemm"
	"learnedopt/internal/precondition"
	"learnedopt/internal/saved"
	"learnedopt/optimizer"
)

// KFAC moves each dense layer along the natural gradient of an approximate Fisher matrix, which has one block for each layer and in it a Kronecker product
// (Martens and Grosse 2015, arXiv:1503.05671). With V the gradient of a layer's weights, and below it that of its biases,
//
//	A ← ε A + (1−ε) mean āāᵀ,   G ← ε G + (1−ε) mean ggᵀ,   ε = min(1 − 1/k, E) at the k-th time
//	Ũ = (A + π√γ I)⁻¹ V (G + √γ/π I)⁻¹,   π² = (tr A / dim A) / (tr G / dim G)
//	M ← μM + ν Ũ,   u = −α M,   ν = min(1, √(2δ / α² ΣŨᵀV))
//
// ā are the inputs of the layer with a 1 for the bias, and g derivatives of its outputs for labels of the metric. ν bounds the divergence of the new part of a step
// by δ, to second order and in the approximate metric (Ba, Grosse and Martens 2017, section 5); ΣŨᵀV is the sum over all layers.
//
// The problem must be an optimizer.Factorer: all parameters are those of dense layers.
type KFAC struct {
	// LearningRate is α. It must be set.
	LearningRate float64 `json:"learning_rate"`
	// Damping is γ; 0 means 0.03.
	Damping float64 `json:"damping,omitempty"`
	// Momentum is μ in (0, 1); 0 means 0.9. Use 1e-9 for none.
	Momentum float64 `json:"momentum,omitempty"`
	// Decay is E in (0, 1); 0 means 0.95.
	Decay float64 `json:"decay,omitempty"`
	// Radius is δ, in nats; 0 means 0.001.
	Radius float64 `json:"radius,omitempty"`
	// Metric says which labels g have: optimizer.Fisher (all, weighted by their probabilities), optimizer.Sampled or EmpiricalFisher. 0 means
	// optimizer.Fisher.
	Metric optimizer.Metric `json:"metric,omitempty"`
	// FactorSteps is the number of steps from one estimate of A and G to the next, InverseSteps that from one inversion to the next; 0 means 5 and
	// 20. During the first InverseSteps steps both are done twice as often at first: at steps 0, 1, 3, 7, ….
	FactorSteps  int `json:"factor_steps,omitempty"`
	InverseSteps int `json:"inverse_steps,omitempty"`
	// Cosine multiplies the update of step t by (1 + cos(πt/T))/2, with T the length of the run, which the caller must then know
	// (optimizer.Needs.Total).
	Cosine bool `json:"cosine,omitempty"`
}

var _ optimizer.Rule = KFAC{}

// WithDefaults returns r with the zero fields other than LearningRate set to their defaults.
func (r KFAC) WithDefaults() KFAC {
	r.Damping = or(r.Damping, 0.03)
	r.Momentum = or(r.Momentum, 0.9)
	r.Decay = or(r.Decay, 0.95)
	r.Radius = or(r.Radius, 0.001)
	r.Metric = or(r.Metric, optimizer.Fisher)
	r.FactorSteps = or(r.FactorSteps, 5)
	r.InverseSteps = or(r.InverseSteps, 20)
	return r
}

// Validate returns an error if a field is out of its range.
func (r KFAC) Validate() error {
	const name = "kfac"
	return errors.Join(
		positive(name, "learning rate", r.LearningRate, "0.1"),
		within(name, "damping", r.Damping, 0, math.Inf(1)),
		within(name, "momentum", r.Momentum, 0, 1),
		within(name, "decay", r.Decay, 0, 1),
		within(name, "radius", r.Radius, 0, math.Inf(1)),
		metricOf(name, r.WithDefaults().Metric, optimizer.Fisher, optimizer.SampledFisher, optimizer.EmpiricalFisher),
		within(name, "steps between factors", float64(r.FactorSteps), 0, 1<<30),
		within(name, "steps between inversions", float64(r.InverseSteps), 0, 1<<30))
}

// Needs implements optimizer.Rule: the parameters and the factors, and the length of the run for a cosine.
func (r KFAC) Needs() optimizer.Needs {
	return optimizer.Needs{Theta: true, Factors: true, Total: r.Cosine}
}

// Start implements optimizer.Rule. It panics if the rule is not valid.
func (r KFAC) Start(layout optimizer.Layout) optimizer.State {
	n := layout.Len()
	if n <= 0 {
		panic(errDimension)
	}
	precondition.Valid(r)
	return &kfacState{rule: r.WithDefaults(), n: n, momentum: make([]float32, n), move: make([]float32, n), kernel: gemm.Default()}
}

// A dense is one layer: weights and bias together are a matrix of in × out numbers in θ, where in counts the bias.
type dense struct {
	at, in, out int
	// a and g are A and G, of which the lower halves count; ai and gi their inverses.
	a, g, ai, gi []float32
}

func (d *dense) matrix(x []float32) gemm.Matrix {
	return gemm.Of(x[d.at:d.at+d.in*d.out], d.in, d.out)
}

type kfacState struct {
	rule           KFAC
	n              int
	steps, updates int // steps taken, and estimates of the factors so far
	layers         []dense
	momentum, move []float32

	kernel   *gemm.Kernel
	inverter *inverter
	half     []float32 // A⁻¹V of a layer, or new rows of a factor
}

var _ optimizer.State = (*kfacState)(nil)

// due says whether something that happens every k steps, and more often during the first k, happens at step t.
func due(t, k int) bool {
	if t < k {
		return t&(t+1) == 0
	}
	return t%k == 0
}

// Update implements optimizer.State. An error is one of the factors, a *LayersError, a *FactorError, or a *optimizer.DivergedError of
// non-finite factors.
func (s *kfacState) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	lengths(dst, p, s.n)
	r := &s.rule
	if due(s.steps, r.FactorSteps) {
		blocks, err := p.Curvature.(optimizer.Factorer).Factors(p.Theta, r.Metric, p.Step)
		if err == nil {
			err = s.estimate(blocks, p.Step)
		}
		if err != nil {
			return 0, err
		}
	}
	if due(s.steps, r.InverseSteps) {
		if err := s.invert(); err != nil {
			return 0, err
		}
	}
	for l := range s.layers {
		d := &s.layers[l]
		half := gemm.Of(s.half[:d.in*d.out], d.in, d.out)
		s.kernel.Mul(half, gemm.Of(d.ai, d.in, d.in), d.matrix(p.Grad), false)
		s.kernel.Mul(d.matrix(s.move), half, gemm.Of(d.gi, d.out, d.out), false)
	}
	nu, alpha := 1.0, r.LearningRate
	if square := alpha * alpha * math.Abs(dot(s.move, p.Grad)); square > 2*r.Radius {
		nu = math.Sqrt(2 * r.Radius / square)
	}
	if r.Cosine {
		if p.Total <= 0 {
			panic(errTotal)
		}
		alpha *= (1 + math.Cos(math.Pi*float64(min(s.steps, p.Total))/float64(p.Total))) / 2
	}
	keep, take, rate := float32(r.Momentum), float32(nu), float32(-alpha)
	for i, v := range s.move {
		s.momentum[i] = float32(keep*s.momentum[i]) + float32(take*v)
		dst[i] = rate * s.momentum[i]
	}
	s.steps++
	return 0, nil
}

// lay makes the memory of layers of the given sizes.
func (s *kfacState) lay(sizes [][3]int) error {
	covered, largest, half := 0, 0, 0
	for _, size := range sizes {
		at, in, out := size[0], size[1], size[2]
		if at != covered {
			break
		}
		covered += in * out
		largest, half = max(largest, in, out), max(half, in*out)
		s.layers = append(s.layers, dense{at, in, out, make([]float32, in*in), make([]float32, out*out), make([]float32, in*in), make([]float32, out*out)})
	}
	if covered != s.n {
		s.layers = nil
		return &LayersError{Covered: covered, Coordinates: s.n}
	}
	s.inverter, s.half = newInverter(largest), make([]float32, max(half, largest*largest))
	return nil
}

// estimate moves the averages A and G toward the factors of a minibatch.
func (s *kfacState) estimate(blocks []optimizer.Block, step int) error {
	if s.layers == nil {
		var sizes [][3]int
		for _, b := range blocks {
			sizes = append(sizes, [3]int{b.Weights, b.Inputs + 1, b.Outputs})
		}
		if err := s.lay(sizes); err != nil {
			return err
		}
	}
	for _, b := range blocks {
		for _, x := range [][]float32{b.In, b.Out} {
			if err := finite(step, x); err != nil {
				return err
			}
		}
	}
	s.updates++
	keep := min(1-1/float64(s.updates), s.rule.Decay)
	for l, b := range blocks {
		d := &s.layers[l]
		rows := len(b.In) / b.Inputs
		s.square(b.In, b.Inputs)
		mix(d.a, d.in, s.half, b.Inputs, keep, rows)
		ones := d.a[b.Inputs*d.in:]
		for j := range b.Inputs {
			sum := 0.0
			for i := j; i < len(b.In); i += b.Inputs {
				sum += float64(b.In[i])
			}
			ones[j] = float32(keep*float64(ones[j]) + (1-keep)*sum/float64(rows))
		}
		ones[b.Inputs] = 1
		s.square(b.Out, b.Outputs)
		mix(d.g, d.out, s.half, b.Outputs, keep, len(b.Out)/b.Outputs)
	}
	return nil
}

// square writes the lower half of xᵀx of rows of n numbers into s.half.
func (s *kfacState) square(x []float32, n int) {
	rows := len(x) / n
	for j := 0; j < n; j += block {
		cols := min(block, n-j)
		s.kernel.Mul(gemm.Matrix{Data: s.half[j*n+j:], Rows: n - j, Cols: cols, RowStride: n, ColStride: 1},
			gemm.Matrix{Data: x[j:], Rows: n - j, Cols: rows, RowStride: 1, ColStride: n},
			gemm.Matrix{Data: x[j:], Rows: rows, Cols: cols, RowStride: n, ColStride: 1}, false)
	}
}

// mix moves the lower half of a factor, of size stride, toward the first n rows and columns of a sum over a number of rows.
func mix(factor []float32, stride int, sum []float32, n int, keep float64, rows int) {
	old, take := float32(keep), float32((1-keep)/float64(rows))
	for i := range n {
		to, from := factor[i*stride:][:i+1], sum[i*n:][:i+1]
		for j, x := range from {
			to[j] = float32(old*to[j]) + float32(take*x)
		}
	}
}

// leastShare is the least damping as a share of the mean of a factor's diagonal: with less, float32 would decide about directions that have hardly any
// curvature.
const leastShare = 1e-4

// invert inverts the damped factors. Rounding can make a factor of small rank indefinite: then it gets up to a thousand times the damping.
func (s *kfacState) invert() error {
	root := math.Sqrt(s.rule.Damping)
	for l := range s.layers {
		d := &s.layers[l]
		meanA, meanG := trace(d.a, d.in)/float64(d.in), trace(d.g, d.out)/float64(d.out)
		pi := balance(meanA, meanG)
		for _, f := range []struct {
			name          string
			inverse, from []float32
			n             int
			damping       float64
		}{{"inputs", d.ai, d.a, d.in, max(root*pi, leastShare*meanA)}, {"outputs", d.gi, d.g, d.out, max(root/pi, leastShare*meanG)}} {
			for try := 0; !s.inverter.invert(f.inverse, f.from, f.n, f.damping); try++ {
				if try == 3 {
					return &FactorError{Layer: l, Factor: f.name, Damping: f.damping}
				}
				f.damping *= 10
			}
		}
	}
	return nil
}

// balance returns π. A factor of zeros, of a layer whose outputs do not matter, has nothing to be balanced with.
func balance(a, g float64) float64 {
	pi := math.Sqrt(a / g)
	if !(pi > 1e-6 && pi < 1e6) {
		return 1
	}
	return pi
}

func trace(x []float32, n int) (sum float64) {
	for i := range n {
		sum += float64(x[i*n+i])
	}
	return sum
}

const kfacName = "kfac"

// MarshalBinary implements encoding.BinaryMarshaler.
func (s *kfacState) MarshalBinary() ([]byte, error) {
	w := saved.NewWriter(kfacName, stateVersion)
	w.Int(s.n)
	w.Int(s.steps)
	w.Int(s.updates)
	w.Floats32(s.momentum)
	w.Int(len(s.layers))
	for _, d := range s.layers {
		w.Int(d.at)
		w.Int(d.in)
		w.Int(d.out)
		for _, x := range [][]float32{d.a, d.g, d.ai, d.gi} {
			w.Floats32(x)
		}
	}
	return w.Bytes()
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler. Errors wrap ErrState and leave the state unchanged.
func (s *kfacState) UnmarshalBinary(data []byte) error {
	r := saved.NewReader(data, kfacName, stateVersion)
	r.Same("coordinates", s.n)
	back := &kfacState{rule: s.rule, n: s.n, steps: r.Int(), updates: r.Int(), momentum: r.Floats32(s.n), move: s.move, kernel: s.kernel}
	layers, covered := r.Int(), 0
	var all [][4][]float32
	var sizes [][3]int
	for range layers {
		size := [3]int{r.Int(), r.Int(), r.Int()}
		in, out := size[1], size[2]
		// in·out ≤ n bounds what is read; a factor is the square of one of them, and the reader bounds that by the data.
		if r.Err() != nil || size[0] != covered || in < 2 || out < 1 || in > s.n || out > s.n || in*out > s.n-covered {
			r.Fail(errInconsistent)
			break
		}
		covered += in * out
		sizes = append(sizes, size)
		all = append(all, [4][]float32{r.Floats32(in * in), r.Floats32(out * out), r.Floats32(in * in), r.Floats32(out * out)})
	}
	return restore(r, func() bool {
		if len(back.momentum) != s.n || (layers == 0) != (back.steps == 0) {
			return false
		}
		if layers > 0 && back.lay(sizes) != nil {
			return false
		}
		for l := range back.layers {
			d := &back.layers[l]
			for k, x := range []*[]float32{&d.a, &d.g, &d.ai, &d.gi} {
				if len(all[l][k]) != len(*x) {
					return false
				}
				*x = all[l][k]
			}
		}
		*s = *back
		return true
	})
}
