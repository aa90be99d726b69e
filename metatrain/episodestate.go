package metatrain

import (
	"encoding"
	"errors"
	"fmt"
	"math"

	"learnedopt/internal/saved"
	"learnedopt/internal/stream"
	"learnedopt/lstm"
)

var (
	_ encoding.BinaryMarshaler   = (*Episode)(nil)
	_ encoding.BinaryUnmarshaler = (*Episode)(nil)
)

// episodeForm is the version of an episode's binary form (internal/saved). The form holds, in this order: the step;
// 1 if the gradient at this step is known, else 0; the loss; θ; the gradient; the steps and floats of the network's
// state; 1 and the estimator's memory, or 0 if there is none.
const episodeForm = 1

// MarshalBinary implements encoding.BinaryMarshaler. It saves the episode between two windows, in 4·(2+S) bytes per
// coordinate with S the floats per coordinate of the network's state, and the estimator's memory. Three things are
// not saved: φ, because it may change from window to window; the problem, and the run of a reference (Relative),
// because both follow from the episode's index. It returns an error if the memory cannot be saved, such as a
// teacher's state without MarshalBinary.
func (ep *Episode) MarshalBinary() ([]byte, error) {
	w := saved.NewWriter("episode", episodeForm)
	w.Int(ep.Step)
	w.Int(oneIf(ep.open))
	w.Float(ep.loss)
	w.Floats32(ep.Theta)
	w.Floats32(ep.grad)
	w.Int(ep.State.Steps())
	w.Floats32(ep.State.Values())
	w.Int(oneIf(ep.Memory != nil))
	if ep.Memory != nil {
		w.State(ep.Memory)
	}
	data, err := w.Bytes()
	if err != nil {
		return nil, fmt.Errorf("metatrain: saving an episode: %w", err)
	}
	return data, nil
}

func oneIf(b bool) int {
	if b {
		return 1
	}
	return 0
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler. The episode must be a new one on the same problem, with a
// network of the same shape, and its Memory must be the value that its estimator's Start returned. After an error
// the episode must not be used.
func (ep *Episode) UnmarshalBinary(data []byte) error {
	r := saved.NewReader(data, "episode", episodeForm)
	step, open := r.Int(), r.Int()
	if step > math.MaxInt32 || open > 1 {
		r.Fail(fmt.Errorf("an episode at step %d", step))
	}
	ep.Step, ep.open, ep.loss = step, open == 1, r.Float()
	readFloats(r, ep.Theta)
	readFloats(r, ep.grad)
	steps, values := r.Int(), make([]float32, ep.State.Size())
	readFloats(r, values)
	ep.State.SetValues(steps, values)
	switch remembers := r.Int(); {
	case remembers == 0:
		ep.Memory = nil
	case ep.Memory == nil || remembers > 1:
		r.Fail(errors.New("an episode's memory of another estimator"))
	default:
		r.State(ep.Memory)
	}
	if err := r.Close(); err != nil {
		return err
	}
	ep.resume()
	return nil
}

// readFloats reads an array of len(x) floats into x. It fails the reader if the array has fewer.
func readFloats(r *saved.Reader, x []float32) {
	if copy(x, r.Floats32(len(x))) < len(x) {
		r.Fail(errShort)
	}
}

var errShort = errors.New("an array of the wrong length")

// episodePurpose is the purpose of the random streams from which episodes are drawn.
const episodePurpose = "train"

// episode returns a unit's episode at step 0.
func (cfg *TrainConfig) episode(net *lstm.Network, u *Unit) (*Episode, error) {
	e := uint64(u.Episode)
	p, err := cfg.Family.Sample(stream.New(cfg.Seed, episodePurpose, e))
	if err != nil {
		return nil, fmt.Errorf("metatrain: sampling episode %d of %s: %w", e, cfg.Family.Name(), err)
	}
	ep := NewEpisode(net, p)
	ep.Seed = stream.New(cfg.Seed, "estimator", e).Uint64()
	ep.Length = u.Length
	ep.HideLength = cfg.HideLength > 0 && stream.New(ep.Seed, "length", 0).Float64() < cfg.HideLength
	return ep, nil
}
