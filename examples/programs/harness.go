package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"

	"learnedopt/baselines"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
)

// A program is something that somebody trains.
type program struct {
	name, about string
	steps       int
	// score says what the table shows, if it is not the loss.
	score string
	// open returns the program before its first step. Equal seeds give equal starts, data and minibatches. dataDir is the
	// folder of data sets.
	open func(seed uint64, dataDir string) (trainable, error)
}

// programs are all programs, in the order of the table.
var programs = []program{
	logisticRaw, logisticScaled, convnet, factorization, characters, physics, curve, cifarMLP, cartPole, mnistMLP, mnistDeep,
}

// A trainable is a program that has been opened.
type trainable interface {
	// train runs it with a rule and returns the score of each step. A run that diverges ends with +Inf.
	train(rule optimizer.Rule, steps int) ([]float64, error)
}

// A model is a program whose parameters are of type F.
type model[F float32 | float64] struct {
	layout optimizer.Layout
	theta  []F
	// draw draws what step t learns from, such as a minibatch; nil means that all steps learn from the same.
	draw func(theta []F, t int)
	// lossGrad writes the gradient of the loss at θ on what was drawn, and returns the loss.
	lossGrad func(grad, theta []F) float64
	// score is what the table shows of the step, a number that shall be small; nil means the loss.
	score func(loss float64) float64
}

// train implements trainable.
func (m *model[F]) train(rule optimizer.Rule, steps int) ([]float64, error) {
	run, err := metaopt.StartRule(rule, m.layout, optimizer.Needs{Theta: true})
	if err != nil {
		return nil, err
	}
	run.SetTotal(steps)
	grad := make([]F, len(m.theta))
	var scores []float64
	for t := range steps {
		if m.draw != nil {
			m.draw(m.theta, t)
		}
		loss := m.lossGrad(grad, m.theta)
		if m.score != nil {
			loss = m.score(loss)
		}
		scores = append(scores, loss)
		var diverged *optimizer.DivergedError
		switch err := step(run, m.theta, grad); {
		case errors.As(err, &diverged):
			return append(scores, math.Inf(1)), nil
		case err != nil:
			return nil, err
		}
	}
	return scores, nil
}

// step takes one step in either type.
func step[F float32 | float64](run *metaopt.Run, theta, grad []F) error {
	if theta, ok := any(theta).([]float64); ok {
		return run.Step64(theta, any(grad).([]float64))
	}
	return run.Step(any(theta).([]float32), any(grad).([]float32))
}

// A contender is a rule with the name that the table has for it.
type contender struct {
	name string
	rule optimizer.Rule
}

// rules returns the contenders: the learned optimizer, and then Adam with each learning rate.
func rules(learned *metaopt.Optimizer) []contender {
	all := []contender{{learned.Name(), learned.Rule()}}
	for _, rate := range []float64{1e-3, 3e-3, 1e-2, 3e-2} {
		all = append(all, contender{fmt.Sprintf("Adam %v", rate), baselines.Adam{LearningRate: rate}})
	}
	return all
}

// means returns, for each contender, the mean score over all steps of all runs.
func (p program) means(contenders []contender, runs int, dataDir string) ([]float64, error) {
	all := make([]float64, len(contenders))
	for k, c := range contenders {
		for seed := range runs {
			m, err := p.open(uint64(seed), dataDir)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.name, err)
			}
			scores, err := m.train(c.rule, p.steps)
			if err != nil {
				return nil, fmt.Errorf("%s with %s: %w", p.name, c.name, err)
			}
			all[k] += mean(scores) / float64(runs)
		}
	}
	return all, nil
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

// printTable runs the programs and prints a table in Markdown, a line as each program ends. The first contender is compared with the best of the
// others. Below the table are the geometric mean and the largest of the ratios, and what was skipped because it has no data.
func printTable(out io.Writer, chosen []program, contenders []contender, runs int, dataDir string) error {
	if runs < 1 {
		return fmt.Errorf("programs: %d runs; want at least 1", runs)
	}
	header, rule := "| program | steps | score |", "|---|---:|---|"
	for _, c := range contenders {
		header, rule = header+" "+c.name+" |", rule+"---:|"
	}
	if _, err := fmt.Fprintf(out, "%s ratio |\n%s---:|\n", header, rule); err != nil {
		return err
	}
	sum, ran, worst, worstName := 0.0, 0, 0.0, ""
	var skipped []error
	for _, p := range chosen {
		means, err := p.means(contenders, runs, dataDir)
		if errors.Is(err, fs.ErrNotExist) {
			skipped = append(skipped, err)
			continue
		}
		if err != nil {
			return err
		}
		score, best := "mean loss", means[1]
		if p.score != "" {
			score = p.score
		}
		line := fmt.Sprintf("| %s | %d | %s |", p.name, p.steps, score)
		for k, m := range means {
			line += fmt.Sprintf(" %.4g |", m)
			if k > 0 {
				best = min(best, m)
			}
		}
		ratio := means[0] / best
		if _, err := fmt.Fprintf(out, "%s %s |\n", line, format(ratio)); err != nil {
			return err
		}
		sum += math.Log(ratio)
		ran++
		if ratio > worst {
			worst, worstName = ratio, p.name
		}
	}
	below := "\nnothing ran\n"
	if ran > 0 {
		below = fmt.Sprintf("\nratios to the best Adam: geometric mean %s, largest %s (%s)\n", format(math.Exp(sum/float64(ran))), format(worst), worstName)
	}
	for _, err := range skipped {
		below += fmt.Sprintf("\nskipped: %v\n", err)
	}
	_, err := io.WriteString(out, below)
	return err
}

func format(ratio float64) string { return fmt.Sprintf("%.3f", ratio) }
