package studies

import (
	"context"
	"fmt"
	"math"
	"slices"

	"learnedopt/baselines"
	"learnedopt/curvature"
	"learnedopt/internal/stream"
	"learnedopt/lstm"
	"learnedopt/metatrain"
	"learnedopt/optimizer"
	"learnedopt/policy"
	"learnedopt/report"
	"learnedopt/rules"
	"learnedopt/tasks"
)

// A contender is a family of rules with one number to tune.
type contender struct {
	name    string
	learned bool
	what    string // the number
	values  []float64
	rule    func(value float64) optimizer.Rule
}

// contenders returns the rules of the study. All have as many values to choose from.
func (b *bench) contenders(learned []Rule) []contender {
	all := []contender{
		{"trpo", false, "δ", []float64{0.0003, 0.001, 0.003, 0.01, 0.03, 0.1}, func(x float64) optimizer.Rule { return curvature.TrustRegion{Radius: x} }},
		{"natural gradient", false, "α", []float64{0.003, 0.01, 0.03, 0.1, 0.3, 1}, func(x float64) optimizer.Rule {
			// The damping and iterations of TRPO, whose steps differ in size only.
			return curvature.NaturalGradient{LearningRate: x, Damping: 0.1, Fixed: true, Iterations: 10, Tolerance: 1e-9}
		}},
		{"adam", false, "α", []float64{0.001, 0.003, 0.01, 0.03, 0.1, 0.3}, func(x float64) optimizer.Rule { return baselines.Adam{LearningRate: x} }},
	}
	for _, r := range learned {
		all = append(all, contender{r.Name, true, "factor", []float64{0.1, 0.3, 1, 3, 10, 30}, func(x float64) optimizer.Rule {
			return rules.Scaled{Rule: r.Rule, By: rules.Constant(x)}
		}})
	}
	if b.Quick {
		for i := range all {
			all[i].values = all[i].values[2:4]
		}
	}
	return all
}

// tune returns the value with the largest mean score over some runs that are not among those compared.
func (c contender) tune(runs int, score func(rule optimizer.Rule, run int) (float64, error)) (float64, error) {
	best, top := c.values[0], math.Inf(-1)
	for _, x := range c.values {
		sum := 0.0
		for run := range runs {
			s, err := score(c.rule(x), run)
			if err != nil {
				return 0, fmt.Errorf("%s with %s = %v: %w", c.name, c.what, x, err)
			}
			sum += s
		}
		if sum > top {
			best, top = x, sum
		}
	}
	return best, nil
}

// trpoStudy compares rules as steps of policy gradients: on chains, whose gradients are exact, and on CartPole, where they are sampled.
func trpoStudy(ctx context.Context, b *bench) error {
	learned, err := b.metaTrain(ctx)
	if err != nil {
		return err
	}
	all := b.contenders(append([]Rule{learned}, b.Rules...))
	if err := b.chains(ctx, all); err != nil {
		return err
	}
	return b.cartPole(ctx, all)
}

// metaTrain trains a network on chains.
func (b *bench) metaTrain(ctx context.Context) (Rule, error) {
	const name = "learned on chains"
	steps := b.pick(400, 4)
	trainer, err := metatrain.NewTrainer(metatrain.TrainConfig{
		Family: tasks.Chain{Batch: 8}, Steps: 60, MetaSteps: steps, Batch: b.pick(4, 1), Seed: b.Seed,
		WarmUp: steps / 10, FinalFraction: 0.1, ValidEvery: max(1, steps/8), ValidRuns: b.pick(8, 1), Network: lstm.Config{Hidden: b.pick(20, 4)},
		OnEvent: func(e metatrain.Event) {
			if e.Kind == metatrain.EventValidation {
				b.note(fmt.Sprintf("%s: meta-step %d of %d, mean loss %.3f", name, e.MetaStep, steps, float64(e.Valid.MeanLoss)))
			}
		},
	})
	if err != nil {
		return Rule{}, err
	}
	o, err := trainer.Train(ctx)
	if err != nil {
		return Rule{}, err
	}
	return Rule{name, o.Rule()}, nil
}

// chains compares losses under exact gradients.
func (b *bench) chains(ctx context.Context, all []contender) error {
	steps, runs := b.pick(60, 5), b.pick(5, 2)
	run := func(rule optimizer.Rule, purpose string, index int) ([]float64, error) {
		p, err := tasks.Chain{Batch: 8}.Sample(stream.New(b.Seed, purpose, uint64(index)))
		if err != nil {
			return nil, err
		}
		out, err := optimizer.Run(ctx, rule, p, steps)
		if err != nil {
			return nil, err
		}
		for len(out.Losses) < steps+1 {
			out.Losses = append(out.Losses, out.Losses[0]) // diverged: no better than where it began
		}
		return out.Losses, nil
	}
	t := Table{Title: fmt.Sprintf("Markov decision chains of 8 states with exact gradients, %d steps, %d instances of 8 chains", steps, runs),
		Header: []string{"by", "tuned", "mean loss", "last loss"}}
	picture := Picture{Name: "chains", Title: "chains: (J* − J) / (J* − J₀), exact gradients", X: "step", Y: "loss"}
	for _, c := range all {
		if err := ctx.Err(); err != nil {
			return err
		}
		c.values = b.wider(c)
		x, err := c.tune(b.pick(2, 1), func(rule optimizer.Rule, index int) (float64, error) {
			losses, err := run(rule, "chains tuning", index)
			return -mean(losses), err
		})
		if err != nil {
			return err
		}
		sum := make([]float64, steps+1)
		for i := range runs {
			losses, err := run(c.rule(x), "chains", i)
			if err != nil {
				return err
			}
			for k, l := range losses {
				sum[k] += l / float64(runs)
			}
		}
		b.note(fmt.Sprintf("chains, %s, %s = %v: mean loss %.3f", c.name, c.what, x, mean(sum)))
		t.Rows = append(t.Rows, []string{c.name, fmt.Sprintf("%s = %v", c.what, x), fmt.Sprintf("%.3f", mean(sum)), fmt.Sprintf("%.4f", sum[steps])})
		picture.Series = append(picture.Series, report.Series{Name: c.name, Mean: sum, Learned: c.learned})
	}
	b.Tables, b.Pictures = append(b.Tables, t), append(b.Pictures, picture)
	return nil
}

