// Package metaopt meta-trains learned optimizers, evaluates them beside
// hand-designed ones, and loads finished ones for use.
//
// To use one:
//
//	opt, err := metaopt.Load("optimizer.mopt") // or one of PretrainedNames: Pretrained
//	run := opt.Start(len(theta))
//	for … {
//		err := run.Step(theta, grad)
//	}
//
// A Run takes parameters in float32 or float64, in one slice or several, and with the losses if it is
// under a Guard, which hands it over to a hand-designed rule where the learned one fails:
//
//	run.Step(theta, grad)          // []float32
//	run.StepLoss(theta, grad, f)   // the same under a guard
//	run.Step64(theta, grad)        // []float64
//	run.StepGroups(theta, grad)    // [][]float32
//	run.StepGroups64(theta, grad)  // [][]float64
//	run.SetLoss(f)                 // before any of them, for a guard
//	run.Update(dst, grad)          // for a caller that adds updates itself
//	run.MarshalBinary()            // to go on later, bit for bit
//
// StartRule starts one with any rule: package rules has schedules, weight decay, clipping, groups of parameters and
// warm starts around a learned rule (Optimizer.Rule) or a hand-designed one. The library prints and logs
// nothing; docs/using.md has more.
//
// To make one: a Trainer samples problems from an optimizer.Family, unrolls the
// network on them window by window (Episode), has an Estimator compute the
// meta-gradient of each window, and steps Adam on the network's parameters φ.
package metaopt
