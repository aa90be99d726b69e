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

// episodeForm is the version of an episode's binary form (internal/saved): its step; 1 if the gradient there is
// known, else 0; the loss; θ; the gradient; the network state's steps and floats; 1 and the
// estimator's memory, or 0.
const episodeForm = 1

// MarshalBinary implements encoding.BinaryMarshaler: where the episode stands between two
// windows, in 4·(2+S) bytes a coordinate with S the floats of the network's state, and what
// the estimator remembers. Three things are left out: φ, since every window may have another; and the
// problem and the run of a reference (Relative), which follow from the episode's index. The error is that of
// a memory that cannot be saved, such as a teacher's without MarshalBinary.
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

// UnmarshalBinary implements encoding.BinaryUnmarshaler. The episode must be at the beginning of the same
// problem, with a network of the same shape, and its Memory what Start of its estimator returned.
// After an error the episode is of no use.
func (ep *Episode) UnmarshalBinary(data []byte) error {
	r := saved.NewReader(data, "episode", episodeForm)
	step, open := r.Int(), r.Int()
	if step > math.MaxInt32 || open > 1 {
		r.Fail(fmt.Errorf("an episode at step %d", step))
	}
	ep.Step, ep.open, ep.loss = step, open == 1, r.Float()
	take(r, ep.Theta)
	take(r, ep.grad)
	steps, values := r.Int(), make([]float32, ep.State.Size())
	take(r, values)
	ep.State.SetValues(steps, values)
	switch remembers := r.Int(); {
	case remembers == 0:
		ep.Memory = nil
	case ep.Memory == nil || remembers > 1:
		r.Fail(errors.New("what another estimator remembers of an episode"))
	default:
		r.State(ep.Memory)
	}
	if err := r.Close(); err != nil {
		return err
	}
	ep.resume()
	return nil
}

// take takes len(x) floats off, which must be there, into x.
func take(r *saved.Reader, x []float32) {
	if copy(x, r.Floats32(len(x))) < len(x) {
		r.Fail(errShort)
	}
}

var errShort = errors.New("an array of the wrong length")

// episodePurpose is that of the streams which episodes are drawn from.
const episodePurpose = "train"

// episode returns a unit's episode at its beginning.
func (cfg *TrainConfig) episode(net *lstm.Network, u *Unit) (*Episode, error) {
	e := uint64(u.Episode)
	p, err := cfg.Family.Sample(stream.New(cfg.Seed, episodePurpose, e))
	if err != nil {
		return nil, fmt.Errorf("metatrain: sampling episode %d of %s: %w", e, cfg.Family.Name(), err)
	}
	ep := NewEpisode(net, p)
	ep.Seed = stream.New(cfg.Seed, "estimator", e).Uint64()
	ep.Length = u.Length
	return ep, nil
}
