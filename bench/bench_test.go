package bench

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"learnedopt/lstm"
)

// TestFlops counts the operations of the paper's network by hand. Per coordinate and step, layer 1 multiplies 2+20 inputs and a
// bias by 80, layer 2 multiplies 40 inputs and a bias by 80, and the read-out multiplies 20 inputs and a bias by 1.
func TestFlops(t *testing.T) {
	net, err := lstm.Init{}.Random(lstm.Config{}, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	forward, whole := flops(net)
	if want := 2.0 * (23*80 + 41*80 + 21); forward != want {
		t.Errorf("forward %v, want %v", forward, want)
	}
	// The replay and the weight gradients each cost the same again. The adjoint of layer 2 goes to 40 inputs, of layer 1 to its
	// own past, and of the read-out to 20 inputs.
	if want := 3*forward + 2*(40*80+20*80+20); whole != want {
		t.Errorf("whole %v, want %v", whole, want)
	}
}

// TestRun measures for a moment and expects consistent figures.
func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a few seconds; not with -short")
	}
	var said []string
	r, err := Run(t.Context(), time.Millisecond, func(what string, done, total int) {
		if done != len(said) || total != 12 {
			t.Errorf("%s: %d of %d", what, done, total)
		}
		said = append(said, what)
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]float64{
		"quadratic": r.MetaStep.Quadratic, "mnist": r.MetaStep.MNIST, "second derivatives": r.SecondDerivatives.MNIST, "loss and gradient": r.LossGrad.MNIST,
		"convnet": r.MetaStep.Convnet, "convnet, second derivatives": r.SecondDerivatives.Convnet, "convnet, gradient": r.LossGrad.Convnet, "adam": r.AdamRate, "half state": r.HalfStateRate,
		"one core": r.MetaStepOneCore.MNIST, "update": r.UpdateRate, "peak": r.FMAPeak, "forward": r.Forward, "lstm": r.LSTM,
	} {
		if !(v > 0) || math.IsInf(v, 0) {
			t.Errorf("%s is %v", name, v)
		}
	}
	// The state has 80 floats per coordinate.
	if m := float64(r.Memory.Update); m < 320e6 || m > 340e6 {
		t.Errorf("the state of a million coordinates takes %v bytes", m)
	}
	if m := float64(r.Memory.HalfState); m < 160e6 || m > 180e6 {
		t.Errorf("one of float16 takes %v bytes", m)
	}
	// The state in and out, a gradient and an update.
	if r.UpdateBytes < 648 || r.UpdateBytes > 700 {
		t.Errorf("an update moves %v bytes a coordinate", r.UpdateBytes)
	}
	// A window of 100 steps holds a gradient per step, and the state twice.
	if m := float64(r.Memory.Unroll100); m < 4*coordinates*(100+160) || m > 120e6 {
		t.Errorf("a window of 100 steps takes %v bytes", m)
	}
	if len(said) != 12 || r.SIMD == "" || r.Cores < 1 {
		t.Errorf("said %q, kernels %q, %d cores", said, r.SIMD, r.Cores)
	}
}

func TestRunIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Run(ctx, time.Millisecond, func(string, int, int) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the context's", err)
	}
}
