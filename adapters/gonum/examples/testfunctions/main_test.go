package main

import (
	"regexp"
	"strings"
	"testing"

	"gonum.org/v1/gonum/diff/fd"
	"gonum.org/v1/gonum/floats"

	"learnedopt/internal/stream"
	"learnedopt/optimizer"
	"learnedopt/tasks"
)

// Each function's start, gradient and smallest value fit together.
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

// A table has one line per function and one cell per method. bfgs solves Wood's function; a learned rule comes near.
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
	// About 1e-04, and 11 and 41. The digits, and on a flat function even the power of ten, depend on the processor.
	cells := regexp.MustCompile(`\| \| bfgs \| quadratic \|\n\|---\|---\|---\|\n\| Wood \| 0 \| \de-0\d \|\n\n` +
		`(?s:.*)\| \| bfgs \| quadratic \|\n\|---\|---\|---\|\n\| Wood \| 1\d \| [34]\d \|\n`)
	if !cells.MatchString(text.String()) {
		t.Errorf("no match for %v in\n%s", cells, text.String())
	}
}

// Func draws a minibatch, or always uses the same one. Grad at the same point uses Func's minibatch; at another point it
// draws its own.
func TestAsGonum(t *testing.T) {
	data, err := tasks.NewDigits(0, 64, 8, 8)
	if err != nil {
		t.Fatal(err)
	}
	family, err := tasks.NewClassifier(data, tasks.ClassifierConfig{Units: 2, Batch: 4})
	if err != nil {
		t.Fatal(err)
	}
	for _, fixed := range []bool{false, true} {
		own, err := family.Sample(stream.New(1, "test", 0))
		if err != nil {
			t.Fatal(err)
		}
		p, err := family.Sample(stream.New(1, "test", 0))
		if err != nil {
			t.Fatal(err)
		}
		problem, x := asGonum(p, fixed)
		theta, grad := make([]float32, len(x)), make([]float32, len(x))
		own.Init(theta)
		got := make([]float64, len(x))
		for step := range 3 {
			own.(optimizer.Seeker).Seek(step)
			if fixed {
				own.(optimizer.Seeker).Seek(0)
			}
			want, err := own.LossGrad(theta, grad)
			if err != nil {
				t.Fatal(err)
			}
			if step == 2 {
				problem.Func(make([]float64, len(x))) // Grad is asked at another point than Func
				if !fixed {
					own.LossGrad(theta, grad) // of minibatch 3
				}
			} else if f := problem.Func(x); f != want {
				t.Errorf("fixed %v, step %d: f = %v, want %v", fixed, step, f, want)
			}
			problem.Grad(got, x)
			for i, g := range grad {
				if got[i] != float64(g) {
					t.Fatalf("fixed %v, step %d: gradient %d is %v, want %v", fixed, step, i, got[i], g)
				}
			}
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
