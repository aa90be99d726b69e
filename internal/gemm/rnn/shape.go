package rnn

import "fmt"

// Panics after a caller's mistake.
const (
	errBatch  = "rnn: New: a minibatch needs at least one window"
	errPoint  = "rnn: wrong length of theta, text or grad"
	errSymbol = "rnn: a symbol beyond the network's"
	errVector = "rnn: product: wrong length of a vector"
	errUnset  = "rnn: product: no point has been set"
)

// MaxSymbols is the largest number of different symbols.
const MaxSymbols = 1 << 16

// A Shape is the shape of a recurrent network.
type Shape struct {
	// Symbols is the number V of different symbols, from 1 to MaxSymbols.
	Symbols int
	// Units is the number H of hidden units.
	Units int
	// Steps is the number T of steps in a window.
	Steps int
}

// Validate returns an error if a number is not positive, or if there are too many symbols.
func (s Shape) Validate() error {
	if s.Symbols < 1 || s.Symbols > MaxSymbols || s.Units < 1 || s.Steps < 1 {
		return fmt.Errorf("rnn: %d symbols, %d units and %d steps: all must be positive, and at most %d symbols", s.Symbols, s.Units, s.Steps, MaxSymbols)
	}
	return nil
}

// Size returns the number of coordinates of θ.
func (s Shape) Size() int { return (2*s.Symbols+s.Units+1)*s.Units + s.Symbols }

// A params is θ or a gradient, tensor by tensor.
type params struct {
	wx []float32 // V×H
	wh []float32 // H×H
	bh []float32 // H
	wo []float32 // H×V
	bo []float32 // V
}

// split returns the tensors in θ or in a gradient.
func (s Shape) split(x []float32) (p params) {
	take := func(n int) []float32 {
		part := x[:n:n]
		x = x[n:]
		return part
	}
	p.wx, p.wh, p.bh = take(s.Symbols*s.Units), take(s.Units*s.Units), take(s.Units)
	p.wo, p.bo = take(s.Units*s.Symbols), take(s.Symbols)
	return p
}
