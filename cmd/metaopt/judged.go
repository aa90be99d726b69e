package main

import (
	"io"
	"math/rand/v2"

	"learnedopt/metaopt"
	"learnedopt/optimizer"
	"learnedopt/tasks"
)

// judged is a family whose problems, where they can, measure final points on
// the validation and the test split for metaopt.Evaluate.
type judged struct{ optimizer.Family }

// Sample implements optimizer.Family.
func (f judged) Sample(rng *rand.Rand) (optimizer.Problem, error) {
	p, err := f.Family.Sample(rng)
	if s, ok := p.(tasks.Scored); ok && err == nil {
		return judgedProblem{p, s}, nil
	}
	return p, err
}

type judgedProblem struct {
	optimizer.Problem
	scored tasks.Scored
}

var (
	_ metaopt.Scorer   = judgedProblem{}
	_ optimizer.Seeker = judgedProblem{}
	_ io.Closer        = judgedProblem{}
)

// Score implements metaopt.Scorer.
func (p judgedProblem) Score(theta []float32) (validLoss, testAccuracy float64, err error) {
	if validLoss, _, err = p.scored.EvaluateSplit(theta, tasks.Valid); err != nil {
		return 0, 0, err
	}
	_, testAccuracy, err = p.scored.EvaluateSplit(theta, tasks.Test)
	return validLoss, testAccuracy, err
}

// Seek implements optimizer.Seeker.
func (p judgedProblem) Seek(t int) {
	if s, ok := p.Problem.(optimizer.Seeker); ok {
		s.Seek(t)
	}
}

// Close implements io.Closer.
func (p judgedProblem) Close() error {
	if c, ok := p.Problem.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
