package main

import (
	"strings"
	"testing"

	"gonum.org/v1/gonum/diff/fd"
	"gonum.org/v1/gonum/floats"
)

// Each function's start, gradient and least value belong together.
func TestProblems(t *testing.T) {
	for _, p := range problems {
		gradient := make([]float64, len(p.start))
		p.function.Grad(gradient, p.start)
		// Central differences of step h = 6e-6 |x|, of functions whose third derivatives are not much above f: h² and 1e-16/h are 1e-10.
		numeric := fd.Gradient(nil, p.function.Func, p.start, &fd.Settings{Formula: fd.Central})
		if scale := floats.Norm(gradient, 2); !floats.EqualApprox(gradient, numeric, 1e-5*scale) {
			t.Errorf("%s: gradient %v, by differences %v", p.name, gradient, numeric)
		}
		if first, least := p.function.Func(p.start), p.least(); !(least < first) || least < 0 {
			t.Errorf("%s: f starts at %v, its minimum is %v", p.name, first, least)
		}
	}
}

// A table has a line a function, with a cell a method, and gonum's bfgs solves Wood's function where a rule without a
// line search does not.
func TestTables(t *testing.T) {
	all, err := methods()
	if err != nil {
		t.Fatal(err)
	}
	chosen := []method{all[2], all[5]}
	wood := problems[len(problems)-1:]
	var text strings.Builder
	if err := printValues(&text, chosen, wood); err != nil {
		t.Fatal(err)
	}
	if err := printEvaluations(&text, chosen, wood); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| | bfgs | quadratic |\n|---|---|---|\n| Wood | 0 | 2e-04 |\n",
		"| | bfgs | quadratic |\n|---|---|---|\n| Wood | 11 | 41 |\n",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
}

func TestPart(t *testing.T) {
	for x, want := range map[float64]string{-1e-9: "0", 9e-17: "0", 1.26e-16: "1e-16", 0.0094: "9e-03", 0.01: "0.01", 0.996: "1.00"} {
		if got := part(x); got != want {
			t.Errorf("%v is printed as %q, want %q", x, got, want)
		}
	}
}
