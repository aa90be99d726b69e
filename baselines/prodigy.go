package baselines

import (
	"errors"
	"math"

	"learnedopt/internal/precondition"
	"learnedopt/optimizer"
)

// Prodigy is Adam with a step size that it finds by itself: d estimates the distance from θ_1 to a solution, from below.
//
//	r_t = √β₂ r_{t−1} + (d_t²/d_1) γ ⟨g_t, θ_1 − θ_t⟩,   r_0 = 0
//	s_t = √β₂ s_{t−1} + (d_t²/d_1) γ g_t,                s_0 = 0
//	m_t = β₁ m_{t−1} + (1−β₁) d_t g_t,                   m_0 = 0
//	v_t = β₂ v_{t−1} + (1−β₂) d_t² g_t²,                 v_0 = 0
//	d_{t+1} = max(d_t, r_t/‖s_t‖₁)
//	u_t = −γ d_t (m_t / (√v_t + d_{t+1} ε) + λ θ_t)
//
// with t counted from 1 (Mishchenko and Defazio 2023, arXiv:2306.06101, algorithm 4; the authors' package
// prodigyopt at its defaults: without bias correction and without a limit on the growth of d). All fields have
// defaults: it is the hand-designed rule without a knob. The scalar d is shared by all coordinates.
type Prodigy struct {
	// LearningRate is γ, a factor of the step size that the rule finds; 0 means 1.
	LearningRate float64 `json:"learning_rate"`
	// Betas are β₁ and β₂ in [0, 1). The pair (0, 0) means (0.9, 0.999). In any other pair 0 means 0.
	Betas [2]float64 `json:"betas"`
	// Epsilon is ε; 0 means 1e-8.
	Epsilon float64 `json:"epsilon"`
	// WeightDecay is λ in [0, 1); 0 by default, as in the package.
	WeightDecay float64 `json:"weight_decay,omitempty"`
	// Distance is d_1; 0 means 1e-6.
	Distance float64 `json:"distance,omitempty"`
}

var _ optimizer.Rule = Prodigy{}

// WithDefaults returns r with the zero pair of Betas and all zero fields but WeightDecay set to their defaults.
func (r Prodigy) WithDefaults() Prodigy {
	r.LearningRate = or(r.LearningRate, 1)
	r.Betas = orAdams(r.Betas)
	r.Epsilon = or(r.Epsilon, 1e-8)
	r.Distance = or(r.Distance, 1e-6)
	return r
}

// Validate returns an error if a field is out of its range.
func (r Prodigy) Validate() error {
	return errors.Join(
		inRange("prodigy", "learning rate", r.LearningRate, 0, limit, forDefault),
		validBetas("prodigy", r.Betas),
		inRange("prodigy", "epsilon", r.Epsilon, 0, limit, forDefault),
		inRange("prodigy", "weight decay", r.WeightDecay, 0, 1, orZero),
		inRange("prodigy", "distance", r.Distance, 0, limit, forDefault))
}

// Needs implements optimizer.Rule: the parameters.
func (Prodigy) Needs() optimizer.Needs { return optimizer.Needs{Theta: true} }

// Start implements optimizer.Rule. It panics if the rule is not valid.
func (r Prodigy) Start(layout optimizer.Layout) optimizer.State {
	r = r.WithDefaults()
	s := &prodigyState{memory: newMemory(r, "prodigy", layout, 4), rule: r}
	s.scalars = []float64{r.Distance, 0}
	return s
}

type prodigyState struct {
	memory // θ_1, s, m, v; d, r
	rule   Prodigy
}

// Update implements optimizer.State.
func (s *prodigyState) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	r, grad, theta := &s.rule, p.Grad, p.Theta
	precondition.Length("baselines", "Point.Theta", theta, s.n)
	s.step(dst, grad)
	start, sums, m, v := s.vectors[0], s.vectors[1], s.vectors[2], s.vectors[3]
	if s.steps == 1 {
		copy(start, theta)
	}
	d := s.scalars[0]
	beta3 := math.Sqrt(r.Betas[1])
	rate := d * r.LearningRate
	gain := d / r.Distance * rate
	keep1, take1 := float32(r.Betas[0]), float32(d*(1-r.Betas[0]))
	keep2, take2 := float32(r.Betas[1]), float32(d*d*(1-r.Betas[1]))
	keep3, take3 := float32(beta3), float32(gain)
	dot, norm := 0.0, 0.0
	for i, g := range grad {
		// The product of two float32 is exact in float64, so that the bits are the same on every architecture.
		dot += float64(g) * float64(start[i]-theta[i])
		m[i] = float32(keep1*m[i]) + float32(take1*g)
		v[i] = float32(keep2*v[i]) + float32(float32(take2*g)*g)
		sums[i] = float32(keep3*sums[i]) + float32(take3*g)
		norm += math.Abs(float64(sums[i]))
	}
	s.scalars[1] = float64(beta3*s.scalars[1]) + float64(gain*dot)
	if norm > 0 { // otherwise no gradient so far
		d = max(d, s.scalars[1]/norm)
		s.scalars[0] = d
	}
	scale, epsilon := float32(-rate), float32(d*r.Epsilon)
	for i := range dst {
		dst[i] = float32(scale*m[i]) / (sqrt(v[i]) + epsilon)
	}
	if r.WeightDecay != 0 {
		shrink(dst, theta, rate*r.WeightDecay)
	}
	return 0, nil
}
