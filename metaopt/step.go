package metaopt

import (
	"fmt"
	"slices"
	"strings"

	"learnedopt/internal/precondition"
	"learnedopt/optimizer"
)

// Step takes one step: it reads the gradient at theta and adds the update to theta. Wrong lengths
// panic. grad is neither kept nor changed.
//
// If the gradient, the update or the parameters after it are non-finite, theta stays unchanged, bit for bit,
// and the error is a *optimizer.DivergedError. After a non-finite gradient the run is unchanged too.
// After a non-finite update or parameter the rule's state has seen the gradient, and the step
// counts; to undo that, resume from a save. A guarded run (WithGuard) hands over instead of most of
// these errors. It needs the loss: call StepLoss, or SetLoss before Step.
func (r *Run) Step(theta, grad []float32) error {
	t, g := [1][]float32{theta}, [1][]float32{grad} // arrays stay on the stack; slice literals here would not
	return step(r, t[:], g[:], &r.kept32, theta)
}

// Step64 is Step for parameters in float64. The rule computes in float32 and sees the gradient rounded; a gradient
// that overflows float32 counts as non-finite. The update is added to theta in float64. A guard goes back to the
// float64 parameters, bit for bit; a guarded run must therefore use one precision only, and panics otherwise. A rule
// that needs the parameters sees them rounded, and a parameter beyond float32's range is a divergence for it.
func (r *Run) Step64(theta, grad []float64) error {
	t, g := [1][]float64{theta}, [1][]float64{grad} // arrays stay on the stack; slice literals here would not
	return step(r, t[:], g[:], &r.kept64, nil)
}

// StepGroups is Step for parameters in several slices, for example one slice for each layer. The n coordinates are
// the elements of theta[0], then of theta[1], and so on; a DivergedError counts them in this order and names the slice. The slices of grad
// have the same lengths as the slices of theta, and the lengths add up to n; empty slices are allowed. A non-finite
// value in one group leaves all groups unchanged. Call it with the same groups at each step.
func (r *Run) StepGroups(theta, grad [][]float32) error { return step(r, theta, grad, &r.kept32, nil) }

// StepGroups64 is StepGroups for parameters in float64, with the rounding that Step64 describes.
func (r *Run) StepGroups64(theta, grad [][]float64) error {
	return step(r, theta, grad, &r.kept64, nil)
}

// step takes a step on any groups. flat is theta if theta is one slice of float32, otherwise nil. kept points to
// the run's copy of θ* in this precision.
func step[F float32 | float64](r *Run, theta, grad [][]F, kept *[]F, flat []float32) error {
	err := stepAll(r, theta, grad, kept, flat)
	if err != nil { // no allocation in other steps
		if d := divergence(err); d != nil {
			d.In(groupsOf(r.layout, theta))
		}
	}
	return err
}

// groupsOf returns the layout of the slices theta: that of the run, with its names, if they are its tensors or if there is one slice
// only.
func groupsOf[F float32 | float64](layout optimizer.Layout, theta [][]F) optimizer.Layout {
	tensors := layout.Tensors()
	if len(theta) == 1 || slices.EqualFunc(theta, tensors, func(x []F, t optimizer.Tensor) bool { return len(x) == t.Len() }) {
		return layout
	}
	return optimizer.Slices(theta)
}

// stepAll is step with errors that do not know the groups.
func stepAll[F float32 | float64](r *Run, theta, grad [][]F, kept *[]F, flat []float32) error {
	checkGroups(r.layout.Len(), theta, grad)
	if r.needs.Loss && !r.lossSet {
		return errNoLoss
	}
	if *kept == nil && (r.kept32 != nil || r.kept64 != nil) {
		panic(errPrecision)
	}
	p := optimizer.Point{Grad: r.update, Theta: flat, Curvature: r.curvature, Step: r.steps, Total: r.total}
	if r.lossSet {
		p.Loss, r.lossSet = r.loss, false
	}
	overflow := gather(r.update, grad, r.steps, "gradient")
	if flat == nil && r.needs.Theta && (overflow == nil || r.needs.NonFinite) {
		if r.theta == nil {
			r.theta = make([]float32, r.layout.Len())
		}
		p.Theta = r.theta
		if d := gather(p.Theta, theta, r.steps, "parameter"); d != nil {
			return d
		}
	}
	before := r.steps
	move, err := r.checked(r.update, p)
	if err != nil {
		if d := divergence(err); overflow != nil && d != nil && d.What == "gradient" {
			return overflow // its Value is the value before rounding
		}
		return err
	}
	if move&optimizer.Return == 0 {
		if d := optimizer.CheckSum(before, theta, r.update); d != nil {
			return d
		}
	}
	if move&optimizer.Keep != 0 && *kept == nil {
		*kept = make([]F, r.layout.Len())
	}
	optimizer.Apply(move, theta, r.update, *kept)
	if move&optimizer.Return != 0 {
		r.kept32, r.kept64 = nil, nil
	}
	return nil
}

// sizes writes the lengths of some slices, of many only the first.
func sizes[F float32 | float64](groups [][]F) string {
	var text strings.Builder
	for k, x := range groups {
		switch {
		case k == 8:
			fmt.Fprintf(&text, " and %d more slices", len(groups)-k)
			return text.String()
		case k > 0:
			text.WriteString(" + ")
		}
		fmt.Fprint(&text, len(x))
	}
	if len(groups) == 0 {
		return "no"
	}
	return text.String()
}

// lengths panics unless an update and its point have n coordinates.
func lengths(dst []float32, p optimizer.Point, n int) {
	precondition.Length("metaopt", "dst", dst, n)
	precondition.Length("metaopt", "Point.Grad", p.Grad, n)
	precondition.Length("metaopt", "Point.Theta", p.Theta, n)
}

// checkGroups panics unless theta and grad have the same lengths, n in total.
func checkGroups[F float32 | float64](n int, theta, grad [][]F) {
	ok, want := len(theta) == len(grad), n
	for k := 0; ok && k < len(theta); k++ {
		ok = len(theta[k]) == len(grad[k])
		n -= len(theta[k])
	}
	if !ok || n != 0 {
		panic(fmt.Sprintf(errGroups, sizes(theta), sizes(grad), want))
	}
}

// gather rounds groups to float32 into dst and returns a divergence if a rounded value is non-finite.
func gather[F float32 | float64](dst []float32, groups [][]F, step int, what string) (d *optimizer.DivergedError) {
	at := 0
	for _, x := range groups {
		into := dst[at : at+len(x)]
		for i, v := range x {
			into[i] = float32(v)
		}
		if i := optimizer.NonFinite(into); i >= 0 && d == nil {
			d = &optimizer.DivergedError{Step: step, What: what, Coordinate: at + i, Value: float64(x[i])}
		}
		at += len(x)
	}
	return d
}