// wider returns values for exact gradients, which allow larger steps.
func (b *bench) wider(c contender) []float64 {
	if b.Quick {
		return c.values
	}
	values := slices.Clone(c.values)
	for _, x := range c.values[len(c.values)-4:] {
		values = append(values, 100*x)
	}
	return values
}

// The goal of CartPole-v1: a mean return of 475 of 500.
const balanced = 475

// cartPole compares returns. Rules are tuned on other seeds than those that are compared.
func (b *bench) cartPole(ctx context.Context, all []contender) error {
	const first, firstTuning = 1, 1001
	seeds, iterations, steps := b.pick(5, 2), b.pick(75, 4), b.pick(2000, 300)
	run := func(rule optimizer.Rule, seed, evaluations int) (*policy.Result, error) {
		r, err := policy.Train(ctx, policy.Config{
			New: func() policy.Environment { return &policy.CartPole{} }, Network: policy.Network{Observations: 4, Hidden: []int{32}, Actions: 2},
			Rule: rule, Steps: steps, Iterations: iterations, Evaluations: evaluations, Seed: b.Seed + uint64(seed),
		})
		if err != nil {
			return nil, err
		}
		for len(r.Evaluations) < iterations+1 {
			r.Evaluations = append(r.Evaluations, 0) // diverged: there is no policy
		}
		return r, nil
	}
	t := Table{Title: fmt.Sprintf("CartPole, policy 4-32-2 tanh, %d iterations of %d environment steps, %d seeds", iterations, steps, seeds),
		Header: []string{"by", "tuned", "mean return", "last 10 iterations", fmt.Sprintf("environment steps to %d", balanced), fmt.Sprintf("steps to 100 episodes with mean %d", balanced)}}
	picture := Picture{Name: "cartpole", Title: fmt.Sprintf("CartPole: mean of %d seeds and their range, 20 episodes each", seeds), X: fmt.Sprintf("iteration (%d environment steps each)", steps), Y: "mean return", Top: 520}
	for _, c := range all {
		x, err := c.tune(b.pick(2, 1), func(rule optimizer.Rule, index int) (float64, error) {
			r, err := run(rule, firstTuning+index, b.pick(5, 2))
			if err != nil {
				return 0, err
			}
			return mean(r.Evaluations), nil
		})
		if err != nil {
			return err
		}
		b.note(fmt.Sprintf("CartPole, %s is tuned to %s = %v", c.name, c.what, x))
		curve := report.Series{Name: c.name, Learned: c.learned, Mean: make([]float64, iterations+1), Lo: slices.Repeat([]float64{math.Inf(1)}, iterations+1), Hi: make([]float64, iterations+1)}
		var evaluated, strict []float64
		last := 0.0
		for k := range seeds {
			r, err := run(c.rule(x), first+k, b.pick(20, 2))
			if err != nil {
				return err
			}
			for i, v := range r.Evaluations {
				curve.Mean[i] += v / float64(seeds)
				curve.Lo[i], curve.Hi[i] = min(curve.Lo[i], v), max(curve.Hi[i], v)
			}
			last += mean(r.Evaluations[max(0, iterations-9):]) / float64(seeds)
			evaluated = append(evaluated, float64(steps*reached(r.Evaluations, balanced)))
			strict = append(strict, float64(solved(r, 100, balanced)))
		}
		t.Rows = append(t.Rows, []string{c.name, fmt.Sprintf("%s = %v", c.what, x), fmt.Sprintf("%.0f", mean(curve.Mean)), fmt.Sprintf("%.0f", last), stepsTo(evaluated), stepsTo(strict)})
		picture.Series = append(picture.Series, curve)
		b.note(fmt.Sprintf("CartPole, %s: mean return %.0f", c.name, mean(curve.Mean)))
	}
	b.Tables, b.Pictures = append(b.Tables, t), append(b.Pictures, picture)
	return nil
}

// reached returns the first index with a value of at least a goal, or a negative number.
func reached(values []float64, goal float64) int {
	return slices.IndexFunc(values, func(v float64) bool { return v >= goal })
}

// solved returns the number of environment steps after which the mean return of the last n episodes was first at least a goal, or a negative number.
func solved(r *policy.Result, n int, goal float64) int {
	sum := 0.0
	for i, x := range r.Returns {
		if sum += x; i >= n {
			sum -= r.Returns[i-n]
		}
		if i >= n-1 && sum/float64(n) >= goal {
			return r.Ended[i]
		}
	}
	return -1
}

// stepsTo writes how many of some seeds reached a goal, and the median and largest number of steps of those.
func stepsTo(all []float64) string {
	var got []float64
	for _, x := range all {
		if x >= 0 {
			got = append(got, x)
		}
	}
	if len(got) == 0 {
		return fmt.Sprintf("0 of %d", len(all))
	}
	slices.Sort(got)
	return fmt.Sprintf("%d of %d: median %.0f, most %.0f", len(got), len(all), got[len(got)/2], got[len(got)-1])
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}
