package optimizer

import (
	"context"
	"math"
)

// An Outcome is what one run did.
type Outcome struct {
	// Losses are f(θ_0) … f(θ_T): T+1 values for T steps, fewer after a
	// divergence. The last entry of a diverged run may be non-finite, and any at
	// which a LossState found a way out.
	Losses []float64
	// Theta is the point where the run ended; after a divergence, the last
	// finite one.
	Theta []float32
	// Diverged says where the run left the finite numbers; nil if it did not.
	Diverged *DivergedError
}

// Run applies rule to problem for the given number of steps from its starting
// point, with a fresh state and the problem's data from step 0:
//
//	θ_{t+1} = θ_t + u_t,   (u_t, s_{t+1}) = m(∇f_t(θ_t), s_t)
//
// A rule whose state is a LossState takes its steps by StepLoss instead.
//
// A divergence ends the run and is recorded in the outcome; it is not an
// error. The error is the context's, or the problem's own.
func Run(ctx context.Context, rule Rule, problem Problem, steps int) (Outcome, error) {
	if steps < 0 {
		panic(errSteps)
	}
	n := problem.Dim()
	if s, ok := problem.(Seeker); ok {
		s.Seek(0)
	}
	out := Outcome{Losses: make([]float64, 0, steps+1), Theta: make([]float32, n)}
	grad, update := make([]float32, n), make([]float32, n)
	problem.Init(out.Theta)
	state := rule.Start(n)
	byLoss, _ := state.(LossState)
	for t := 0; ; t++ {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		loss, err := problem.LossGrad(out.Theta, grad)
		if err != nil {
			return out, err
		}
		out.Losses = append(out.Losses, loss)
		if byLoss != nil && t < steps {
			if out.Diverged = byLoss.StepLoss(out.Theta, grad, loss); out.Diverged != nil {
				return out, nil
			}
			continue
		}
		if out.Diverged = CheckLoss(t, loss); out.Diverged != nil || t == steps {
			return out, nil
		}
		if out.Diverged = Check(t, "gradient", grad); out.Diverged != nil {
			return out, nil
		}
		Update(state, update, out.Theta, grad)
		if out.Diverged = Check(t, "update", update); out.Diverged != nil {
			return out, nil
		}
		next := update
		for i, x := range out.Theta {
			next[i] += x
		}
		if out.Diverged = Check(t, "parameter", next); out.Diverged != nil {
			return out, nil
		}
		copy(out.Theta, next)
	}
}

// NonFinite returns the index of the first NaN or infinity in x, or -1.
func NonFinite(x []float32) int {
	const exponent = 0x7f800000
	for i, v := range x {
		if math.Float32bits(v)&exponent == exponent {
			return i
		}
	}
	return -1
}

// Check returns a divergence if x, which is the "gradient" or "update" of step
// t or the "parameter" that it led to, is not finite.
func Check(t int, what string, x []float32) *DivergedError {
	i := NonFinite(x)
	if i < 0 {
		return nil
	}
	return &DivergedError{Step: t, What: what, Coordinate: i, Value: float64(x[i])}
}

// CheckLoss returns a divergence if the loss of step t is not finite.
func CheckLoss(t int, loss float64) *DivergedError {
	if !math.IsNaN(loss) && !math.IsInf(loss, 0) {
		return nil
	}
	return &DivergedError{Step: t, What: "loss", Coordinate: -1, Value: loss}
}
