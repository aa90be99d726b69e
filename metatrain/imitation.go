package metatrain

import (
	"context"
	"errors"
	"fmt"

	"learnedopt/internal/saved"
	"learnedopt/internal/stream"
	"learnedopt/lstm"
	"learnedopt/optimizer"
)

// Imitation trains the network to imitate a hand-designed rule, the teacher, in some episodes, chosen at random. In
// the other episodes another estimator computes the meta-gradients (Chen et al. 2020, arXiv:2010.09089). In an episode
// of imitation the teacher moves θ, and the network reads the gradients at the teacher's points. With the teacher's
// update û_t and the network's update u_t, the window's objective is the squared error relative to the size of the
// teacher's updates,
//
//	L(φ) = ½ Σ_{t<K} ‖u_t − û_t‖² / (1/K Σ_{t<K} ‖û_t‖²).
//
// It is differentiated through the window; the state at the window's start counts as a constant. Because it is
// relative, L is of order K for an untrained network, whatever the teacher's learning rate. The losses of such a
// window are the losses at the teacher's points. The episode's Memory holds the teacher's state.
type Imitation struct {
	// Teacher is the rule to imitate. Default Adam with learning rate 0.01.
	Teacher optimizer.Rule
	// Probability is the probability that an episode is one of imitation, in (0, 1]. It must be set: 0.5 is
	// common, and 0 would be the Estimator alone.
	Probability float64
	// Estimator is the estimator for the other episodes. Default TruncatedBackprop{}.
	Estimator Estimator
}

var _ Estimator = Imitation{}

// Validate returns an error if the probability is out of range, or if the teacher or the other estimator is invalid.
func (im Imitation) Validate() error {
	if !(im.Probability > 0 && im.Probability <= 1) {
		return fmt.Errorf("metatrain: probability of imitation is %v; it must be in (0, 1], and 0.5 is common", im.Probability)
	}
	return errors.Join(usable(im.Teacher), validate(im.Estimator))
}

// Start implements Estimator. In an episode of imitation it returns the teacher's state, else the other estimator's
// memory.
func (im Imitation) Start(ep *Episode) Memory {
	if !im.imitates(ep) {
		return im.other().Start(ep)
	}
	return &teacherMemory{im.teacher().Start(optimizer.LayoutOf(ep.Problem))}
}

// imitates says whether the episode is one of imitation. The answer is the same for all its windows.
func (im Imitation) imitates(ep *Episode) bool {
	return stream.New(ep.Seed, "imitation", 0).Float64() < im.Probability
}

func (im Imitation) teacher() optimizer.Rule {
	if im.Teacher == nil {
		return handDesigned
	}
	return im.Teacher
}

func (im Imitation) other() Estimator {
	if im.Estimator == nil {
		return TruncatedBackprop{}
	}
	return im.Estimator
}

// teacherMemory is the Memory of an episode of imitation.
type teacherMemory struct{ state optimizer.State }

// teacherForm is the version of teacherMemory's binary form, which contains the binary form of the teacher's state.
const teacherForm = 1

// MarshalBinary implements encoding.BinaryMarshaler.
func (m *teacherMemory) MarshalBinary() ([]byte, error) {
	w := saved.NewWriter("teacher", teacherForm)
	w.State(m.state)
	return w.Bytes()
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (m *teacherMemory) UnmarshalBinary(data []byte) error {
	r := saved.NewReader(data, "teacher", teacherForm)
	r.State(m.state)
	return r.Close()
}

// imitation is the working memory of Imitation.
type imitation struct {
	adjoint lstm.Adjoint
	start   *lstm.State
	move    []float32   // û
	grads   [][]float32 // gradients of the window
	seen    [][]float32 // what a network with eyes saw at each step
	slopes  [][]float32 // u − û
	part    []float64   // this window's part of dphi, before scaling
}

// Estimate implements Estimator.
func (im Imitation) Estimate(ctx context.Context, dphi []float64, ep *Episode, k int) (Window, error) {
	if err := im.Validate(); err != nil {
		return Window{}, err
	}
	if !im.imitates(ep) {
		return im.other().Estimate(ctx, dphi, ep, k)
	}
	own, ok := ep.Memory.(*teacherMemory)
	if !ok {
		own = im.Start(ep).(*teacherMemory)
		ep.Memory = own
	}
	if err := ep.offers(im.teacher()); err != nil {
		return Window{}, fmt.Errorf("metatrain: the teacher of an imitation: %w", err)
	}
	m := &ep.workspace().imitation
	m.reserve(ep, k)
	m.start.CopyFrom(ep.State)
	size := 0.0
	var failed error
	w, err := ep.unroll(ctx, m.grads[:k+1], nil, func(t int) {
		p := optimizer.Point{Grad: m.grads[t], Theta: ep.Theta, Loss: ep.loss, Step: ep.Step, Total: ep.Length}
		p.Curvature, _ = ep.Problem.(optimizer.Curvature)
		if _, err := own.state.Update(m.move, p); err != nil && failed == nil {
			failed = err
		}
		copy(m.seen[t], ep.State.Context())
		slope := m.slopes[t]
		for i, v := range m.move {
			slope[i] = ep.update[i] - v
			size += float64(v) * float64(v)
		}
		copy(ep.update, m.move)
	})
	if err = errors.Join(err, failed); err != nil || w.Diverged != nil {
		return w, err
	}
	if size == 0 {
		return w, nil // the teacher does not move, so the relative error is undefined
	}
	clear(m.part)
	m.adjoint.Follow(m.part, m.start, m.grads[:k], m.seen[:k], m.slopes[:k])
	scale := float64(k) / size
	for i, d := range m.part {
		dphi[i] += scale * d
	}
	return w, nil
}

// reserve makes room for windows of k steps of the episode.
func (m *imitation) reserve(ep *Episode, k int) {
	n := len(ep.Theta)
	if m.start == nil || !m.start.Fits(ep.State) {
		m.start, m.move = ep.State.Clone(), make([]float32, n)
		m.grads, m.seen, m.slopes = nil, nil, nil
		m.part = make([]float64, len(ep.State.Network().Params()))
	}
	for len(m.grads) < k+1 {
		m.grads = append(m.grads, make([]float32, n))
		m.slopes = append(m.slopes, make([]float32, n))
		m.seen = append(m.seen, make([]float32, len(ep.State.Context())))
	}
}
