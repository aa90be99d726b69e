// Package curvature holds update rules that use second-order information: natural gradients by conjugate gradients, K-FAC and a
// trust region in the Kullback-Leibler divergence.
//
//	rule := curvature.NaturalGradient{LearningRate: 1}
//	out, err := optimizer.Run(ctx, rule, problem, 100)
//
// They run on problems that implement optimizer.Curvature, optimizer.Trier or optimizer.Factorer, as each rule's Needs say. A problem that does not is
// refused before the first step, with an *optimizer.NeedError. With F the Fisher matrix of a minibatch, g its gradient
// and γ a damping, the update is
//
//	NaturalGradient   −α d,   (F + γI) d ≈ g by conjugate gradients       Amari 1998; Martens 2010
//	TrustRegion       −β d,   β from ½β²dᵀ(F + γI)d = δ, then smaller until KL ≤ δ      Schulman et al. 2015 (TRPO)
//	KFAC              −α A⁻¹ V G⁻¹ in each layer, with F ≈ A ⊗ G           Martens and Grosse 2015
//
// Every State implements encoding.BinaryMarshaler and encoding.BinaryUnmarshaler: a run that is saved and
// resumed continues bit for bit. The bits depend on the processor's vector instructions, as those of a product of matrices do.
package curvature
