package baselines

import (
	"errors"
	"math"

	"learnedopt/optimizer"
)

// Adam divides a running mean of gradients by the root of a running mean of
// their squares. Both means are corrected for their start at zero:
//
//	m_t = β₁ m_{t−1} + (1−β₁) g_t,    m_0 = 0
//	v_t = β₂ v_{t−1} + (1−β₂) g_t²,   v_0 = 0
//	u_t = −α m̂_t / (√v̂_t + ε),   m̂_t = m_t/(1−β₁ᵗ),   v̂_t = v_t/(1−β₂ᵗ)
//
// with t counted from 1, as in torch.optim.Adam (Kingma and Ba 2015,
// algorithm 1).
type Adam struct {
	// LearningRate is α. It must be set: torch.optim's default is 0.001.
	LearningRate float64 `json:"learning_rate"`
	// Betas are β₁ and β₂ in [0, 1). The pair (0, 0) means (0.9, 0.999), torch.optim's
	// default. In any other pair 0 means 0: {0, 0.999} is Adam without momentum.
	Betas [2]float64 `json:"betas"`
	// Epsilon is ε; 0 means 1e-8, torch.optim's default. Without ε the update of a coordinate
	// with no gradient so far would be 0/0. Use 1e-30 for an ε with no other effect.
	Epsilon float64 `json:"epsilon"`
}

var _ optimizer.Rule = Adam{}

// WithDefaults returns r with the zero pair of Betas and an ε of 0 set to their defaults.
func (r Adam) WithDefaults() Adam {
	r.Betas = orAdams(r.Betas)
	r.Epsilon = or(r.Epsilon, 1e-8)
	return r
}

// Validate returns an error if a field is out of its range.
func (r Adam) Validate() error {
	return errors.Join(
		learningRate("adam", r.LearningRate),
		validBetas("adam", r.Betas),
		inRange("adam", "epsilon", r.Epsilon, 0, limit, forDefault))
}

// Needs implements optimizer.Rule: gradients alone.
func (Adam) Needs() optimizer.Needs { return optimizer.Needs{} }

// Start implements optimizer.Rule. It panics if the rule is not valid.
func (r Adam) Start(layout optimizer.Layout) optimizer.State {
	r = r.WithDefaults()
	return &adamState{
		memory:       newMemory(r, "adam", layout, 2),
		learningRate: r.LearningRate,
		beta1:        r.Betas[0],
		beta2:        r.Betas[1],
		epsilon:      float32(r.Epsilon),
	}
}

type adamState struct {
	memory
	learningRate, beta1, beta2 float64
	epsilon                    float32
}

// Update implements optimizer.State. The bias corrections are computed in
// float64, as PyTorch does.
func (s *adamState) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	grad := p.Grad
	s.step(dst, grad)
	t := float64(s.steps)
	scale := float32(-s.learningRate / (1 - math.Pow(s.beta1, t)))
	correction := float32(math.Sqrt(1 - math.Pow(s.beta2, t)))
	keep1, take1 := float32(s.beta1), float32(1-s.beta1)
	keep2, take2 := float32(s.beta2), float32(1-s.beta2)
	m, v := s.vectors[0], s.vectors[1]
	for i, g := range grad {
		m[i] = float32(keep1*m[i]) + float32(take1*g)
		v[i] = float32(keep2*v[i]) + float32(float32(take2*g)*g)
		dst[i] = float32(scale*m[i]) / (float32(sqrt(v[i])/correction) + s.epsilon)
	}
	return 0, nil
}
