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
// A Guard hands a run over to a hand-designed rule where the learned one fails.
//
// To make one: a Trainer samples problems from an optimizer.Family, unrolls the
// network on them window by window (Episode), has an Estimator compute the
// meta-gradient of each window, and steps Adam on the network's parameters φ.
package metaopt
