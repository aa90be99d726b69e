// Package metaopt loads learned optimizers and runs them in your own training loop.
// Package metatrain trains them, and package compare measures them.
//
//	opt, err := metaopt.Load("optimizer.mopt") // or one of PretrainedNames: Pretrained
//	run := opt.Start(optimizer.Flat(len(theta)))
//	for … {
//		err := run.Step(theta, grad)
//	}
//
// A Run takes parameters in float32 or float64, in one slice or several. Under a Guard it also takes
// the losses, and hands the run over to a hand-designed rule if the learned rule fails:
//
//	run.Step(theta, grad)          // []float32
//	run.StepLoss(theta, grad, f)   // the same under a guard
//	run.Step64(theta, grad)        // []float64
//	run.StepGroups(theta, grad)    // [][]float32
//	run.StepGroups64(theta, grad)  // [][]float64
//	run.SetLoss(f)                 // before any of them, for a guard
//	run.Update(dst, point)         // for a caller that adds updates itself
//	run.MarshalBinary()            // to continue later, bit for bit
//
// StartRule starts a run with any rule. Package rules adds schedules, weight decay, clipping, groups of parameters and
// warm starts to a learned rule (Optimizer.Rule) or a hand-designed rule. The library prints and logs
// nothing. docs/using.md tells more.
package metaopt
