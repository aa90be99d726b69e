package optimizer

import (
	"context"
	"errors"
	"math"
)

// An Outcome is what one run did.
type Outcome struct {
	// Losses are f(θ_0) … f(θ_T): T+1 values for T steps, fewer after a
	// divergence. The last loss of a diverged run may be non-finite. Earlier
	// losses may be non-finite too if the rule handles such points (Needs.NonFinite).
	Losses []float64
	// Theta is the point where the run ended; after a divergence, the last
	// finite point.
	Theta []float32
	// Diverged says where the run became non-finite. It is nil if it did not.
	Diverged *DivergedError
}

// Run applies rule to problem for the given number of steps. It starts at the problem's starting
// point, with a fresh state on the problem's layout and the data of step 0:
//
//	θ_{t+1} = θ_t + u_t,   (u_t, s_{t+1}) = m(∇f_t(θ_t), s_t)
//
// If the state's Move says otherwise, Run does that instead of adding u_t.
//
// A divergence ends the run and is recorded in the outcome; it is not an
// error. Errors come from the context, the problem or the state. If the rule needs something that the problem
// does not offer, Run returns a *NeedError before the first step. It panics if steps is negative.
func Run(ctx context.Context, rule Rule, problem Problem, steps int) (Outcome, error) {
	return run[struct{}](ctx, rule, problem, steps, nil, nil)
}

// RunTimed is Run and reads a clock three times in every step: when the step began, when its loss and gradient were
// computed, and when it ended, after the update, the checks for non-finite values and the sum θ_t + u_t. It calls each with the
// three readings after every step but the one at which the run diverges. now is time.Now or another clock. each may
// cancel ctx, which ends the run with the context's error.
func RunTimed[T any](ctx context.Context, rule Rule, problem Problem, steps int, now func() T, each func(began, computed, ended T)) (Outcome, error) {
	return run(ctx, rule, problem, steps, now, each)
}

// run is Run, or RunTimed if now is set.
func run[T any](ctx context.Context, rule Rule, problem Problem, steps int, now func() T, each func(began, computed, ended T)) (Outcome, error) {
	if steps < 0 {
		panic(errSteps)
	}
	out := Outcome{Losses: make([]float64, 0, steps+1)}
	needs := rule.Needs()
	if err := needs.Met(Offers(problem)); err != nil {
		return out, err
	}
	n := problem.Dim()
	if s, ok := problem.(Seeker); ok {
		s.Seek(0)
	}
	out.Theta = make([]float32, n)
	update, theta := make([]float32, n), [][]float32{out.Theta}
	p := Point{Grad: make([]float32, n), Theta: out.Theta, Total: steps}
	p.Curvature, _ = problem.(Curvature)
	var (
		kept            []float32
		began, computed T
	)
	problem.Init(out.Theta)
	layout := LayoutOf(problem)
	state := rule.Start(layout)
	for t := 0; ; t++ {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		if now != nil {
			began = now()
		}
		var err error
		if p.Loss, err = problem.LossGrad(out.Theta, p.Grad); err != nil {
			return out, err
		}
		if now != nil {
			computed = now()
		}
		out.Losses = append(out.Losses, p.Loss)
		if t == steps {
			out.Diverged = CheckLoss(t, p.Loss)
			return out, nil
		}
		p.Step = t
		move, err := CheckedUpdate(state, needs, t, update, p)
		if err == nil && move&Return == 0 {
			if d := CheckSum(t, theta, update); d != nil {
				err = d
			}
		}
		if errors.As(err, &out.Diverged) {
			out.Diverged.In(layout)
			return out, nil
		}
		if err != nil {
			return out, err
		}
		if move&Keep != 0 && kept == nil {
			kept = make([]float32, n)
		}
		Apply(move, theta, update, kept)
		if now != nil {
			each(began, computed, now())
		}
	}
}

// CheckedUpdate calls state.Update and checks for non-finite values before and after it. It returns a *DivergedError
// of step t if the loss or the gradient is non-finite, unless needs.NonFinite says that the rule handles that, and if
// the update is non-finite. The loss is checked even if the rule does not read it: a caller that does not know the
// loss leaves it 0.
func CheckedUpdate(state State, needs Needs, t int, dst []float32, p Point) (Move, error) {
	if !needs.NonFinite {
		if d := CheckLoss(t, p.Loss); d != nil {
			return 0, d
		}
		if d := Check(t, "gradient", p.Grad); d != nil {
			return 0, d
		}
	}
	move, err := state.Update(dst, p)
	if err == nil && move&Return == 0 {
		if d := Check(t, "update", dst); d != nil {
			return 0, d
		}
	}
	return move, err
}

// CheckSum returns a divergence if θ_t + u_t is non-finite. The parameters may lie in several slices; update holds
// the coordinates of all slices, one after the other. It changes nothing.
func CheckSum[F float32 | float64](t int, theta [][]F, update []float32) *DivergedError {
	at := 0
	for _, x := range theta {
		for i, u := range update[at : at+len(x)] {
			if sum := x[i] + F(u); sum-sum != 0 {
				return &DivergedError{Step: t, What: "parameter", Coordinate: at + i, Value: float64(sum)}
			}
		}
		at += len(x)
	}
	return nil
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

// Check returns a divergence if x has a non-finite value. what says what x is: the "gradient" or the
// "update" of step t, or the "parameter" after it.
func Check(t int, what string, x []float32) *DivergedError {
	i := NonFinite(x)
	if i < 0 {
		return nil
	}
	return &DivergedError{Step: t, What: what, Coordinate: i, Value: float64(x[i])}
}

// CheckLoss returns a divergence if the loss of step t is non-finite.
func CheckLoss(t int, loss float64) *DivergedError {
	if !math.IsNaN(loss) && !math.IsInf(loss, 0) {
		return nil
	}
	return &DivergedError{Step: t, What: "loss", Coordinate: -1, Value: loss}
}
