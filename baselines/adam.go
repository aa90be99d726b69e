package baselines

import (
	"errors"
	"math"

	"learnedopt/optimizer"
)

// Adam divides a running mean of gradients by the root of a running mean of
// their squares, both corrected for their start at zero:
//
//	m_t = β₁ m_{t−1} + (1−β₁) g_t,    m_0 = 0
//	v_t = β₂ v_{t−1} + (1−β₂) g_t²,   v_0 = 0
//	u_t = −α m̂_t / (√v̂_t + ε),   m̂_t = m_t/(1−β₁ᵗ),   v̂_t = v_t/(1−β₂ᵗ)
//
// with t counted from 1, as in torch.optim.Adam (Kingma and Ba 2015,
// algorithm 1).
type Adam struct {
	// LearningRate is α; 0 means 0.001.
	LearningRate float64 `json:"learning_rate"`
	// Beta1 is β₁ in [0, 1); 0 means 0.9.
	Beta1 float64 `json:"beta1"`
	// Beta2 is β₂ in [0, 1); 0 means 0.999.
	Beta2 float64 `json:"beta2"`
	// Epsilon is ε; 0 means 1e-8.
	Epsilon float64 `json:"epsilon"`
}

var _ optimizer.Rule = Adam{}

// Validate returns an error if a field is out of its range.
func (r Adam) Validate() error {
	return errors.Join(
		inRange("adam", "learning rate", r.LearningRate, 0, limit),
		inRange("adam", "beta1", r.Beta1, 0, 1),
		inRange("adam", "beta2", r.Beta2, 0, 1),
		inRange("adam", "epsilon", r.Epsilon, 0, limit))
}

// Needs implements optimizer.Rule: gradients alone.
func (Adam) Needs() optimizer.Needs { return optimizer.Needs{} }

// Start implements optimizer.Rule. It panics if the rule is not valid.
func (r Adam) Start(layout optimizer.Layout) optimizer.State {
	return &adamState{
		memory:       newMemory(r, "adam", layout, 2),
		learningRate: or(r.LearningRate, 1e-3),
		beta1:        or(r.Beta1, 0.9),
		beta2:        or(r.Beta2, 0.999),
		epsilon:      float32(or(r.Epsilon, 1e-8)),
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
