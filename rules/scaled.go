package rules

import (
	"errors"

	"learnedopt/internal/precondition"
	"learnedopt/optimizer"
)

// Scaled multiplies the updates of a rule by a schedule:
//
//	u_t = s(t) u'_t,   t = 0, 1, …
//
// For a rule with a learning rate α this is the learning rate s(t)α. A learned rule has no learning
// rate; there a falling schedule serves the same purpose, to let a run come to rest.
type Scaled struct {
	Rule optimizer.Rule
	// By is s; nil means 1.
	By Schedule
}

var _ optimizer.Rule = Scaled{}

// WithDefaults returns r with Constant(1) for a nil By.
func (r Scaled) WithDefaults() Scaled {
	r.By = or(r.By)
	return r
}

// Validate returns an error if there is no rule, or if the rule or the schedule is not valid.
func (r Scaled) Validate() error { return errors.Join(validate("scaled", r.Rule), valid(r.By)) }

// Needs implements optimizer.Rule: what the rule below needs.
func (r Scaled) Needs() optimizer.Needs { return r.Rule.Needs() }

// Start implements optimizer.Rule. It panics if r is not valid.
func (r Scaled) Start(layout optimizer.Layout) optimizer.State {
	precondition.Valid(r)
	by := or(r.By)
	return wrap(r.Rule, &change{name: "scaled", update: func(t int, dst, _ []float32) {
		s := float32(by.At(t))
		for i := range dst {
			dst[i] *= s
		}
	}}, layout)
}

// WeightDecay pulls the parameters towards zero, in addition to the updates of a rule:
//
//	u_t = u'_t − λ s(t) θ_t
//
// It is decoupled: the rule does not see it in its gradients (Loshchilov and Hutter 2019,
// arXiv:1711.05101, algorithm 2). λ is the fraction of each parameter that a step takes away. It is not multiplied
// by the rule's learning rate α: torch.optim.AdamW with weight_decay w equals WeightDecay around
// Adam with λ = αw. Scaled around both scales both, as PyTorch's schedules do.
type WeightDecay struct {
	Rule optimizer.Rule
	// Decay is λ in [0, 1); 0 means none.
	Decay float64
	// By is s; nil means 1.
	By Schedule
}

var _ optimizer.Rule = WeightDecay{}

// WithDefaults returns r with Constant(1) for a nil By.
func (r WeightDecay) WithDefaults() WeightDecay {
	r.By = or(r.By)
	return r
}

// Validate returns an error if there is no rule, if λ is out of range, or if the rule or the schedule
// is not valid.
func (r WeightDecay) Validate() error {
	return errors.Join(validate("weight decay", r.Rule), inRange("weight decay", "decay", r.Decay, 0, 1), valid(r.By))
}

// Needs implements optimizer.Rule: the parameters, and what the rule below needs.
func (r WeightDecay) Needs() optimizer.Needs {
	needs := r.Rule.Needs()
	needs.Theta = true
	return needs
}

// Start implements optimizer.Rule. It panics if r is not valid.
func (r WeightDecay) Start(layout optimizer.Layout) optimizer.State {
	precondition.Valid(r)
	by := or(r.By)
	return wrap(r.Rule, &change{name: "decay", point: true, update: func(t int, dst, theta []float32) {
		decay := float32(r.Decay * by.At(t))
		for i, x := range theta {
			dst[i] -= float32(decay * x) // the conversion rounds the product alone: no fused multiply-add on any architecture
		}
	}}, layout)
}
