package policy

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"learnedopt/internal/gemm/mlp"
	"learnedopt/internal/stream"
	"learnedopt/optimizer"
)

// A Config says how Train trains a policy. New, Network and Rule must be set.
type Config struct {
	// New returns an environment. Train calls it twice: for sampling and for evaluations.
	New func() Environment
	// Network is the policy.
	Network Network
	// Rule moves it, one update for each iteration.
	Rule optimizer.Rule
	// Steps is the number N of environment steps of an iteration; 0 means 2000. Iterations is the number of iterations; 0 means
	// 75. An episode may go on in the next iteration.
	Steps, Iterations int
	// Discount is γ, and Lambda the λ of generalized advantage estimation; 0 means 0.99 and 0.97.
	Discount, Lambda float64
	// Evaluations is the number of episodes of an evaluation before the first iteration and after each; 0 means 20. Their steps are not among
	// those that the policy learns from.
	Evaluations int
	// Seed determines all that is random: the start, actions and episodes.
	Seed uint64
	// OnIteration, if set, is called after each iteration.
	OnIteration func(Iteration)
}

// An Iteration reports on N environment steps and an update.
type Iteration struct {
	// Index counts iterations from 1. Steps is the number of environment steps so far.
	Index, Steps int
	// Returns are the returns of the episodes that ended in the iteration, under the policy as it was sampled.
	Returns []float64
	// Evaluation is the mean return of the evaluation after the update.
	Evaluation float64
	// Before and After are the parameters before and after the update, and States the N×F observations that it was made on. They are valid
	// during the call.
	Before, After, States []float32
	// Trial is the surrogate's change and the divergence that the update made.
	Trial optimizer.Trial
}

// A Result is a training's.
type Result struct {
	// Theta is the policy at the end.
	Theta []float32
	// Evaluations are the mean returns before the first iteration and after each.
	Evaluations []float64
	// Returns are those of all episodes that ended while it learned, in their order, and Ended the number of environment steps after which each ended.
	Returns []float64
	Ended   []int
	// Diverged says where the training became non-finite, if it did.
	Diverged *optimizer.DivergedError
}

// WithDefaults returns c with its defaults.
func (c Config) WithDefaults() Config {
	c.Steps, c.Iterations = or(c.Steps, 2000), or(c.Iterations, 75)
	c.Discount, c.Lambda = or(c.Discount, 0.99), or(c.Lambda, 0.97)
	c.Evaluations = or(c.Evaluations, 20)
	return c
}

func or[T int | float64](x, fallback T) T {
	if x == 0 {
		return fallback
	}
	return x
}

// Validate returns the first mistake.
func (c Config) Validate() error {
	c = c.WithDefaults()
	switch {
	case c.New == nil:
		return errors.New("policy: no environment; set New")
	case c.Rule == nil:
		return errors.New("policy: no rule; set Rule")
	case c.Steps < 1 || c.Iterations < 1 || c.Evaluations < 1:
		return fmt.Errorf("policy: %d steps, %d iterations, %d evaluations; want at least 1 of each (0 means the default)", c.Steps, c.Iterations, c.Evaluations)
	case !(c.Discount > 0 && c.Discount <= 1) || !(c.Lambda > 0 && c.Lambda <= 1):
		return fmt.Errorf("policy: discount %v and lambda %v; want both above 0 and at most 1 (0 means the default)", c.Discount, c.Lambda)
	}
	if err := c.Network.Validate(); err != nil {
		return err
	}
	return c.Rule.Needs().Met(optimizer.Offers((*Surrogate)(nil)))
}

// Train trains a policy. Each iteration samples N steps with the policy as it is, estimates the advantages of the actions,
//
//	δ_t = r_t + γ V(s_{t+1}) − V(s_t),   Â_t = Σ_k (γλ)^k δ_{t+k}   until the episode or the iteration ends,
//
// with V a Baseline that was fitted to the last iteration's Â + V, brings the advantages to mean 0 and variance 1, and makes one update
// of the rule on the Surrogate. V of the state after a terminated episode is 0. With curvature.TrustRegion this is TRPO.
//
// A divergence ends the training and is part of the result. Errors are the context's, a *optimizer.NeedError before the
// first step, or those of the rule.
func Train(ctx context.Context, c Config) (*Result, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.WithDefaults()
	layout := c.Network.Layout()
	n := layout.Len()
	r := &Result{Theta: make([]float32, n)}
	c.Network.Init(r.Theta, stream.New(c.Seed, "policy start", 0))
	s := newSampler(c)
	if err := s.evaluate(ctx, r, 0); err != nil {
		return nil, err
	}
	var surrogate *Surrogate
	state := c.Rule.Start(layout)
	before, grad, update, kept := make([]float32, n), make([]float32, n), make([]float32, n), make([]float32, n)
	for i := range c.Iterations {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		first := len(r.Returns)
		s.sample(r, stream.New(c.Seed, "policy rollout", uint64(i)), i*c.Steps)
		if surrogate == nil {
			surrogate = NewSurrogate(c.Network, r.Theta, s.states, s.actions, s.advantages)
		} else {
			surrogate.Set(r.Theta, s.states, s.actions, s.advantages)
		}
		copy(before, r.Theta)
		loss, err := surrogate.LossGrad(r.Theta, grad)
		if err != nil {
			return nil, err
		}
		move, err := optimizer.CheckedUpdate(state, c.Rule.Needs(), i, update,
			optimizer.Point{Grad: grad, Theta: before, Loss: loss, Curvature: surrogate, Step: i, Total: c.Iterations})
		theta := [][]float32{r.Theta}
		if err == nil && move&optimizer.Return == 0 {
			if d := optimizer.CheckSum(i, theta, update); d != nil {
				err = d
			}
		}
		if errors.As(err, &r.Diverged) {
			return r, nil
		}
		if err != nil {
			return nil, fmt.Errorf("policy: iteration %d: %w", i+1, err)
		}
		optimizer.Apply(move, theta, update, kept)
		if err := s.evaluate(ctx, r, i+1); err != nil {
			return nil, err
		}
		if c.OnIteration == nil {
			continue
		}
		trial, err := surrogate.Try(before, r.Theta, i)
		if err != nil {
			return nil, err
		}
		c.OnIteration(Iteration{Index: i + 1, Steps: (i + 1) * c.Steps, Returns: r.Returns[first:], Evaluation: r.Evaluations[i+1],
			Before: before, After: r.Theta, States: s.states, Trial: trial})
	}
	return r, nil
}

