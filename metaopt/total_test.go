package metaopt_test

import (
	"testing"

	"learnedopt/metaopt"
	"learnedopt/optimizer"
)

// lengths is u = T, the number of steps of the run, or 0 where nobody knows it.
type lengths struct{}

func (lengths) Needs() optimizer.Needs                 { return optimizer.Needs{} }
func (lengths) Start(optimizer.Layout) optimizer.State { return lengths{} }
func (lengths) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	dst[0] = float32(p.Total)
	return 0, nil
}

// A run tells its rule the length that the caller has set, from the next step on, by every kind of step.
func TestSetTotal(t *testing.T) {
	run, err := metaopt.StartRule(lengths{}, optimizer.Flat(1), optimizer.Needs{Theta: true})
	if err != nil {
		t.Fatal(err)
	}
	theta, grad := []float32{0}, []float32{1}
	step := func(want float32) {
		t.Helper()
		theta[0] = 0
		if err := run.Step(theta, grad); err != nil || theta[0] != want {
			t.Errorf("the rule reads a length of %v, want %v (%v)", theta[0], want, err)
		}
		dst := []float32{0}
		if _, err := run.Update(dst, optimizer.Point{Grad: grad}); err != nil || dst[0] != want {
			t.Errorf("Update's rule reads a length of %v, want %v (%v)", dst[0], want, err)
		}
	}
	step(0)
	run.SetTotal(700)
	step(700)
	dst := []float32{0}
	if _, err := run.Update(dst, optimizer.Point{Grad: grad, Total: 5}); err != nil || dst[0] != 5 {
		t.Errorf("the point's own length of 5 became %v (%v)", dst[0], err)
	}
}
