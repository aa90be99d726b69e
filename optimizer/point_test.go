package optimizer_test

import (
	"errors"
	"strings"
	"testing"

	"learnedopt/optimizer"
)

// decay is u = −θ/2. It ignores the gradient.
type decay struct{}

func (decay) Needs() optimizer.Needs                 { return optimizer.Needs{Theta: true} }
func (decay) Start(optimizer.Layout) optimizer.State { return decay{} }
func (decay) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	for i, x := range p.Theta {
		dst[i] = -x / 2
	}
	return 0, nil
}

// Run tells a state where the parameters are.
func TestRunTellsThePoint(t *testing.T) {
	out, err := optimizer.Run(t.Context(), decay{}, sound(2), 3)
	if err != nil || out.Diverged != nil {
		t.Fatal(err, out.Diverged)
	}
	if out.Theta[0] != 0.125 || out.Theta[1] != 0.25 {
		t.Errorf("θ_3 = %v, want (1, 2)/8", out.Theta)
	}
}

// newton is u = −g/(gᵀHg/gᵀg) on the data of the step.
type newton struct{ metric optimizer.Metric }

func (n newton) Needs() optimizer.Needs { return optimizer.Needs{Theta: true, Metrics: n.metric} }
func (n newton) Start(layout optimizer.Layout) optimizer.State {
	return newtonState{n, make([]float32, layout.Len())}
}

type newtonState struct {
	newton
	hg []float32
}

func (s newtonState) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	if err := p.Curvature.CurvatureProduct(s.hg, p.Theta, p.Grad, s.metric, p.Step); err != nil {
		return 0, err
	}
	var ghg, gg float32
	for i, g := range p.Grad {
		ghg += g * s.hg[i]
		gg += g * g
	}
	for i, g := range p.Grad {
		dst[i] = -g * gg / ghg
	}
	return 0, nil
}

// curved is a bowl of Hessian t+1 at step t.
type curved struct{ *bowl }

func (curved) Metrics() optimizer.Metric { return optimizer.Hessian }
func (curved) CurvatureProduct(dst, _, v []float32, _ optimizer.Metric, step int) error {
	for i, x := range v {
		dst[i] = float32(step+1) * x
	}
	return nil
}

// A rule that needs curvature gets products on the data of its step. If the problem has no curvature, the rule is
// refused before the first step: no gradient is computed.
func TestRunTellsCurvature(t *testing.T) {
	out, err := optimizer.Run(t.Context(), newton{optimizer.Hessian}, curved{sound(1)}, 1)
	if err != nil || out.Diverged != nil {
		t.Fatal(err, out.Diverged)
	}
	if out.Theta[0] != 0 { // the Hessian is the bowl's own at step 0
		t.Errorf("θ_1 = %v, want 0", out.Theta)
	}
	if out, err = optimizer.Run(t.Context(), skipFirst{newton{optimizer.Hessian}}, curved{sound(1)}, 2); err != nil || out.Theta[0] != 0.5 {
		t.Errorf("θ_2 = %v, want half of the way, as the Hessian of step 1 is 2: %v", out.Theta, err)
	}
	for _, c := range []struct {
		problem optimizer.Problem
		metric  optimizer.Metric
		word    string
	}{
		{sound(1), optimizer.Hessian, "Hessian-vector products"},
		{curved{sound(1)}, optimizer.Fisher, "Fisher-vector products"},
		{curved{sound(1)}, optimizer.Fisher | optimizer.Hessian, "needs Fisher-vector products,"},
	} {
		out, err := optimizer.Run(t.Context(), newton{c.metric}, c.problem, 3)
		var need *optimizer.NeedError
		if !errors.As(err, &need) || !strings.Contains(err.Error(), c.word) || len(out.Losses) != 0 {
			t.Errorf("error %v after %d losses, want one that says %q", err, len(out.Losses), c.word)
		}
	}
}

// skipFirst skips the first update of a rule.
type skipFirst struct{ newton }

func (r skipFirst) Start(layout optimizer.Layout) optimizer.State {
	return &skipping{State: r.newton.Start(layout)}
}

type skipping struct {
	optimizer.State
	begun bool
}

func (s *skipping) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	move, err := s.State.Update(dst, p)
	if !s.begun {
		s.begun = true
		clear(dst)
	}
	return move, err
}

func TestNeeds(t *testing.T) {
	all := optimizer.Needs{Theta: true, Loss: true, Metrics: optimizer.Hessian | optimizer.Fisher}
	for _, c := range []struct {
		needs, has optimizer.Needs
		words      string
	}{
		{optimizer.Needs{}, optimizer.Needs{}, ""},
		{optimizer.Needs{NonFinite: true}, optimizer.Needs{}, ""},
		{all, all, ""},
		{optimizer.Needs{Theta: true}, optimizer.Needs{Loss: true}, "needs the parameters,"},
		{optimizer.Needs{Loss: true}, optimizer.Needs{Theta: true}, "needs the loss of each step,"},
		{all, optimizer.Needs{Metrics: optimizer.Fisher}, "needs the parameters and the loss of each step and Hessian-vector products,"},
	} {
		err := c.needs.Met(c.has)
		if c.words == "" && err != nil || c.words != "" && (err == nil || !strings.Contains(err.Error(), c.words)) {
			t.Errorf("%+v of %+v: error %v, want %q", c.needs, c.has, err, c.words)
		}
	}
	got := optimizer.Needs{Theta: true, Metrics: optimizer.Hessian, NonFinite: true}.Or(optimizer.Needs{Loss: true, Metrics: optimizer.Fisher})
	if got != all {
		t.Errorf("either of two: %+v, want %+v", got, all)
	}
}

// countdown is u = T, the number of steps of the run.
type countdown struct{}

func (countdown) Needs() optimizer.Needs                 { return optimizer.Needs{Total: true} }
func (countdown) Start(optimizer.Layout) optimizer.State { return countdown{} }
func (countdown) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	for i := range dst {
		dst[i] = float32(p.Total)
	}
	return 0, nil
}

// Run tells a state how long the run is, and a caller that does not know it refuses a rule that needs it.
func TestRunTellsItsLength(t *testing.T) {
	out, err := optimizer.Run(t.Context(), countdown{}, sound(1), 3)
	if err != nil || out.Theta[0] != 1+3*3 {
		t.Errorf("θ_3 = %v, want 10 (%v)", out.Theta, err)
	}
	var needs *optimizer.NeedError
	err = countdown{}.Needs().Met(optimizer.Needs{Theta: true, Loss: true})
	if !errors.As(err, &needs) || !strings.Contains(err.Error(), "number of steps") {
		t.Errorf("a caller that does not know the length of its run gets %v", err)
	}
}
