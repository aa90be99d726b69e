package metatrain

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"learnedopt/checkpoints"
	"learnedopt/optimizer"
)

// restorer reads the arrays of a saved training; the first error stays.
type restorer struct {
	f    *checkpoints.File
	read int
	err  error
}

func (r *restorer) keep(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *restorer) bytes(name string) []byte {
	data, err := r.f.Uint8(name)
	r.keep(err)
	r.read++
	return data
}

// floats reads n of them; on an error they are 0.
func (r *restorer) floats(name string, n int) []float32 {
	x := make([]float32, n)
	data := r.bytes(name)
	if r.err != nil {
		return x
	}
	if len(data) != 4*n {
		r.keep(fmt.Errorf("%s has %d bytes, want %d", name, len(data), 4*n))
		return x
	}
	takeFloats(x, data)
	return x
}

func (r *restorer) state(name string, s optimizer.State) {
	data := r.bytes(name)
	if r.err == nil {
		r.keep(unmarshalState(s, data))
	}
}

func appendFloats(data []byte, x []float32) []byte {
	for _, v := range x {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return data
}

func appendDoubles(data []byte, x []float64) []byte {
	for _, v := range x {
		data = binary.LittleEndian.AppendUint64(data, math.Float64bits(v))
	}
	return data
}

// takeFloats fills x from the beginning of data and returns the rest.
func takeFloats(x []float32, data []byte) []byte {
	for i := range x {
		x[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return data[4*len(x):]
}

func takeDoubles(x []float64, data []byte) []byte {
	for i := range x {
		x[i] = math.Float64frombits(binary.LittleEndian.Uint64(data[8*i:]))
	}
	return data[8*len(x):]
}

var errShort = errors.New("an array of the wrong length")

// episodeHead is the size of what opens an episode's binary form, of n coordinates and
// little-endian:
//
//	step (uint64), open (uint64, 0 or 1), loss (float64), θ and the last gradient (n float32
//	each), and the state's own form
const episodeHead = 24

// save returns the episode's binary form.
func (ep *Episode) save() ([]byte, error) {
	state, err := ep.State.MarshalBinary()
	if err != nil {
		return nil, err
	}
	data := make([]byte, 0, episodeHead+8*len(ep.Theta)+len(state))
	data = binary.LittleEndian.AppendUint64(data, uint64(ep.Step))
	open := uint64(0)
	if ep.open {
		open = 1
	}
	data = binary.LittleEndian.AppendUint64(data, open)
	data = binary.LittleEndian.AppendUint64(data, math.Float64bits(ep.loss))
	data = appendFloats(data, ep.Theta)
	data = appendFloats(data, ep.grad)
	return append(data, state...), nil
}

// load makes an episode of as many coordinates, whose state has the network it was saved with, what
// save saved.
func (ep *Episode) load(data []byte) error {
	if len(data) < episodeHead+8*len(ep.Theta) {
		return errShort
	}
	step, open := binary.LittleEndian.Uint64(data), binary.LittleEndian.Uint64(data[8:])
	if step > math.MaxInt32 || open > 1 {
		return fmt.Errorf("an episode at step %d", step)
	}
	ep.Step, ep.open = int(step), open == 1
	ep.loss = math.Float64frombits(binary.LittleEndian.Uint64(data[16:]))
	data = takeFloats(ep.Theta, data[episodeHead:])
	return ep.State.UnmarshalBinary(takeFloats(ep.grad, data))
}

// SaveWindow implements ResumableEstimator: a window takes nothing from those before.
func (tb *TruncatedBackprop) SaveWindow(*Episode) ([]byte, error) { return nil, nil }

// RestoreWindow implements ResumableEstimator.
func (tb *TruncatedBackprop) RestoreWindow(_ *Episode, data []byte) error { return nothing(data) }

// SaveWindow implements ResumableEstimator: a window takes nothing from those before.
func (es *ES) SaveWindow(*Episode) ([]byte, error) { return nil, nil }

// RestoreWindow implements ResumableEstimator.
func (es *ES) RestoreWindow(_ *Episode, data []byte) error { return nothing(data) }

func nothing(data []byte) error {
	if len(data) > 0 {
		return errShort
	}
	return nil
}

// SaveWindow implements ResumableEstimator: each pair's ξ, then the sides but the first, which is
// the episode, all in their turn.
func (pes *PES) SaveWindow(ep *Episode) ([]byte, error) {
	pairs := max(pes.Pairs, 1)
	if len(pes.sides) != 2*pairs || pes.sides[0] != ep || pes.at != ep.Step {
		return nil, nil // it begins anew
	}
	var data []byte
	for _, xi := range pes.xi[:pairs] {
		data = appendDoubles(data, xi)
	}
	for _, side := range pes.sides[1:] {
		// Every window gives each side a network of its own.
		side.State.SetNetwork(ep.State.Network())
		saved, err := side.save()
		if err != nil {
			return nil, err
		}
		data = append(data, saved...)
	}
	return data, nil
}

// RestoreWindow implements ResumableEstimator.
func (pes *PES) RestoreWindow(ep *Episode, data []byte) error {
	if len(data) == 0 {
		return nil
	}
	pairs := max(pes.Pairs, 1)
	params := len(ep.State.Network().Params())
	if len(data) < 8*params*pairs {
		return errShort
	}
	xi := make([][]float64, pairs)
	for p := range xi {
		xi[p] = make([]float64, params)
		data = takeDoubles(xi[p], data)
	}
	if len(data)%(2*pairs-1) != 0 {
		return errShort
	}
	sides, size := []*Episode{ep}, len(data)/(2*pairs-1)
	for range 2*pairs - 1 {
		side := ep.fork()
		if err := side.load(data[:size]); err != nil {
			return err
		}
		if side.Step != ep.Step {
			return fmt.Errorf("sides of PES at steps %d and %d", side.Step, ep.Step)
		}
		sides, data = append(sides, side), data[size:]
	}
	pes.xi, pes.sides, pes.at = xi, sides, ep.Step
	return nil
}

// SaveWindow implements ResumableEstimator: the teacher's state in an episode of imitation, the other
// estimator's own in others.
func (im *Imitation) SaveWindow(ep *Episode) ([]byte, error) {
	if im.of != ep {
		return nil, nil
	}
	if im.imitate {
		return marshalState(im.teacher)
	}
	e, ok := im.Estimator.(ResumableEstimator)
	if !ok {
		return nil, fmt.Errorf("metatrain: a training by %T cannot be saved: it is no ResumableEstimator", im.Estimator)
	}
	return e.SaveWindow(ep)
}

// RestoreWindow implements ResumableEstimator.
func (im *Imitation) RestoreWindow(ep *Episode, data []byte) error {
	if len(data) == 0 {
		return nil // to begin is all there is to do
	}
	im.begin(ep)
	if im.imitate {
		return unmarshalState(im.teacher, data)
	}
	e, ok := im.Estimator.(ResumableEstimator)
	if !ok {
		return fmt.Errorf("metatrain: a training by %T cannot go on: it is no ResumableEstimator", im.Estimator)
	}
	return e.RestoreWindow(ep, data)
}

var (
	_ ResumableEstimator = (*TruncatedBackprop)(nil)
	_ ResumableEstimator = (*ES)(nil)
	_ ResumableEstimator = (*PES)(nil)
	_ ResumableEstimator = (*Imitation)(nil)
)
