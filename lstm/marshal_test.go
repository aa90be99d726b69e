package lstm

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"learnedopt/optimizer"
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

// FuzzState expects either an error that leaves the state unchanged, or a state that can continue.
func FuzzState(f *testing.F) {
	const n = 3
	net, err := Init{}.Random(Config{Hidden: 3, Inputs: LogAndSign | RNNProp}, rand.New(rand.NewPCG(1, 2)))
	if err != nil {
		f.Fatal(err)
	}
	grad, dst := []float32{1, -2, 1e-9}, make([]float32, n)
	s := net.NewState(n)
	for range 3 {
		data, err := s.MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		s.Update(dst, optimizer.Point{Grad: grad})
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := net.NewState(n)
		before, err := s.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		failed := s.UnmarshalBinary(data)
		after, err := s.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case failed != nil && (!errors.Is(failed, ErrState) || !bytes.Equal(before, after)):
			t.Errorf("error %v, and the state is %x, was %x", failed, after, before)
		case failed == nil && !bytes.Equal(after, data):
			t.Errorf("read %x, wrote %x", data, after)
		}
		s.Update(dst, optimizer.Point{Grad: grad})
	})
}
