// Package rules holds wrappers: rules around another optimizer.Rule, learned or hand-designed. Wrappers nest.
//
//	rule := rules.Scaled{
//		Rule: rules.ClipNorm{Rule: opt.Rule(), Max: 5},
//		By:   rules.WarmUp{Steps: 100, Then: rules.Cosine{Steps: 10_000}},
//	}
//	run, err := metaopt.StartRule(rule, optimizer.Flat(len(theta)), optimizer.Needs{Theta: true})
//
// The outermost wrapper sees the gradient first and changes the update last:
//
//	Scaled       multiplies updates by a Schedule
//	WeightDecay  adds decoupled weight decay
//	ClipNorm     clips gradients by their norm
//	ClipValue    clips gradients coordinate by coordinate
//	Groups       gives each part of the parameters its own rule
//	WarmStart    takes the first steps with another rule
//	Resting      keeps coordinates still that have no gradient
//
// Wrappers are plain immutable values. Validate says what is wrong with a wrapper; Start panics if it is not valid.
// Only WarmStart and Resting hold memory per coordinate. Steps allocate nothing.
//
// A wrapper has the needs of the rule below it (optimizer.Needs); WeightDecay needs the parameters too. A wrapper's
// state can be saved and resumed if the states below it can. Its settings are not saved with its state: the run saves
// them (metaopt.Run.MarshalBinary), and a run with another schedule refuses the saved data.
//
// A field has no default if 0 would be a meaningful setting: Max of ClipNorm and ClipValue, Factor of StepDecay.
//
// A guard (metaopt.Guarded) may be outside or inside a wrapper. Outside, it guards the wrapped rule, and its
// fallback is not wrapped. Inside, the fallback is wrapped too, and a non-finite value that the wrapper makes is a
// divergence, not a handover.
package rules
