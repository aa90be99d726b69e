package studies

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"

	"learnedopt/baselines"
	"learnedopt/curvature"
	"learnedopt/internal/fan"
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
	grid    grid
	rule    func(value float64) optimizer.Rule
}

// A grid is count numbers half a decade apart: 1 or 3 times a power of ten, the first of them 10^(from/2).
type grid struct{ from, count int }

// at returns the number at a place, which may be outside of the grid.
func (g grid) at(place int) float64 {
	k := g.from + place
	x, _ := strconv.ParseFloat(fmt.Sprintf("%de%d", 1+2*(k&1), k>>1), 64)
	return x
}

// extensions is how many numbers a grid gets at most beyond its ends.
const extensions = 12

// contenders returns the rules of the study. All have as many values to choose from at first (tune).
func (b *bench) contenders(learned []Rule) []contender {
	all := []contender{
		{"trpo", false, "δ", grid{-7, 6}, func(x float64) optimizer.Rule { return curvature.TrustRegion{Radius: x} }},
		{"natural gradient", false, "α", grid{-5, 6}, func(x float64) optimizer.Rule {
			// The damping and iterations of TRPO, whose steps differ in size only.
			return curvature.NaturalGradient{LearningRate: x, Damping: 0.1, Fixed: true, Iterations: 10, Tolerance: 1e-9}
		}},
		{"adam", false, "α", grid{-6, 6}, func(x float64) optimizer.Rule { return baselines.Adam{LearningRate: x} }},
	}
	for _, r := range learned {
		all = append(all, contender{r.Name, true, "factor", grid{-2, 6}, func(x float64) optimizer.Rule {
			return rules.Scaled{Rule: r.Rule, By: rules.Constant(x)}
		}})
	}
	if b.Quick {
		for i := range all {
			all[i].grid = grid{all[i].grid.from + 2, 2}
		}
	}
	return all
}

// tune returns the value with the largest mean score over some runs that are not among those compared. If that is the first or the last of the
// grid, the next value is tried too, and so on, up to extra times: a best value at an end may be the best of few.
func (c contender) tune(runs, extra int, score func(rule optimizer.Rule, run int) (float64, error)) (float64, error) {
	means := func(from, count int) ([]float64, error) {
		scores, errs := make([]float64, count*runs), make([]error, count*runs)
		fan.New(func(_, i int) {
			scores[i], errs[i] = score(c.rule(c.grid.at(from+i/runs)), i%runs)
		}).Run(len(scores), fan.Workers())
		if err := cmp.Or(errs...); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		all := make([]float64, count)
		for i := range all {
			all[i] = mean(scores[i*runs : (i+1)*runs])
		}
		return all, nil
	}
	tried, err := means(0, c.grid.count)
	if err != nil {
		return 0, err
	}
	first, last, best := 0, c.grid.count-1, 0
	for i, s := range tried {
		if s > tried[best] || math.IsNaN(tried[best]) {
			best = i
		}
	}
	top := tried[best]
	for ; extra > 0 && (best == first || best == last); extra-- {
		next := first - 1
		if best == last {
			next = last + 1
		}
		s, err := means(next, 1)
		if err != nil {
			return 0, err
		}
		first, last = min(first, next), max(last, next)
		if s[0] > top {
			best, top = next, s[0]
		}
	}
	return c.grid.at(best), nil
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
		if !b.Quick { // exact gradients allow larger steps
			c.grid.count += 4
		}
		x, err := c.tune(b.pick(2, 1), b.pick(extensions, 0), func(rule optimizer.Rule, index int) (float64, error) {
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
		t.Rows = append(t.Rows, []string{c.name, fmt.Sprintf("%s = %v", c.what, x), fmt.Sprintf("%.3f", mean(sum)), fmt.Sprintf("%.4f", max(sum[steps], 0))}) // rounding makes an optimum negative
		picture.Series = append(picture.Series, report.Series{Name: c.name, Mean: sum, Learned: c.learned})
	}
	b.Tables, b.Pictures = append(b.Tables, t), append(b.Pictures, picture)
	return nil
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
		Header: []string{"by", "tuned", "mean return", "last 10 iterations", "worst seed there", fmt.Sprintf("environment steps to %d", balanced), fmt.Sprintf("steps to 100 episodes with mean %d", balanced)}}
	picture := Picture{Name: "cartpole", Title: fmt.Sprintf("CartPole: mean return of %d seeds", seeds), X: fmt.Sprintf("iteration (%d environment steps each)", steps), Y: "mean return", Top: 520}
	for _, c := range all {
		x, err := c.tune(b.pick(2, 1), b.pick(extensions, 0), func(rule optimizer.Rule, index int) (float64, error) {
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
		curve := report.Series{Name: c.name, Learned: c.learned, Mean: make([]float64, iterations+1)}
		var evaluated, strict []float64
		last, least := 0.0, math.Inf(1)
		results, errs := make([]*policy.Result, seeds), make([]error, seeds)
		fan.New(func(_, k int) { results[k], errs[k] = run(c.rule(x), first+k, b.pick(20, 2)) }).Run(seeds, fan.Workers())
		if err := cmp.Or(errs...); err != nil {
			return err
		}
		for _, r := range results {
			for i, v := range r.Evaluations {
				curve.Mean[i] += v / float64(seeds)
			}
			end := mean(r.Evaluations[max(0, iterations-9):])
			last, least = last+end/float64(seeds), min(least, end)
			evaluated = append(evaluated, float64(steps*reached(r.Evaluations, balanced)))
			strict = append(strict, float64(solved(r, 100, balanced)))
		}
		t.Rows = append(t.Rows, []string{c.name, fmt.Sprintf("%s = %v", c.what, x), fmt.Sprintf("%.0f", mean(curve.Mean)), fmt.Sprintf("%.0f", last), fmt.Sprintf("%.0f", least), stepsTo(evaluated), stepsTo(strict)})
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
