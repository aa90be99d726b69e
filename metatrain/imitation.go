package metatrain

import (
	"context"
	"errors"
	"fmt"

	"learnedopt/internal/stream"
	"learnedopt/lstm"
	"learnedopt/optimizer"
)

// Imitation has the network imitate a hand-designed rule in some episodes, chosen at
// random, and estimates the meta-gradients of the others as another estimator
// does (Chen et al. 2020, arXiv:2010.09089). In an episode of imitation the
// teacher moves θ, the network reads the gradients that the teacher meets, and with û_t
// the teacher's update and u_t the network's the window's objective is the error relative to
// the size of the teacher's updates,
//
//	L(φ) = ½ Σ_{t<K} ‖u_t − û_t‖² / (1/K Σ_{t<K} ‖û_t‖²),
//
// differentiated through the window, with the state at its start taken as given. Being relative it is
// of the order of K for a network that knows nothing, whatever the teacher's learning rate.
// The losses of such a window are those that the teacher visits. Imitation
// holds the episode that it was used on last and belongs to one goroutine; on another
// episode the teacher begins anew.
type Imitation struct {
	// Teacher is the rule. Default Adam with learning rate 0.01.
	Teacher optimizer.Rule
	// Probability is that of an episode of imitation, in (0, 1]. Default 0.5.
	Probability float64
	// Estimator is for the other episodes. Default &TruncatedBackprop{}.
	Estimator Estimator

	of      *Episode
	imitate bool
	teacher optimizer.State
	adjoint lstm.Adjoint
	start   *lstm.State
	move    []float32   // û
	grads   [][]float32 // of the window
	slopes  [][]float32 // u − û
	part    []float64   // of dphi
}

var _ Estimator = (*Imitation)(nil)

// Validate says what is wrong with the estimator.
func (im *Imitation) Validate() error {
	if !(im.Probability >= 0 && im.Probability <= 1) {
		return fmt.Errorf("metatrain: probability of imitation is %v; it must be in (0, 1]", im.Probability)
	}
	return validateEstimator(im.Estimator)
}

// Fresh implements Estimator.
func (im *Imitation) Fresh() Estimator {
	f := &Imitation{Teacher: im.Teacher, Probability: im.Probability, Estimator: &TruncatedBackprop{}}
	if im.Estimator != nil {
		f.Estimator = im.Estimator.Fresh()
	}
	return f
}

// Estimate implements Estimator.
func (im *Imitation) Estimate(ctx context.Context, dphi []float64, ep *Episode, k int) (Window, error) {
	if err := im.Validate(); err != nil {
		return Window{}, err
	}
	if im.of != ep {
		im.begin(ep)
	}
	if !im.imitate {
		return im.Estimator.Estimate(ctx, dphi, ep, k)
	}
	im.reserve(ep, k)
	im.start.CopyFrom(ep.State)
	size := 0.0
	var failed error
	w, err := ep.unroll(ctx, im.grads[:k+1], nil, func(t int) {
		p := optimizer.Point{Grad: im.grads[t], Theta: ep.Theta, Loss: ep.loss, Step: ep.Step}
		p.Curvature, _ = ep.Problem.(optimizer.Curvature)
		if _, err := im.teacher.Update(im.move, p); err != nil && failed == nil {
			failed = err
		}
		slope := im.slopes[t]
		for i, v := range im.move {
			slope[i] = ep.update[i] - v
			size += float64(v) * float64(v)
		}
		copy(ep.update, im.move)
	})
	if err = errors.Join(err, failed); err != nil || w.Diverged != nil {
		return w, err
	}
	if size == 0 {
		return w, nil // the teacher stands still: there is no scale to err on
	}
	clear(im.part)
	im.adjoint.Follow(im.part, im.start, im.grads[:k], im.slopes[:k])
	scale := float64(k) / size
	for i, d := range im.part {
		dphi[i] += scale * d
	}
	return w, nil
}

// begin decides what an episode is for.
func (im *Imitation) begin(ep *Episode) {
	probability := im.Probability
	if probability == 0 {
		probability = 0.5
	}
	if im.Estimator == nil {
		im.Estimator = &TruncatedBackprop{}
	}
	im.of, im.teacher = ep, nil
	im.imitate = stream.New(ep.Seed, "imitation", 0).Float64() < probability
	if !im.imitate {
		return
	}
	rule := im.Teacher
	if rule == nil {
		rule = handDesigned
	}
	im.teacher = rule.Start(optimizer.LayoutOf(ep.Problem))
}

// reserve makes room for windows of k steps of the episode.
func (im *Imitation) reserve(ep *Episode, k int) {
	n := len(ep.Theta)
	if im.start == nil || !im.start.Fits(ep.State) {
		im.start, im.move = ep.State.Clone(), make([]float32, n)
		im.grads, im.slopes = nil, nil
		im.part = make([]float64, len(ep.State.Network().Params()))
	}
	for len(im.grads) < k+1 {
		im.grads = append(im.grads, make([]float32, n))
		im.slopes = append(im.slopes, make([]float32, n))
	}
}
