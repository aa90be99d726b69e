// Package rules holds wrappers: rules around any other optimizer.Rule, learned or not, and around one another.
//
//	rule := rules.Scaled{
//		Rule: rules.ClipNorm{Rule: opt.Rule(), Max: 5},
//		By:   rules.WarmUp{Steps: 100, Then: rules.Cosine{Steps: 10_000}},
//	}
//	run, err := metaopt.StartRule(rule, optimizer.Flat(len(theta)), optimizer.Needs{Theta: true})
//
// What is outermost sees the gradient first and has the last word on the update:
//
//	Scaled       multiplies updates by a Schedule
//	WeightDecay  adds decoupled weight decay
//	ClipNorm     clips gradients by their norm, ClipValue coordinate by coordinate
//	Groups       gives parts of the parameters rules of their own
//	WarmStart    takes the first steps by another rule
//
// Wrappers are plain immutable values; Validate says what is wrong with one and Start panics then. They hold no
// memory a coordinate, WarmStart apart, and allocate nothing in a step.
//
// A wrapper needs what the rule below it needs (optimizer.Needs), WeightDecay also the parameters. Its states are
// saved and resumed if the states below them are. Its settings are no part of its state but of the run
// (metaopt.Run.MarshalBinary), which does not go on under another schedule without a word.
//
// Fields in which 0 would be a setting of its own have no default: Max of ClipNorm and ClipValue, Factor of StepDecay.
//
// A guard (metaopt.Guarded) may be over or under a wrapper. Over it, it guards what the wrapper makes of the rule;
// its fallback is not wrapped. Under it, the fallback is wrapped too, and what the wrapper makes non-finite is a
// divergence, not a handover.
package rules
