package metatrain

import (
	"context"
	"io"

	"learnedopt/lstm"
	"learnedopt/optimizer"
)

// An Episode is one inner optimization run, unrolled window by window.
type Episode struct {
	Problem optimizer.Problem
	// Theta is θ_t, State is the network's state s_t, and Step is t, the number of steps taken.
	Theta []float32
	State *lstm.State
	Step  int
	// Seed is the seed of everything that an estimator draws at random for the episode.
	Seed uint64
	// Length is the number of steps T that the episode will have; 0 if it is not known.
	Length int
	// HideLength keeps Length from the network, which then learns to do without it.
	HideLength bool
	// Memory is what the estimator remembers of the episode from window to window; nil before the first window.
	Memory Memory
	// Workspace is the scratch memory in which windows are computed. Default: the episode makes its own.
	Workspace *Workspace

	update []float32
	// loss and grad are f(θ_t) and its gradient, if open is set. The next window starts with them.
	loss     float64
	grad     []float32
	open     bool
	sameGrad [][]float32 // many references to grad, for unrolls that do not record gradients

	reference *reference
}

// NewEpisode returns the run of net on problem, at its starting point.
func NewEpisode(net *lstm.Network, problem optimizer.Problem) *Episode {
	n := problem.Dim()
	ep := &Episode{
		Problem: problem, Theta: make([]float32, n), State: net.Start(optimizer.LayoutOf(problem)).(*lstm.State),
		update: make([]float32, n), grad: make([]float32, n),
	}
	ep.seek(0)
	problem.Init(ep.Theta)
	return ep
}

func (ep *Episode) seek(step int) {
	if s, ok := ep.Problem.(optimizer.Seeker); ok {
		s.Seek(step)
	}
}

// resume moves the problem to the data of the gradient that Unroll computes next.
func (ep *Episode) resume() {
	if ep.open {
		ep.seek(ep.Step + 1) // the gradient at ep.Step is already known
	} else {
		ep.seek(ep.Step)
	}
}

// point is the point at which the network makes its next update.
func (ep *Episode) point(grad []float32) optimizer.Point {
	p := optimizer.Point{Grad: grad, Theta: ep.Theta, Loss: ep.loss, Step: ep.Step}
	if !ep.HideLength {
		p.Total = ep.Length
	}
	return p
}

// Close ends the episode, and closes the problem if it holds resources.
func (ep *Episode) Close() error {
	if m, ok := ep.Memory.(*pesMemory); ok && ep.Workspace != nil {
		m.sides[0], ep.Memory = nil, nil
		ep.Workspace.pes = m
	}
	if c, ok := ep.Problem.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// A Window is the record of an unroll of K inner steps.
type Window struct {
	// Losses are f(θ_0) … f(θ_K), counted from the window's start. After a divergence there are fewer.
	Losses []float64
	// Diverged says where a non-finite value occurred, with Step counted from the episode's start; nil if all
	// values were finite.
	Diverged *optimizer.DivergedError
}

// Unroll takes K = len(grads)-1 inner steps,
//
//	θ_{t+1} = θ_t + u_t,   (u_t, s_{t+1}) = m(∇f_t(θ_t), s_t; φ)
//
// and records the gradients ∇f_0(θ_0) … ∇f_K(θ_K) into grads, each of n coordinates. before, if not nil, is called
// before each step t < K, when Theta and State are θ_t and s_t. Unroll panics if K < 1.
func (ep *Episode) Unroll(ctx context.Context, grads [][]float32, before func(t int)) (Window, error) {
	return ep.unroll(ctx, grads, before, nil)
}

// unroll is Unroll. In addition move, if not nil, is called after the network has written its update to ep.update,
// and may overwrite it.
func (ep *Episode) unroll(ctx context.Context, grads [][]float32, before, move func(t int)) (Window, error) {
	steps := len(grads) - 1
	if steps < 1 {
		panic(errWindow)
	}
	w := Window{Losses: make([]float64, 0, steps+1)}
	for t := 0; ; t++ {
		if t == 0 && ep.open {
			copy(grads[0], ep.grad)
		} else {
			if err := ctx.Err(); err != nil {
				return w, err
			}
			var err error
			if ep.loss, err = ep.Problem.LossGrad(ep.Theta, grads[t]); err != nil {
				return w, err
			}
		}
		w.Losses = append(w.Losses, ep.loss)
		if w.Diverged = optimizer.CheckLoss(ep.Step, ep.loss); w.Diverged != nil {
			return w, nil
		}
		if w.Diverged = optimizer.Check(ep.Step, "gradient", grads[t]); w.Diverged != nil {
			return w, nil
		}
		if t == steps {
			copy(ep.grad, grads[t])
			ep.open = true
			return w, nil
		}
		if before != nil {
			before(t)
		}
		// A network is no rule that fails: it returns no error and no Move.
		ep.State.Update(ep.update, ep.point(grads[t]))
		if w.Diverged = optimizer.Check(ep.Step, "update", ep.update); w.Diverged != nil {
			return w, nil
		}
		if move != nil {
			move(t)
		}
		for i, u := range ep.update {
			ep.Theta[i] += u
		}
		ep.Step++
	}
}
