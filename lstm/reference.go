package lstm

import (
	"fmt"
	"math"

	"learnedopt/internal/simd"
	"learnedopt/optimizer"
)

// A Reference is a network in float64 on the pure-Go kernels: the same code as
// Network with another number type. It is slow and serves for checks. It is
// immutable and safe for concurrent use.
type Reference struct {
	core *core[float64]
}

// NewReference returns the network of the given shape with parameters φ, which
// are copied. It returns the same errors as NewNetwork.
func NewReference(cfg Config, phi []float64) (*Reference, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	geo := newGeometry(cfg)
	if len(phi) != geo.size {
		return nil, fmt.Errorf("lstm: %d parameters for a network of %d", len(phi), geo.size)
	}
	for i, p := range phi {
		if math.IsNaN(p) || math.IsInf(p, 0) {
			return nil, fmt.Errorf("lstm: parameter %d is %v", i, p)
		}
	}
	return &Reference{newCore(geo, simd.Reference[float64](), append([]float64(nil), phi...))}, nil
}

// Config returns the network's shape with its defaults filled in.
func (r *Reference) Config() Config { return r.core.cfg }

// NewState returns the state of a fresh run over n coordinates. It panics if n is
// not positive.
func (r *Reference) NewState(n int) *ReferenceState {
	s := &ReferenceState{}
	s.s.init(r.core, optimizer.Flat(n))
	return s
}

// NewStateOn returns the state of a fresh run on parameters of a layout.
func (r *Reference) NewStateOn(layout optimizer.Layout) *ReferenceState {
	s := &ReferenceState{}
	s.s.init(r.core, layout)
	return s
}

// A ReferenceState is the memory of a run of a Reference over n coordinates. It
// belongs to one goroutine.
type ReferenceState struct {
	s state[float64]
}

// Update reads grad and writes the update into dst, as State.Update does for a network without eyes.
func (s *ReferenceState) Update(dst, grad []float64) { s.s.update(dst, grad, nil, 0) }

// Advance is Update for any network: theta and total are Theta and Total of a Point.
func (s *ReferenceState) Advance(dst, grad, theta []float64, total int) {
	s.s.update(dst, grad, theta, total)
}

// Context is State.Context in float64.
func (s *ReferenceState) Context() []float64 { return s.s.context }

// Clone returns a copy of s.
func (s *ReferenceState) Clone() *ReferenceState {
	c := &ReferenceState{}
	c.s.initLike(&s.s)
	c.s.copyFrom(&s.s)
	return c
}

// A ReferenceAdjoint computes the gradients of Adjoint in float64. It belongs to
// one goroutine.
type ReferenceAdjoint struct {
	a adjoint[float64]
}

// Unroll is Adjoint.Unroll in float64: grads are the K+1 gradients of a window that
// began in state start, and weights are w_1 … w_K; nil means all 1. It adds to dphi.
func (a *ReferenceAdjoint) Unroll(dphi []float64, start *ReferenceState, grads, contexts [][]float64, weights []float64) {
	if len(grads) == 0 {
		panic(errWindow)
	}
	a.a.run(dphi, &start.s, grads[:len(grads)-1], contexts, grads[1:], weights, nil, nil)
}

// Step is Adjoint.Step in float64: it goes backwards through one update from state
// start. It adds to dphi and overwrites mu and dgrad.
func (a *ReferenceAdjoint) Step(dphi []float64, start *ReferenceState, grad, context, lambda []float64, mu *ReferenceState, dgrad []float64) {
	a.a.run(dphi, &start.s, [][]float64{grad}, [][]float64{context}, [][]float64{lambda}, nil, &mu.s, dgrad)
}
