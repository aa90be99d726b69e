// Package policy holds what policy gradients are computed on: CartPole, finite Markov decision processes with exact gradients, and
// TRPO's surrogate of sampled steps. Any rule can move a policy; the step of TRPO is curvature.TrustRegion.
//
//	p, err := policy.NewTabular(&policy.MDP{…}) // exact: returns, gradients, Fisher products and divergences by linear solves
//	result, err := policy.Train(ctx, policy.Config{
//		New:     func() policy.Environment { return &policy.CartPole{} },
//		Network: policy.Network{Observations: 4, Hidden: []int{32}, Actions: 2},
//		Rule:    curvature.TrustRegion{Radius: 0.01},
//	}) // sampled: rollouts, generalized advantages, one update for each iteration
//
// Sutton et al. 2000, Policy gradient methods for reinforcement learning with function approximation; Kakade 2002, A natural policy
// gradient; Schulman et al. 2015, Trust region policy optimization (arXiv:1502.05477); Schulman et al. 2016, High-dimensional
// continuous control using generalized advantage estimation (arXiv:1506.02438).
package policy
