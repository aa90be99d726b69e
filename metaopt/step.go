package metaopt

import (
	"errors"

	"learnedopt/optimizer"
)

// Step takes one step: it reads the gradient at theta and adds the update to theta. Wrong lengths
// panic; grad is neither kept nor changed.
//
// If gradient, update or the parameters after it are not finite, theta stays as it was, bit for bit,
// and the error is a *optimizer.DivergedError. After a bad gradient the run is as it was too.
// After a bad update or bad parameters the rule's state has seen the gradient and the step
// counts: to go on as if it had not been, resume from a save. A guarded run (WithGuard) acts in
// place of most of these errors, and needs the loss: StepLoss or SetLoss.
func (r *Run) Step(theta, grad []float32) error {
	t, g := [1][]float32{theta}, [1][]float32{grad} // on the stack, as slice literals here are not
	return step(r, t[:], g[:], &r.kept32, theta)
}

// Step64 is Step for parameters in float64. The rule computes in float32: it sees the gradient rounded, and one
// that overflows is not finite. The update is added to theta in float64, and what a guard goes
// back to is theta, bit for bit; so a guarded run keeps to one precision, and panics otherwise. Rules that ask for the parameters see them rounded, and do not take
// any beyond float32's range.
func (r *Run) Step64(theta, grad []float64) error {
	t, g := [1][]float64{theta}, [1][]float64{grad} // on the stack, as slice literals here are not
	return step(r, t[:], g[:], &r.kept64, nil)
}

// StepGroups is Step for parameters in several slices, say one for each layer: the coordinates are those
// of theta[0], then theta[1], and so on, and a DivergedError counts them so. grad has the
// same lengths, and they add up to n; empty slices are allowed. If anything is not finite anywhere,
// nothing moves. Call it with the same groups at each step.
func (r *Run) StepGroups(theta, grad [][]float32) error { return step(r, theta, grad, &r.kept32, nil) }

// StepGroups64 is StepGroups in float64, as Step64.
func (r *Run) StepGroups64(theta, grad [][]float64) error {
	return step(r, theta, grad, &r.kept64, nil)
}

// step takes a step on any groups. flat is theta if it is one slice of float32, else nil; kept is where
// the run keeps θ* of this precision.
func step[F float32 | float64](r *Run, theta, grad [][]F, kept *[]F, flat []float32) error {
	checkGroups(r.layout.Len(), theta, grad)
	if r.needs.Loss && !r.told {
		return errNoLoss
	}
	if *kept == nil && (r.kept32 != nil || r.kept64 != nil) {
		panic(errPrecision)
	}
	p := optimizer.Point{Grad: r.update, Theta: flat, Curvature: r.curvature, Step: r.steps}
	if r.told {
		p.Loss, r.told = r.loss, false
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
		var d *optimizer.DivergedError
		if overflow != nil && errors.As(err, &d) && d.What == "gradient" {
			return overflow // with the value before it was rounded
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

// checkGroups panics unless theta and grad have the same lengths, of n in all.
func checkGroups[F float32 | float64](n int, theta, grad [][]F) {
	ok := len(theta) == len(grad)
	for k := 0; ok && k < len(theta); k++ {
		ok = len(theta[k]) == len(grad[k])
		n -= len(theta[k])
	}
	if !ok || n != 0 {
		if len(theta) == 1 && len(grad) == 1 {
			panic(errLength)
		}
		panic(errGroups)
	}
}

// gather rounds groups into dst and returns a divergence if one of the values is not finite then.
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
