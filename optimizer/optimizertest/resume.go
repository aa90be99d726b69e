package optimizertest

import (
	"encoding"
	"errors"
	"fmt"
	"slices"

	"learnedopt/optimizer"
)

// A saver is a state that can be saved in mid-run.
type saver interface {
	optimizer.State
	encoding.BinaryMarshaler
	encoding.BinaryUnmarshaler
}

// resume saves a state after each of several steps and continues from the saved data in another state.
func resume(rule optimizer.Rule) error {
	const n, steps = 33, 6
	state, ok := start(rule, n).(saver)
	if !ok {
		s := start(rule, n)
		_, marshals := s.(encoding.BinaryMarshaler)
		_, unmarshals := s.(encoding.BinaryUnmarshaler)
		if marshals != unmarshals {
			return fmt.Errorf("%T implements only one of BinaryMarshaler and BinaryUnmarshaler", s)
		}
		return nil
	}
	grads := gradients(n, steps, 0)
	want := trajectory(rule, grads)
	for t := range steps {
		data, err := state.MarshalBinary()
		if err != nil {
			return fmt.Errorf("step %d: %w", t, err)
		}
		again := start(rule, n).(saver)
		continued(again, gradients(n, 3, 1)) // its earlier content must not matter
		given := slices.Clone(data)
		if err := again.UnmarshalBinary(given); err != nil {
			return fmt.Errorf("step %d: %w", t, err)
		}
		clear(given) // the state must have copied
		if err := errors.Join(refuses(again, start(rule, n+1).(saver), data), same(continued(again, grads[t:]), want[t:], "resumed")); err != nil {
			return fmt.Errorf("saved after %d steps: %w", t, err)
		}
		if err := same(continued(state, grads[t:t+1]), want[t:t+1], "after saving"); err != nil {
			return err
		}
	}
	return nil
}

// refuses returns an error unless s refuses damaged data, and a state with more
// coordinates refuses sound data.
func refuses(s, larger saver, data []byte) error {
	outcomes := map[string]error{
		"nothing":           s.UnmarshalBinary(nil),
		"one byte less":     s.UnmarshalBinary(data[:len(data)-1]),
		"one byte more":     s.UnmarshalBinary(append(slices.Clone(data), 0)),
		"half":              s.UnmarshalBinary(data[:len(data)/2]),
		"another dimension": larger.UnmarshalBinary(data),
	}
	for what, err := range outcomes {
		if err == nil {
			return fmt.Errorf("%s was accepted as a saved state", what)
		}
	}
	return nil
}