// A sampler acts with a policy.
type sampler struct {
	c           Config
	env, other  Environment
	one         *mlp.Curvature // the policy on one observation
	baseline    Baseline
	began       bool
	observation []float32 // of the episode under way
	sum         float64   // of its rewards
	logs        []float64

	states              []float32
	actions             []int
	advantages, targets []float64
	rewards             []float64
	next                []float64 // V of the state that follows, 0 after a terminated episode
	ends                []bool    // after which advantages do not go on
}

func newSampler(c Config) *sampler {
	return &sampler{c: c, env: c.New(), other: c.New(), one: c.Network.curvature(1), observation: make([]float32, c.Network.Observations), logs: make([]float64, c.Network.Actions),
		states: make([]float32, c.Steps*c.Network.Observations), actions: make([]int, c.Steps),
		advantages: make([]float64, c.Steps), targets: make([]float64, c.Steps), rewards: make([]float64, c.Steps), next: make([]float64, c.Steps), ends: make([]bool, c.Steps)}
}

// act draws an action.
func (s *sampler) act(theta, observation []float32, rng *rand.Rand) int {
	logSoftmax(s.logs, s.one.Logits(theta, observation), len(s.logs))
	u, last := rng.Float64(), len(s.logs)-1
	for a, l := range s.logs[:last] {
		if u -= math.Exp(l); u < 0 {
			return a
		}
	}
	return last
}

// sample takes N steps and computes their advantages, then fits the baseline. done is the number of steps before.
func (s *sampler) sample(r *Result, rng *rand.Rand, done int) {
	width := len(s.observation)
	for i := range s.actions {
		if !s.began {
			s.env.Reset(s.observation, rng)
			s.began, s.sum = true, 0
		}
		copy(s.states[i*width:], s.observation)
		s.actions[i] = s.act(r.Theta, s.observation, rng)
		reward, status := s.env.Step(s.observation, s.actions[i])
		s.rewards[i], s.ends[i] = reward, status != Running || i == len(s.actions)-1
		s.next[i] = 0
		if status != Terminated {
			s.next[i] = s.baseline.Predict(s.observation)
		}
		s.sum += reward
		if status != Running {
			r.Returns, r.Ended = append(r.Returns, s.sum), append(r.Ended, done+i+1)
			s.began = false
		}
	}
	s.estimate()
}

// estimate computes advantages and fits the baseline.
func (s *sampler) estimate() {
	width, ahead := len(s.observation), 0.0
	for i := len(s.actions) - 1; i >= 0; i-- {
		if s.ends[i] {
			ahead = 0
		}
		value := s.baseline.Predict(s.states[i*width : (i+1)*width])
		ahead = s.rewards[i] + s.c.Discount*s.next[i] - value + s.c.Discount*s.c.Lambda*ahead
		s.advantages[i], s.targets[i] = ahead, ahead+value
	}
	s.baseline.Fit(s.states, s.targets)
	normalize(s.advantages)
}

// normalize brings numbers to mean 0 and variance 1. If all are equal they become 0.
func normalize(x []float64) {
	mean, square := 0.0, 0.0
	for _, v := range x {
		mean += v / float64(len(x))
	}
	for i := range x {
		x[i] -= mean
		square += x[i] * x[i] / float64(len(x))
	}
	deviation := math.Sqrt(square) + 1e-8
	for i := range x {
		x[i] /= deviation
	}
}

// evaluate plays whole episodes with the policy and appends their mean return.
func (s *sampler) evaluate(ctx context.Context, r *Result, index int) error {
	rng, observation, sum := stream.New(s.c.Seed, "policy evaluation", uint64(index)), make([]float32, len(s.observation)), 0.0
	for range s.c.Evaluations {
		if err := ctx.Err(); err != nil {
			return err
		}
		s.other.Reset(observation, rng)
		for status := Running; status == Running; {
			var reward float64
			reward, status = s.other.Step(observation, s.act(r.Theta, observation, rng))
			sum += reward
		}
	}
	r.Evaluations = append(r.Evaluations, sum/float64(s.c.Evaluations))
	return nil
}
