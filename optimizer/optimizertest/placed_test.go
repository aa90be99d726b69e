package optimizertest

import (
	"testing"

	"learnedopt/optimizer"
)

// pull is u = −θ/2: a rule that asks for the parameters.
type pull struct{ n int }

func (p pull) Update(_, _ []float32) { panic("optimizertest: no point") }

func (p pull) UpdateAt(dst, theta, grad []float32) {
	if len(dst) != p.n || len(theta) != p.n || len(grad) != p.n {
		panic("optimizertest: length")
	}
	for i, x := range theta {
		dst[i] = -x / 2
	}
}

// A rule that asks for the parameters is told them, and a fault of it is found.
func TestConformTellsThePoint(t *testing.T) {
	Conform(t, ruleFunc(func(n int) optimizer.State { return pull{n} }))
	u := []float32{7, 7}
	placed{ruleFunc(func(n int) optimizer.State { return pull{n} })}.Start(2).Update(u, u)
	if u[0] != -0.5 || u[1] != -0.5 {
		t.Errorf("the updates at θ = 1 are %v, want −1/2", u)
	}
	if err := resume(placed{ruleFunc(func(n int) optimizer.State { return &pullForgets{pull{n}, counting{n: n, forgets: true}} })}); err == nil {
		t.Error("a state that forgets its steps was not found")
	}
}

// pullForgets counts its steps and does not save them.
type pullForgets struct {
	pull
	counting
}

func (p *pullForgets) Update(_, _ []float32)               { panic("optimizertest: no point") }
func (p *pullForgets) UpdateAt(dst, theta, grad []float32) { p.counting.Update(dst, grad) }

// ConformInOrder lets a rule pass for which the order of coordinates matters.
func TestConformInOrder(t *testing.T) {
	rule := each(func(i int, g float32) float32 { return -g * float32(1+i/32) })
	ConformInOrder(t, rule)
	if permutation(rule) == nil {
		t.Error("the order of the coordinates does not matter to this rule")
	}
}
