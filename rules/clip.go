package rules

import (
	"errors"
	"math"

	"learnedopt/internal/precondition"
	"learnedopt/optimizer"
)

// ClipNorm limits the norm of a gradient, over all coordinates together, to c before a rule
// sees the gradient:
//
//	g' = g min(1, c/‖g‖₂)
//
// after Pascanu, Mikolov and Bengio 2013 (arXiv:1211.5063, algorithm 1). The norm is summed in float64. A
// non-finite gradient passes unchanged. The length of a gradient hardly affects learned rules with log-and-sign
// or RNNProp inputs; clipping changes their updates only at steps whose gradients are unusually long.
type ClipNorm struct {
	Rule optimizer.Rule
	// Max is c, above 0. It must be set: 0 would leave no gradient, although elsewhere 0 can mean no clipping.
	Max float64
}

var _ optimizer.Rule = ClipNorm{}

// Validate returns an error if there is no rule, c is out of range, or the rule is not valid.
func (r ClipNorm) Validate() error {
	return errors.Join(validate("clip norm", r.Rule), positive("clip norm", "max", r.Max, math.Inf(1), "leaves no gradient; set it, 1 is common, or leave the wrapper out"))
}

// Needs implements optimizer.Rule: what the rule below needs.
func (r ClipNorm) Needs() optimizer.Needs { return r.Rule.Needs() }

// Start implements optimizer.Rule. It panics if r is not valid.
func (r ClipNorm) Start(layout optimizer.Layout) optimizer.State {
	precondition.Valid(r)
	limit := r.Max
	return wrap(r.Rule, &change{name: "clipnorm", gradient: func(dst, grad []float32) {
		sum := 0.0
		for _, g := range grad {
			sum += float64(g) * float64(g)
		}
		norm := math.Sqrt(sum)
		if !(norm > limit) || math.IsInf(norm, 1) {
			copy(dst, grad)
			return
		}
		factor := limit / norm
		for i, g := range grad {
			dst[i] = float32(float64(g) * factor)
		}
	}}, layout)
}

// ClipValue moves each coordinate of a gradient into [−c, c] before a rule sees the gradient. Non-finite
// coordinates pass unchanged.
type ClipValue struct {
	Rule optimizer.Rule
	// Max is c, above 0. It must be set, for the reason given at ClipNorm.
	Max float64
}

var _ optimizer.Rule = ClipValue{}

// Validate returns an error if there is no rule, c is out of range, or the rule is not valid.
func (r ClipValue) Validate() error {
	return errors.Join(validate("clip value", r.Rule), positive("clip value", "max", r.Max, math.MaxFloat32, "leaves no gradient; set it, 1 is common, or leave the wrapper out"))
}

// Needs implements optimizer.Rule: what the rule below needs.
func (r ClipValue) Needs() optimizer.Needs { return r.Rule.Needs() }

// Start implements optimizer.Rule. It panics if r is not valid.
func (r ClipValue) Start(layout optimizer.Layout) optimizer.State {
	precondition.Valid(r)
	limit := float32(r.Max)
	return wrap(r.Rule, &change{name: "clipval", gradient: func(dst, grad []float32) {
		for i, g := range grad {
			if g-g == 0 {
				g = max(-limit, min(limit, g))
			}
			dst[i] = g
		}
	}}, layout)
}
