package baselines

import (
	"errors"
	"math"

	"learnedopt/internal/precondition"
	"learnedopt/optimizer"
)

// ScheduleFree is Schedule-Free AdamW: in place of a falling learning rate it averages iterates, so that it does not
// ask where the run ends. Gradients are taken at y, between the iterate z of Adam without momentum and the average x:
//
//	v_t = β₂ v_{t−1} + (1−β₂) g_t²,   v_0 = 0,   g_t = ∇f_t(y_t)
//	z_{t+1} = z_t − α_t (g_t / (√v̂_t + ε) + λ y_t),   v̂_t = v_t/(1−β₂ᵗ)
//	x_{t+1} = (1−c_t) x_t + c_t z_{t+1},   c_t = w_t/(w_1+…+w_t),   w_t = tʳ (max_{s≤t} α_s)²
//	y_{t+1} = β₁ x_{t+1} + (1−β₁) z_{t+1},   x_1 = y_1 = z_1 = θ_1
//	α_t = α t/W  for t ≤ W,   α  for t > W
//
// with t counted from 1 (Defazio et al. 2024, arXiv:2405.15682, which won the self-tuning track of AlgoPerf 2024;
// version 1.4 of the authors' package schedulefree). Only the warm-up depends on the length T of the run, by W = round(WarmUp · T).
//
// The caller's parameters are y, as in the package's training mode: u_t = y_{t+1} − y_t. So the losses of a run are f(y_t).
// The point that the method returns is x, whose loss is usually a little lower. The states implement Averager, which computes it.
type ScheduleFree struct {
	// LearningRate is α. It must be set: the package has 0.0025.
	LearningRate float64 `json:"learning_rate"`
	// Betas are β₁ and β₂ in [0, 1). The pair (0, 0) means (0.9, 0.999), the package's default. In any other pair 0 means 0.
	Betas [2]float64 `json:"betas"`
	// Epsilon is ε; 0 means 1e-8.
	Epsilon float64 `json:"epsilon"`
	// WeightDecay is λ in [0, 1); 0 by default, as in the package.
	WeightDecay float64 `json:"weight_decay,omitempty"`
	// Power is r, at least 0; the package has 0, AlgoPerf's winner 0.75.
	Power float64 `json:"power,omitempty"`
	// WarmUp is the share of the run in which the learning rate rises, in [0, 1). 0 means 0.02; use 1e-9 for a run
	// without warm-up.
	WarmUp float64 `json:"warm_up,omitempty"`
	// Steps is T. 0 means the length of the run, which the caller must then know (optimizer.Needs.Total). Set it
	// where the length is unknown: a T of 2000 warms up for 40 steps.
	Steps int `json:"steps,omitempty"`
}

// An Averager is the state of a rule that evaluates gradients at one point and returns another.
type Averager interface {
	optimizer.State
	// Average writes into dst the point that the rule returns, where theta are the parameters
	// after the last update. dst may be theta. Wrong lengths panic.
	Average(dst, theta []float32)
}

var (
	_ optimizer.Rule = ScheduleFree{}
	_ Averager       = (*scheduleFreeState)(nil)
)

// WithDefaults returns r with the zero pair of Betas, an ε of 0 and a WarmUp of 0 set to their defaults.
func (r ScheduleFree) WithDefaults() ScheduleFree {
	r.Betas = orAdams(r.Betas)
	r.Epsilon = or(r.Epsilon, 1e-8)
	r.WarmUp = or(r.WarmUp, defaultWarmUp)
	return r
}

// Validate returns an error if a field is out of its range.
func (r ScheduleFree) Validate() error {
	return errors.Join(
		learningRate("schedule-free", r.LearningRate),
		validBetas("schedule-free", r.Betas),
		inRange("schedule-free", "epsilon", r.Epsilon, 0, limit, forDefault),
		inRange("schedule-free", "weight decay", r.WeightDecay, 0, 1, orZero),
		inRange("schedule-free", "power", r.Power, 0, 100, orZero),
		validSchedule("schedule-free", r.WarmUp, r.Steps))
}

// Needs implements optimizer.Rule: the length of the run unless Steps is set, and the parameters if there is weight decay.
func (r ScheduleFree) Needs() optimizer.Needs {
	return optimizer.Needs{Theta: r.WeightDecay != 0, Total: r.Steps == 0}
}

// Start implements optimizer.Rule. It panics if the rule is not valid.
func (r ScheduleFree) Start(layout optimizer.Layout) optimizer.State {
	r = r.WithDefaults()
	s := &scheduleFreeState{memory: newMemory(r, "sfadamw", layout, 2), rule: r}
	s.scalars = make([]float64, 2)
	return s
}

// A scheduleFreeState holds z − x instead of z and x: the updates depend on nothing else, and x follows from y.
type scheduleFreeState struct {
	memory // z − x, v; the highest learning rate so far, the sum of the weights
	rule   ScheduleFree
}

// Update implements optimizer.State.
func (s *scheduleFreeState) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	r, grad, total := &s.rule, p.Grad, length(s.rule.Steps, p)
	theta := s.decayed(r.WeightDecay, p)
	s.step(dst, grad)
	t := float64(s.steps)
	rate := r.LearningRate * warmUp(int(s.steps)-1, total, r.WarmUp)
	highest, sum := &s.scalars[0], &s.scalars[1]
	*highest = max(*highest, rate)
	weight := float64(math.Pow(t, r.Power) * *highest * *highest) // rounded before it is added
	*sum += weight
	c := 0.0
	if *sum > 0 {
		c = weight / *sum
	}
	scale, correction, epsilon := float32(-rate), float32(1-math.Pow(r.Betas[1], t)), float32(r.Epsilon)
	keep, take := float32(r.Betas[1]), float32(1-r.Betas[1])
	gap, v := s.vectors[0], s.vectors[1]
	for i, g := range grad {
		v[i] = float32(keep*v[i]) + float32(float32(take*g)*g)
		dst[i] = float32(scale*g) / (sqrt(v[i]/correction) + epsilon)
	}
	shrink(dst, theta, rate*r.WeightDecay) // dst is z_{t+1} − z_t
	follow, lead, stay := float32(r.Betas[0]*c), float32(1-r.Betas[0]), float32(1-c)
	for i, dz := range dst {
		reach := gap[i] + dz // z_{t+1} − x_t
		dst[i] = float32(follow*reach) + float32(lead*dz)
		gap[i] = stay * reach
	}
	return 0, nil
}

// Average implements Averager. It writes x = y − (1−β₁)(z−x).
func (s *scheduleFreeState) Average(dst, theta []float32) {
	precondition.Length("baselines", "dst", dst, s.n)
	precondition.Length("baselines", "theta", theta, s.n)
	lead := float32(1 - s.rule.Betas[0])
	for i, e := range s.vectors[0] {
		dst[i] = theta[i] - float32(lead*e)
	}
}
