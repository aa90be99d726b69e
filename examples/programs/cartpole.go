package main

import (
	"math"
	"math/rand/v2"

	"learnedopt/internal/stream"
	"learnedopt/policy"
)

var cartPole = program{
	name: "cartpole", about: "REINFORCE on CartPole, a policy 4-32-2 tanh, ten episodes of at most 200 steps at each step", steps: 100, score: "200 − return",
	open: func(seed uint64, _ string) (trainable, error) { return reinforce(seed), nil },
}

// limit is the length of an episode at which the pole counts as balanced.
const limit = 200

// reinforce trains a policy: each step plays episodes and raises the logarithm of the probability of each action in
// proportion to the return that followed, discounted by 0.99, in units of its standard deviation over all episodes.
func reinforce(seed uint64) trainable {
	const episodes, discount = 10, 0.99
	play, batch := newDense(1, true, 4, 32, 2), newDense(episodes*limit, true, 4, 32, 2)
	layout := mustLayout(play.tensors()...)
	var (
		advantages []float64 // of the actions of all episodes
		actions    []int
	)
	return &model[float32]{
		layout: layout,
		theta:  glorot(layout, stream.New(seed, "start", 0)),
		draw: func(theta []float32, t int) {
			rng := stream.New(seed, "episodes", uint64(t))
			advantages, actions = advantages[:0], actions[:0]
			clear(batch.h[0])
			for range episodes {
				first := len(actions)
				actions = episode(play, theta, batch.h[0], actions, rng)
				for range len(actions) - first {
					advantages = append(advantages, 0)
				}
				sum := 0.0
				for i := len(actions) - 1; i >= first; i-- {
					sum = 1 + discount*sum
					advantages[i] = sum
				}
			}
			center, square := mean(advantages), 0.0
			for _, a := range advantages {
				square += (a - center) * (a - center)
			}
			deviation := math.Sqrt(square/float64(len(advantages))) + 1e-8
			for i, a := range advantages {
				advantages[i] = (a - center) / deviation
			}
		},
		lossGrad: func(grad, theta []float32) float64 {
			z, dz, loss := batch.forward(theta), batch.d[2], 0.0
			clear(dz)
			for i, action := range actions {
				weight := advantages[i] / float64(len(actions))
				loss += weight * softmaxLoss(dz[2*i:][:2], z[2*i:][:2], []int{action})
				dz[2*i] *= float32(weight)
				dz[2*i+1] *= float32(weight)
			}
			batch.backward(grad, theta, false)
			return loss
		},
		score: func(float64) float64 { return limit - float64(len(actions))/episodes },
	}
}

// episode plays until the pole falls or the limit is reached. It writes the states into rows of states and appends the
// actions.
func episode(net *dense, theta, states []float32, actions []int, rng *rand.Rand) []int {
	cart, observation := policy.CartPole{Limit: limit}, net.h[0]
	cart.Reset(observation, rng)
	for {
		copy(states[4*len(actions):], observation)
		z := net.forward(theta)
		action := 0
		if rng.Float64() < 1/(1+math.Exp(float64(z[0]-z[1]))) {
			action = 1
		}
		actions = append(actions, action)
		if _, status := cart.Step(observation, action); status != policy.Running {
			return actions
		}
	}
}
