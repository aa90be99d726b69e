package baselines

import (
	"errors"
	"math"

	"learnedopt/optimizer"
)

// NAdamW is Adam with Nesterov's momentum and decoupled weight decay, under a learning rate that rises linearly and
// then falls along a cosine to 0 at the end of the run:
//
//	m_t = β₁ m_{t−1} + (1−β₁) g_t,    m_0 = 0
//	v_t = β₂ v_{t−1} + (1−β₂) g_t²,   v_0 = 0
//	n_t = β₁ m_t + (1−β₁) g_t
//	u_t = −α_t (n̂_t / (√v̂_t + ε) + λ θ_t),   n̂_t = n_t/(1−β₁ᵗ),   v̂_t = v_t/(1−β₂ᵗ)
//	α_t = α t/W  for t ≤ W,   α (1 + cos(π(t−1−W)/(T−W)))/2  for W < t ≤ T,   0  for t > T
//
// with t counted from 1, T the number of steps of the run and W = round(WarmUp · T). It is the baseline of the
// AlgoPerf benchmark (Dahl et al. 2023, arXiv:2306.07179; NAdam as in Choi et al. 2019, arXiv:1910.05446, table 1), except
// that AlgoPerf's warm-up starts with a step of 10⁻¹⁰ α. It differs from torch.optim.NAdam, in which β₁ changes
// with t (Dozat 2016).
type NAdamW struct {
	// LearningRate is α, the highest learning rate of the run. It must be set: AlgoPerf's class has 0.001.
	LearningRate float64 `json:"learning_rate"`
	// Betas are β₁ and β₂ in [0, 1). The pair (0, 0) means (0.9, 0.999). In any other pair 0 means 0.
	Betas [2]float64 `json:"betas"`
	// Epsilon is ε; 0 means 1e-8.
	Epsilon float64 `json:"epsilon"`
	// WeightDecay is λ in [0, 1). It is 0 by default, since a comparison of optimizers on one loss has nothing to
	// regularize; AlgoPerf tunes it.
	WeightDecay float64 `json:"weight_decay,omitempty"`
	// WarmUp is the share of the run in which the learning rate rises, in [0, 1). 0 means 0.02; use 1e-9 for a run
	// without warm-up.
	WarmUp float64 `json:"warm_up,omitempty"`
	// Steps is T. 0 means the length of the run, which the caller must then know (optimizer.Needs.Total).
	Steps int `json:"steps,omitempty"`
}

var _ optimizer.Rule = NAdamW{}

// WithDefaults returns r with the zero pair of Betas, an ε of 0 and a WarmUp of 0 set to their defaults.
func (r NAdamW) WithDefaults() NAdamW {
	r.Betas = orAdams(r.Betas)
	r.Epsilon = or(r.Epsilon, 1e-8)
	r.WarmUp = or(r.WarmUp, defaultWarmUp)
	return r
}

// Validate returns an error if a field is out of its range.
func (r NAdamW) Validate() error {
	return errors.Join(
		learningRate("nadamw", r.LearningRate),
		validBetas("nadamw", r.Betas),
		inRange("nadamw", "epsilon", r.Epsilon, 0, limit, forDefault),
		inRange("nadamw", "weight decay", r.WeightDecay, 0, 1, orZero),
		validSchedule("nadamw", r.WarmUp, r.Steps))
}

// Needs implements optimizer.Rule: the length of the run unless Steps is set, and the parameters if there is weight decay.
func (r NAdamW) Needs() optimizer.Needs {
	return optimizer.Needs{Theta: r.WeightDecay != 0, Total: r.Steps == 0}
}

// Start implements optimizer.Rule. It panics if the rule is not valid.
func (r NAdamW) Start(layout optimizer.Layout) optimizer.State {
	r = r.WithDefaults()
	return &nadamwState{memory: newMemory(r, "nadamw", layout, 2), rule: r}
}

type nadamwState struct {
	memory
	rule NAdamW // with defaults
}

// Update implements optimizer.State.
func (s *nadamwState) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	r, grad, total := &s.rule, p.Grad, length(s.rule.Steps, p)
	theta := s.decayed(r.WeightDecay, p)
	s.step(dst, grad)
	t := float64(s.steps)
	rate := r.LearningRate * warmUpCosine(int(s.steps)-1, total, r.WarmUp)
	scale := float32(-rate / (1 - math.Pow(r.Betas[0], t)))
	correction := float32(math.Sqrt(1 - math.Pow(r.Betas[1], t)))
	keep1, take1 := float32(r.Betas[0]), float32(1-r.Betas[0])
	keep2, take2 := float32(r.Betas[1]), float32(1-r.Betas[1])
	epsilon := float32(r.Epsilon)
	m, v := s.vectors[0], s.vectors[1]
	for i, g := range grad {
		taken := float32(take1 * g)
		m[i] = float32(keep1*m[i]) + taken
		v[i] = float32(keep2*v[i]) + float32(float32(take2*g)*g)
		dst[i] = float32(scale*(float32(keep1*m[i])+taken)) / (float32(sqrt(v[i])/correction) + epsilon)
	}
	shrink(dst, theta, rate*r.WeightDecay)
	return 0, nil
}
