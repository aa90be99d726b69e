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
// A layer of 256 inputs or more has the inverse of A from the 64 leading directions of A where that is close enough: most eigenvalues are far below the damping. So its
// price does not grow with the square of the inputs. Else it has the whole inverse.
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
	// FactorSteps is the number of steps from one estimate of A and G to the next, InverseSteps that from one inversion to the next; 0 means 10 and
	// 40. During the first InverseSteps steps both are done twice as often at first: at steps 0, 1, 3, 7, ….
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
	r.FactorSteps = or(r.FactorSteps, 10)
	r.InverseSteps = or(r.InverseSteps, 40)
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

type kfacState struct {
	rule           KFAC
	n              int
	steps, updates int // steps taken, and estimates of the factors so far
	layers         []dense
	momentum, move []float32

	kernel   *gemm.Kernel
	inverter *inverter
	half     []float32 // A⁻¹V of a layer, or new rows of a factor
	square   []float32 // a whole factor
	turned   []float32 // rows of inputs or derivatives, transposed
	sums     []float64 // of each input over a minibatch
	// For reduced inverses: AU, and two small matrices.
	wide, small []float32
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
		if err := s.invert(p.Grad); err != nil {
			return 0, err
		}
	}
	for l := range s.layers {
		s.precondition(&s.layers[l], s.move, p.Grad)
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

const (
	kfacName    = "kfac"
	kfacVersion = 2 // 1 had no reduced inverses
)

// MarshalBinary implements encoding.BinaryMarshaler.
func (s *kfacState) MarshalBinary() ([]byte, error) {
	w := saved.NewWriter(kfacName, kfacVersion)
	w.Int(s.n)
	w.Int(s.steps)
	w.Int(s.updates)
	w.Floats32(s.momentum)
	w.Int(len(s.layers))
	for _, d := range s.layers {
		w.Int(d.at)
		w.Int(d.in)
		w.Int(d.out)
		w.Int(d.rank)
		for _, x := range [][]float32{d.a, d.g, d.gi, d.inverse()} {
			w.Floats32(x)
		}
	}
	return w.Bytes()
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler. Errors wrap ErrState and leave the state unchanged.
func (s *kfacState) UnmarshalBinary(data []byte) error {
	r := saved.NewReader(data, kfacName, kfacVersion)
	r.Same("coordinates", s.n)
	back := &kfacState{rule: s.rule, n: s.n, steps: r.Int(), updates: r.Int(), momentum: r.Floats32(s.n), move: s.move, kernel: s.kernel}
	layers, covered := r.Int(), 0
	var (
		all   [][4][]float32
		sizes [][3]int
		ranks []int
	)
	for range layers {
		size := [3]int{r.Int(), r.Int(), r.Int()}
		in, out := size[1], size[2]
		// in·out ≤ n bounds what is read; a factor is the square of one of them, and the reader bounds that by the data.
		if r.Err() != nil || size[0] != covered || in < 2 || out < 1 || in > s.n || out > s.n || in*out > s.n-covered {
			r.Fail(errInconsistent)
			break
		}
		covered += in * out
		rank := r.Int()
		if r.Err() != nil || rank < 0 || 4*rank > in {
			r.Fail(errInconsistent)
			break
		}
		count := in * in
		if rank > 0 {
			count = in * rank
		}
		sizes, ranks = append(sizes, size), append(ranks, rank)
		all = append(all, [4][]float32{r.Floats32(in * in), r.Floats32(out * out), r.Floats32(out * out), r.Floats32(count)})
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
			if d.rank = ranks[l]; d.rank > 0 {
				d.z = make([]float32, d.in*d.rank)
			} else {
				d.ai = make([]float32, d.in*d.in)
			}
			for k, x := range [][]float32{d.a, d.g, d.gi, d.inverse()} {
				if len(all[l][k]) != len(x) {
					return false
				}
				copy(x, all[l][k])
			}
		}
		*s = *back
		return true
	})
}
