// Package metatrain meta-trains learned optimizers: it improves the parameters φ of an update rule's
// network by gradient descent on the losses of whole optimization runs (Andrychowicz et al. 2016,
// arXiv:1606.04474).
//
// A Trainer samples problems from an optimizer.Family and runs the network on each of them: an Episode. It
// unrolls the episodes window by window, has an Estimator compute the meta-gradient of each window with
// respect to φ, and steps Adam on φ:
//
//	trainer, err := metatrain.NewTrainer(metatrain.TrainConfig{Family: family, MetaSteps: 1000})
//	opt, err := trainer.Train(ctx) // a metaopt.Optimizer: the network of the best validation
//
// The next window of an episode is a Unit of work. The unit, φ and the configuration determine the meta-gradient
// bit for bit. An Executor computes the units of a meta-step, by default in this process. The trainer clips the
// results and adds them in the order of the units.
//
// Estimators are TruncatedBackprop (with or without second derivatives), ES, PES and Imitation. An Objective
// says which function of a window's losses they differentiate. A trainer can be saved between two meta-steps,
// and a restored trainer continues bit for bit. Package metatrain/adjoint checks all meta-gradients against an
// independent computation in float64.
package metatrain
