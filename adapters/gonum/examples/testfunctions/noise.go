package main

import (
	"fmt"
	"io"
	"slices"

	"gonum.org/v1/gonum/optimize"

	gonumopt "learnedopt/adapters/gonum"
	"learnedopt/baselines"
	"learnedopt/internal/stream"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
	"learnedopt/tasks"
)

const (
	batch   = 128 // images
	batches = 200
)

// printNoise prints the methods' results on a classifier of digits when each evaluation has its own minibatch.
func printNoise(w io.Writer) error {
	o, err := metaopt.Pretrained("mlp")
	if err != nil {
		return err
	}
	data, err := tasks.Digits()
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "Digits, 784-20-10, ReLU: %d images in all, in minibatches of %d unless the name says another size:\n\n", batch*batches, batch)
	fmt.Fprintf(w, "| | evaluations | validation loss | test accuracy | ended by |\n|---|---|---|---|---|\n")
	for _, c := range []struct {
		name   string
		batch  int
		fixed  bool
		method optimize.Method
	}{
		{"gd", batch, false, &optimize.GradientDescent{}},
		{"cg", batch, false, &optimize.CG{}},
		{"lbfgs", batch, false, &optimize.LBFGS{}},
		{"lbfgs, one batch of 2560", 2560, true, &optimize.LBFGS{}},
		{"adam 0.003", batch, false, &gonumopt.Method{Rule: baselines.Adam{LearningRate: 0.003}}},
		{"adam 0.01", batch, false, &gonumopt.Method{Rule: baselines.Adam{LearningRate: 0.01}}},
		{"adam 0.03", batch, false, &gonumopt.Method{Rule: baselines.Adam{LearningRate: 0.03}}},
		{"mlp", batch, false, &gonumopt.Method{Rule: o.Rule()}},
		{"mlp+", batch, false, &gonumopt.LineSearch{Rule: o.Rule()}},
	} {
		family, err := tasks.NewClassifier(data, tasks.ClassifierConfig{Activation: "relu", Batch: c.batch})
		if err != nil {
			return err
		}
		p, err := family.Sample(stream.New(0, "noise", 0))
		if err != nil {
			return err
		}
		problem, start := asGonum(p, c.fixed)
		result, err := optimize.Minimize(problem, start, &optimize.Settings{
			Converger: optimize.NeverTerminate{}, FuncEvaluations: batch * batches / c.batch,
		}, c.method)
		if err != nil && result.Status != optimize.Failure {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		ended := result.Status.String()
		if err != nil {
			ended = err.Error()
		}
		theta := make([]float32, len(start))
		narrow(theta, result.X)
		loss, _, err := family.EvaluateSplit(theta, tasks.Valid)
		if err != nil {
			return err
		}
		_, accuracy, err := family.EvaluateSplit(theta, tasks.Test)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "| %s | %d | %.3f | %.1f%% | %s |\n", c.name, result.FuncEvaluations, loss, 100*accuracy, ended)
	}
	return nil
}

// asGonum returns a problem of this module as a problem of gonum, and its start. Every call of Func uses the next
// minibatch, or always the first. Grad at the same x uses Func's minibatch.
func asGonum(p optimizer.Problem, fixed bool) (optimize.Problem, []float64) {
	n := p.Dim()
	theta, grad, at := make([]float32, n), make([]float32, n), make([]float64, n)
	var failure error
	evaluate := func(x []float64) (loss float64) {
		narrow(theta, x)
		copy(at, x)
		if fixed {
			p.(optimizer.Seeker).Seek(0)
		}
		if loss, failure = p.LossGrad(theta, grad); failure != nil {
			return 0
		}
		return loss
	}
	start := make([]float64, n)
	p.Init(theta)
	for i, v := range theta {
		start[i] = float64(v)
	}
	return optimize.Problem{
		Func: evaluate,
		Grad: func(g, x []float64) {
			if !slices.Equal(at, x) {
				evaluate(x)
			}
			for i, v := range grad {
				g[i] = float64(v)
			}
		},
		Status: func() (optimize.Status, error) {
			if failure != nil {
				return optimize.Failure, failure
			}
			return optimize.NotTerminated, nil
		},
	}, start
}

func narrow(dst []float32, x []float64) {
	for i, v := range x {
		dst[i] = float32(v)
	}
}
