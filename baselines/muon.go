package baselines

import (
	"errors"
	"math"

	"learnedopt/internal/gemm"
	"learnedopt/optimizer"
)

// Muon moves each matrix of weights by an orthogonal matrix: Nesterov's momentum with all its singular values set to
// about 1. All other tensors are optimized by AdamW.
//
//	M_t = μ M_{t−1} + (1−μ) G_t,   M_0 = 0
//	U_t = −α_t (√max(1, o/i) · O(μ M_t + (1−μ) G_t) + λ Θ_t)
//
// of a matrix with o outputs and i inputs, a convolution being the matrix of its output channels by all other
// dimensions. O is five Newton–Schulz iterations, in float32 where Jordan et al. take bfloat16 (2024, "Muon: An optimizer
// for hidden layers in neural networks", and their repository KellerJordan/Muon). For convolutions their code has
// height and width of the kernel in place of o and i, so its factor is 1; here the factor is the matrix's.
//
// Which tensors: all of optimizer.Matrix and optimizer.Convolution except the last of them in the layout, which is the
// output layer. The authors exclude input and output layers; here the input layer is included, because their reason against it
// holds for embeddings, whose inputs are one-hot, and a network with one hidden layer would have nothing left.
// In a flat layout nothing is a matrix, and the rule is AdamW.
//
// AdamW has the learning rate AdamRatio · α_t, so that one learning rate is to be tuned, and the authors' β = (0.9, 0.95)
// and ε = 1e-10. The learning rate α_t rises and falls as NAdamW's.
//
// The bits of a product of matrices depend on the processor's vector instructions, and so do the bits of this rule.
type Muon struct {
	// LearningRate is α, the highest learning rate of the run. It must be set: the authors have 0.02.
	LearningRate float64 `json:"learning_rate"`
	// Momentum is μ in (0, 1); 0 means 0.95.
	Momentum float64 `json:"momentum"`
	// AdamRatio is AdamW's learning rate divided by α; 0 means 0.2, the best of 0.015, 0.05, 0.1, 0.2 and 0.5 on small
	// networks on MNIST. The authors' two defaults have a ratio of 0.015.
	AdamRatio float64 `json:"adam_ratio,omitempty"`
	// WeightDecay is λ in [0, 1), also of AdamW, where it is multiplied by AdamW's learning rate; 0 by default.
	WeightDecay float64 `json:"weight_decay,omitempty"`
	// OutputLayer says that the last matrix, too, is moved by an orthogonal matrix.
	OutputLayer bool `json:"output_layer,omitempty"`
	// WarmUp is the share of the run in which the learning rate rises, in [0, 1). 0 means 0.02; use 1e-9 for a run
	// without warm-up.
	WarmUp float64 `json:"warm_up,omitempty"`
	// Steps is the number of steps T that the schedule is laid over. 0 means the length of the run, which the caller must
	// then know (optimizer.Needs.Total).
	Steps int `json:"steps,omitempty"`
}

// AdamW's settings for the tensors that are no hidden matrices.
const (
	muonBeta1, muonBeta2 = 0.9, 0.95
	muonEpsilon          = 1e-10
)

var _ optimizer.Rule = Muon{}

// WithDefaults returns r with its zero Momentum, AdamRatio and WarmUp set to their defaults.
func (r Muon) WithDefaults() Muon {
	r.Momentum = or(r.Momentum, 0.95)
	r.AdamRatio = or(r.AdamRatio, 0.2)
	r.WarmUp = or(r.WarmUp, defaultWarmUp)
	return r
}

// Validate returns an error if a field is out of its range.
func (r Muon) Validate() error {
	return errors.Join(
		learningRate("muon", r.LearningRate),
		inRange("muon", "momentum", r.Momentum, 0, 1, forDefault),
		inRange("muon", "AdamW's ratio", r.AdamRatio, 0, limit, forDefault),
		inRange("muon", "weight decay", r.WeightDecay, 0, 1, orZero),
		validSchedule("muon", r.WarmUp, r.Steps))
}

