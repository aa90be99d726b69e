// The command testfunctions compares learned rules with gonum's own methods, on gonum's test functions and on a
// classifier with minibatches. docs/adapters/gonum.md shows its output.
//
//	go run ./adapters/gonum/examples/testfunctions
package main

import (
	"fmt"
	"io"
	"log"
	"math"
	"os"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/optimize"

	gonumopt "learnedopt/adapters/gonum"
	"learnedopt/baselines"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
)

func main() {
	log.SetFlags(0)
	if err := run(os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(w io.Writer) error {
	all, err := methods()
	if err != nil {
		return err
	}
	if err := printValues(w, all, problems); err != nil {
		return err
	}
	if err := printEvaluations(w, all, problems); err != nil {
		return err
	}
	return printNoise(w)
}

// A method is a column of the tables.
type method struct {
	name  string
	fresh func() optimize.Method
}

// methods returns gonum's methods, as gonum sets them up, and this module's rules.
func methods() ([]method, error) {
	all := []method{
		{"gd", func() optimize.Method { return &optimize.GradientDescent{} }},
		{"cg", func() optimize.Method { return &optimize.CG{} }},
		{"bfgs", func() optimize.Method { return &optimize.BFGS{} }},
		{"lbfgs", func() optimize.Method { return &optimize.LBFGS{} }},
		{"adam", plain(baselines.Adam{LearningRate: 0.1})},
	}
	var searched []method
	for _, name := range []string{"quadratic", "quadratic-uniform", "mlp"} {
		o, err := metaopt.Pretrained(name)
		if err != nil {
			return nil, err
		}
		rule := o.Rule()
		all = append(all, method{name, plain(rule)})
		searched = append(searched, method{name + "+", func() optimize.Method { return &gonumopt.LineSearch{Rule: rule} }})
	}
	return append(all, searched...), nil
}

func plain(rule optimizer.Rule) func() optimize.Method {
	return func() optimize.Method { return &gonumopt.Method{Rule: rule, ReturnBest: true} }
}

// budget is the number of evaluations of Func. Grad is never evaluated more often.
const budget = 1000

// minimize returns the result of a run. The run ends after budget evaluations, at a gradient below
// threshold unless threshold is 0, or in a failure: a line search without progress, a divergence.
func minimize(p optimize.Problem, start []float64, m method, threshold float64) (*optimize.Result, error) {
	result, err := optimize.Minimize(p, start, &optimize.Settings{
		Converger: optimize.NeverTerminate{}, FuncEvaluations: budget, GradientThreshold: threshold,
	}, m.fresh())
	if err != nil && result.Status != optimize.Failure {
		return nil, fmt.Errorf("%s: %w", m.name, err)
	}
	return result, nil
}

// printValues prints the fraction of the initial excess over the minimum that is left.
func printValues(w io.Writer, all []method, problems []problem) error {
	fmt.Fprintf(w, "Part of f(x₀) − f* that is left at the best point in %d evaluations:\n\n", budget)
	header(w, all)
	for _, p := range problems {
		fmt.Fprintf(w, "| %s |", p.name)
		for _, m := range all {
			result, err := minimize(p.optimize(), p.start, m, 0)
			if err != nil {
				return err
			}
			first := p.function.Func(p.start) - p.least()
			fmt.Fprintf(w, " %s |", part((result.F-p.least())/first))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w)
	return nil
}

// part prints a fraction of 1, rounded to one digit; 0 if it is below the rounding of float64.
func part(x float64) string {
	switch {
	case x < 1e-16:
		return "0"
	case x < 0.01:
		return fmt.Sprintf("%.0e", x)
	}
	return fmt.Sprintf("%.2f", x)
}

// printEvaluations prints the number of evaluations until the gradient is small.
func printEvaluations(w io.Writer, all []method, problems []problem) error {
	const small = 1e-3
	fmt.Fprintf(w, "Evaluations until ‖∇f‖ < %v ‖∇f(x₀)‖, infinity norms; – not in %d:\n\n", small, budget)
	header(w, all)
	for _, p := range problems {
		gradient := make([]float64, len(p.start))
		p.function.Grad(gradient, p.start)
		threshold := small * floats.Norm(gradient, math.Inf(1))
		fmt.Fprintf(w, "| %s |", p.name)
		for _, m := range all {
			result, err := minimize(p.optimize(), p.start, m, threshold)
			if err != nil {
				return err
			}
			if result.Status == optimize.GradientThreshold {
				fmt.Fprintf(w, " %d |", result.FuncEvaluations)
			} else {
				fmt.Fprint(w, " – |")
			}
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w)
	return nil
}

func header(w io.Writer, all []method) {
	fmt.Fprint(w, "| |")
	for _, m := range all {
		fmt.Fprintf(w, " %s |", m.name)
	}
	fmt.Fprint(w, "\n|---|")
	for range all {
		fmt.Fprint(w, "---|")
	}
	fmt.Fprintln(w)
}
