package reproduce

import (
	"fmt"
	"math"
	"slices"

	"learnedopt/compare"
)

// A resultRow is a row of the table of results.
type resultRow struct {
	name, title string
	task        string
	options     string // words for tasks.Parse
	steps       int
	// published holds the results of the best learned optimizer that others published: its mean loss and the mean of
	// its last five losses. "" if none is known.
	published string
	goal      goal
}

// A goal holds upper bounds that a learned rule must reach. 0 means no bound.
type goal struct {
	// mean bounds the mean loss, and final the mean of the last five losses.
	mean, final float64
	// meanRatio, finalRatio and lastRatio bound the mean loss, the mean of the last five losses and the last loss,
	// each divided by the lowest value of any tuned rule.
	meanRatio, finalRatio, lastRatio float64
	// finite forbids divergence.
	finite bool
}

// resultRows are the rows in the order of the table.
func resultRows() []resultRow {
	transfer := goal{meanRatio: 0.85}
	rows := []resultRow{
		{name: "mnist-100", steps: 100, published: "0.457 / 0.247", goal: goal{mean: 0.44, final: 0.24}},
		{name: "mnist-200", steps: 200, goal: transfer},
		{name: "mnist-500", steps: 500, goal: transfer},
		{name: "mnist-1000", steps: 1000, published: "0.210 / 0.152", goal: goal{mean: 0.19, final: 0.13}},
		{name: "mnist-10000", steps: 10000, published: "original diverges", goal: goal{finite: true, finalRatio: 1}},
	}
	for i := range rows {
		rows[i].title = "MNIST 784-20-10 sigmoid"
	}
	for _, group := range []struct {
		name, title, published string
		options                string
		first                  goal
	}{
		{"units-40", "40 hidden units", "0.379 / 0.214", "units=40", goal{mean: 0.37, final: 0.21}},
		{"two-layers", "2 hidden layers", "2.01 / 1.62", "layers=2", transfer},
		{"relu", "ReLU", "0.703 / 0.328", "activation=relu", transfer},
		{"tanh", "tanh", "0.555 / 0.323", "activation=tanh", transfer},
		{"elu-40", "ELU, 40 units", "", "units=40 activation=elu", transfer},
	} {
		for _, steps := range []int{100, 200, 500} {
			r := resultRow{name: fmt.Sprintf("%s-%d", group.name, steps), title: group.title, options: group.options, steps: steps, goal: transfer}
			if steps == 100 {
				r.published, r.goal = group.published, group.first
			}
			rows = append(rows, r)
		}
	}
	for i := range rows {
		rows[i].task = mnistTask
	}
	return append(rows,
		resultRow{name: "quadratic-uniform-100", title: "`quadratic-uniform`", task: "quadratic-uniform", steps: 100, goal: goal{mean: 0.14, final: 0.035}},
		resultRow{name: "quadratic-100", title: "`quadratic`", task: "quadratic", steps: 100,
			published: "paper: 0.039 against 0.051 at step 100", goal: goal{lastRatio: 0.7}})
}

// RowNames returns the names of the table's rows, in its order.
func RowNames() []string {
	var names []string
	for _, r := range resultRows() {
		names = append(names, r.name)
	}
	return names
}

// bound is one condition of a goal.
type bound struct {
	text        string // "mean ≤ 0.44"
	value, most float64
}

// bounds compares a result with the goal. tuned holds the results of the tuned rules and may be empty.
func (g goal) bounds(ours compare.Result, tuned []compare.Result) []bound {
	var all []bound
	if g.finite {
		all = append(all, bound{"no divergence", float64(ours.Diverged), 0})
	}
	last := func(r compare.Result) compare.Number { return r.Curve[len(r.Curve)-1] }
	mean := func(r compare.Result) compare.Number { return r.MeanLoss }
	final := func(r compare.Result) compare.Number { return r.FinalLoss }
	for _, b := range []struct {
		name         string
		of           func(compare.Result) compare.Number
		most, factor float64
	}{
		{"mean", mean, g.mean, g.meanRatio}, {"last five", final, g.final, g.finalRatio}, {"last", last, 0, g.lastRatio},
	} {
		value := float64(b.of(ours))
		if b.most > 0 {
			all = append(all, bound{fmt.Sprintf("%s ≤ %g", b.name, b.most), value, b.most})
		}
		if b.factor > 0 && len(tuned) > 0 {
			least := b.of(slices.MinFunc(tuned, func(p, q compare.Result) int {
				if b.of(p) < b.of(q) {
					return -1
				}
				return 1
			}))
			text := fmt.Sprintf("%s ≤ %g × tuned", b.name, b.factor)
			if b.factor == 1 {
				text = b.name + " ≤ tuned"
			}
			all = append(all, bound{text + " = " + short(b.factor*float64(least)), value, b.factor * float64(least)})
		}
	}
	return all
}

// met says whether the value is within the bound. A non-finite value never is.
func (b bound) met() bool { return b.value <= b.most && !math.IsInf(b.value, 0) }