// Needs implements optimizer.Rule: the length of the run unless Steps is set, and the parameters if there is weight decay.
func (r Muon) Needs() optimizer.Needs {
	return optimizer.Needs{Theta: r.WeightDecay != 0, Total: r.Steps == 0}
}

// A hidden is a tensor that Muon moves.
type hidden struct {
	gemm.Axes
	from int
}

func (h hidden) to() int { return h.from + h.Len() }

// hiddens returns the tensors of the layout that the rule moves by orthogonal matrices.
func (r Muon) hiddens(layout optimizer.Layout) []hidden {
	var all []hidden
	for _, t := range layout.Tensors() {
		if t.Outputs() == 0 || t.Inputs() == 0 {
			continue // no matrix, or no element
		}
		before, after := t.AroundOutputs()
		all = append(all, hidden{gemm.Axes{Before: before, Outputs: t.Outputs(), After: after}, t.From})
	}
	if len(all) > 0 && !r.OutputLayer {
		all = all[:len(all)-1]
	}
	return all
}

// Start implements optimizer.Rule. It panics if the rule is not valid.
func (r Muon) Start(layout optimizer.Layout) optimizer.State {
	r = r.WithDefaults()
	s := &muonState{memory: newMemory(r, "muon", layout, 1), rule: r, hiddens: r.hiddens(layout)}
	others := s.n
	for _, h := range s.hiddens {
		s.orthogonalizer.Reserve(h.Axes)
		others -= h.Len()
	}
	s.vectors = append(s.vectors, make([]float32, others))
	return s
}

type muonState struct {
	memory         // m of all coordinates; v of the coordinates that AdamW moves
	rule           Muon
	hiddens        []hidden
	orthogonalizer gemm.Orthogonalizer[float32]
}

// Update implements optimizer.State.
func (s *muonState) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	r, total := &s.rule, length(s.rule.Steps, p)
	theta := s.decayed(r.WeightDecay, p)
	s.step(dst, p.Grad)
	rate := r.LearningRate * warmUpCosine(int(s.steps)-1, total, r.WarmUp)
	v, at := s.vectors[1], 0
	adam := func(from, to int) {
		s.adam(dst[from:to], p.Grad[from:to], s.vectors[0][from:to], v[:to-from], rate*r.AdamRatio)
		v, at = v[to-from:], to
		if theta != nil {
			shrink(dst[from:to], theta[from:to], rate*r.AdamRatio*r.WeightDecay)
		}
	}
	for _, h := range s.hiddens {
		adam(at, h.from)
		at = h.to()
		s.move(dst, p.Grad, h, rate)
		if theta != nil {
			shrink(dst[h.from:at], theta[h.from:at], rate*r.WeightDecay)
		}
	}
	adam(at, s.n)
	return 0, nil
}

// move writes the update of one hidden tensor.
func (s *muonState) move(dst, grad []float32, h hidden, rate float64) {
	keep, take := float32(s.rule.Momentum), float32(1-s.rule.Momentum)
	m, moved := s.vectors[0][h.from:h.to()], dst[h.from:h.to()]
	for i, g := range grad[h.from:h.to()] {
		taken := float32(take * g)
		m[i] = float32(keep*m[i]) + taken
		moved[i] = float32(keep*m[i]) + taken
	}
	s.orthogonalizer.Run(moved, moved, h.Axes, float32(-rate*math.Sqrt(max(1, float64(h.Outputs)/float64(h.Inputs())))))
}

// adam writes the updates of coordinates that AdamW moves, without weight decay.
func (s *muonState) adam(dst, grad, m, v []float32, rate float64) {
	t := float64(s.steps)
	scale := float32(-rate / (1 - math.Pow(muonBeta1, t)))
	correction := float32(1 - math.Pow(muonBeta2, t))
	for i, g := range grad {
		m[i] = float32(muonBeta1*m[i]) + float32(float32(1-muonBeta1)*g)
		v[i] = float32(muonBeta2*v[i]) + float32(float32(float32(1-muonBeta2)*g)*g)
		dst[i] = float32(scale*m[i]) / (sqrt(v[i]/correction) + muonEpsilon)
	}
}
