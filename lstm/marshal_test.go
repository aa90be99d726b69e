package lstm

import (
	"errors"
	"strings"
	"testing"
)

// A state of another network of the same shape is refused, by name.
func TestStateOfAnotherNetworkIsRefused(t *testing.T) {
	const n = 5
	net := first(pair(t, Config{Inputs: LogAndSign | RNNProp, Hidden: 4}, 1))
	data, err := net.NewState(n).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(data), 40+4*n*(2*2*4+2); got != want {
		t.Errorf("%d bytes, want %d", got, want)
	}
	annealed, err := net.Annealed(7)
	if err != nil {
		t.Fatal(err)
	}
	phi := net.Params()
	phi[len(phi)-1] += 1e-6
	for what, other := range map[string]*Network{
		"parameter":     net.With(phi),
		"set of inputs": first(pair(t, Config{Inputs: RNNProp | Clock, Hidden: 4}, 1)),
		"anneal":        annealed,
	} {
		err := other.NewState(n).UnmarshalBinary(data)
		if !errors.Is(err, ErrState) || !strings.Contains(err.Error(), "another network") {
			t.Errorf("a network with another %s: error %v", what, err)
		}
	}
	steps := append([]byte(nil), data...)
	steps[16+7] = 0x80
	if err := net.NewState(n).UnmarshalBinary(steps); !errors.Is(err, ErrState) {
		t.Errorf("2^63 steps: error %v", err)
	}
}

func first[A, B any](a A, _ B) A { return a }
