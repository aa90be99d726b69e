package optimizer_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"learnedopt/optimizer"
)

// A descent is u = −rate·g; it counts the states that it started.
type descent struct {
	rate    float32
	started *int
}

func (descent) Needs() optimizer.Needs { return optimizer.Needs{} }
func (d descent) Start(layout optimizer.Layout) optimizer.State {
	if d.started != nil {
		*d.started++
	}
	return descentState(d)
}

type descentState descent

func (s descentState) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	for i, g := range p.Grad {
		dst[i] = -s.rate * g
	}
	return 0, nil
}

// A bowl is f(θ) = ½|θ|² of n coordinates from θ_0 = (1, 2, …, n). At step
// fault it writes value as its loss (where −1) or into a coordinate of its gradient.
type bowl struct {
	n, step, fault, where int
	value                 float64
	err                   error
	cancel                func()
	sought                []int
}

func sound(n int) *bowl { return &bowl{n: n, fault: -1} }

func (b *bowl) Dim() int   { return b.n }
func (b *bowl) Seek(t int) { b.step = t; b.sought = append(b.sought, t) }

func (b *bowl) Init(theta []float32) {
	for i := range theta {
		theta[i] = float32(i + 1)
	}
}

func (b *bowl) LossGrad(theta, grad []float32) (float64, error) {
	loss := 0.0
	for i, x := range theta {
		grad[i] = x
		loss += float64(x) * float64(x) / 2
	}
	if b.step == b.fault {
		switch {
		case b.err != nil:
			return 0, b.err
		case b.cancel != nil:
			b.cancel()
		case b.where < 0:
			loss = b.value
		default:
			grad[b.where] = float32(b.value)
		}
	}
	b.step++
	return loss, nil
}

func TestRun(t *testing.T) {
	for _, steps := range []int{0, 1, 7} {
		p, started := sound(3), 0
		p.step = 99 // left over from another run
		out, err := optimizer.Run(t.Context(), descent{0.5, &started}, p, steps)
		if err != nil || out.Diverged != nil {
			t.Fatalf("%d steps: error %v, diverged %v", steps, err, out.Diverged)
		}
		if len(out.Losses) != steps+1 {
			t.Errorf("%d steps: %d losses, want %d", steps, len(out.Losses), steps+1)
		}
		for k, loss := range out.Losses { // θ_t = 2^−t θ_0: exact
			if want := 7 * math.Pow(4, -float64(k)); loss != want {
				t.Errorf("%d steps: loss %d is %v, want %v", steps, k, loss, want)
			}
		}
		for i, x := range out.Theta {
			if want := float32(i+1) * float32(math.Pow(2, -float64(steps))); x != want {
				t.Errorf("%d steps: θ[%d] = %v, want %v", steps, i, x, want)
			}
		}
		if started != 1 || len(p.sought) != 1 || p.sought[0] != 0 || p.step != steps+1 {
			t.Errorf("%d steps: %d states, sought %v, %d gradients; want 1, [0], %d", steps, started, p.sought, p.step, steps+1)
		}
	}
}

// slow is a bowl whose gradients take a second.
type slow struct{ *bowl }

func (s slow) LossGrad(theta, grad []float32) (float64, error) {
	time.Sleep(time.Second)
	return s.bowl.LossGrad(theta, grad)
}

// slowly is a descent whose updates take time.
type slowly struct {
	descent
	time time.Duration
}

func (s slowly) Start(l optimizer.Layout) optimizer.State {
	return slowState{s.descent.Start(l), s.time}
}

type slowState struct {
	optimizer.State
	time time.Duration
}

func (s slowState) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	time.Sleep(s.time)
	return s.State.Update(dst, p)
}

// A timed run has the outcome of Run, and tells the time of every step but the one that diverged.
func TestRunTimed(t *testing.T) {
	for steps, p := range map[int]*bowl{5: sound(3), 3: {n: 3, fault: 3, where: -1, value: math.NaN()}} {
		synctest.Test(t, func(t *testing.T) {
			want, err := optimizer.Run(t.Context(), descent{rate: 0.5}, p, 5)
			if err != nil {
				t.Fatal(err)
			}
			timed := 0
			got, err := optimizer.RunTimed(t.Context(), slowly{descent{rate: 0.5}, time.Minute}, slow{p}, 5, time.Now, func(began, computed, ended time.Time) {
				gradient, update := computed.Sub(began), ended.Sub(computed)
				if timed++; gradient != time.Second || update != time.Minute {
					t.Errorf("step %d took %v and %v, want a second and a minute", timed, gradient, update)
				}
			})
			if err != nil || timed != steps || !slices.Equal(got.Losses[:steps], want.Losses[:steps]) || !slices.Equal(got.Theta, want.Theta) || (got.Diverged == nil) != (want.Diverged == nil) {
				t.Errorf("%d of %d steps were timed, %+v, want %+v, error %v", timed, steps, got, want, err)
			}
		})
	}
}

func TestRunDivergence(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []struct {
		problem *bowl
		rate    float32
		want    optimizer.DivergedError
		losses  int
		theta   float32 // θ[1] at the end, which starts at 2
		text    string
	}{
		{&bowl{n: 3, fault: 0, where: -1, value: nan}, 0.5, optimizer.DivergedError{Step: 0, What: "loss", Coordinate: -1, Value: nan}, 1, 2, "step 0: loss is NaN;"},
		{&bowl{n: 3, fault: 2, where: -1, value: -inf}, 0.5, optimizer.DivergedError{Step: 2, What: "loss", Coordinate: -1, Value: -inf}, 3, 0.5, "step 2: loss is -Inf;"},
		{&bowl{n: 3, fault: 1, where: 2, value: inf}, 0.5, optimizer.DivergedError{Step: 1, What: "gradient", Coordinate: 2, Value: inf}, 2, 1, "step 1: gradient is +Inf at coordinate 2;"},
		{&bowl{n: 3, fault: 0, where: 0, value: nan}, 0.5, optimizer.DivergedError{Step: 0, What: "gradient", Coordinate: 0, Value: nan}, 1, 2, "gradient is NaN at coordinate 0"},
		// 3e38 times the gradient 2 is the first to overflow.
		{sound(3), 3e38, optimizer.DivergedError{Step: 0, What: "update", Coordinate: 1, Value: -inf}, 1, 2, "update is -Inf at coordinate 1"},
	} {
		out, err := optimizer.Run(t.Context(), descent{rate: c.rate}, c.problem, 5)
		if err != nil || out.Diverged == nil {
			t.Errorf("%s: error %v, diverged %v", c.text, err, out.Diverged)
			continue
		}
		got := *out.Diverged
		sameValue := got.Value == c.want.Value || math.IsNaN(got.Value) && math.IsNaN(c.want.Value)
		if got.Step != c.want.Step || got.What != c.want.What || got.Coordinate != c.want.Coordinate || !sameValue {
			t.Errorf("%s: diverged %+v, want %+v", c.text, got, c.want)
		}
		if !strings.Contains(got.Error(), c.text) {
			t.Errorf("the text %q lacks %q", got.Error(), c.text)
		}
		if len(out.Losses) != c.losses || out.Theta[1] != c.theta {
			t.Errorf("%s: %d losses, θ[1] = %v; want %d, %v", c.text, len(out.Losses), out.Theta[1], c.losses, c.theta)
		}
	}
}

// A finite update whose sum with θ overflows float32 is a divergence, even if the
// problem would go on with a finite loss. The last finite point is kept whole.
func TestRunParameterOverflow(t *testing.T) {
	out, err := optimizer.Run(t.Context(), jump{}, sound(2), 5)
	if err != nil {
		t.Fatal(err)
	}
	want := optimizer.DivergedError{Step: 1, What: "parameter", Coordinate: 1, Value: math.Inf(1), Groups: 1, Element: 1}
	if out.Diverged == nil || *out.Diverged != want {
		t.Fatalf("diverged %+v, want %+v", out.Diverged, want)
	}
	if out.Theta[0] != 2 || out.Theta[1] != 3e38 || len(out.Losses) != 2 {
		t.Errorf("θ = %v with %d losses, want [2 3e38] with 2", out.Theta, len(out.Losses))
	}
}

// jump adds (1, 3e38).
type jump struct{}

func (jump) Needs() optimizer.Needs                 { return optimizer.Needs{} }
func (jump) Start(optimizer.Layout) optimizer.State { return jump{} }
func (jump) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	dst[0], dst[1] = 1, 3e38
	return 0, nil
}

func TestRunErrors(t *testing.T) {
	broken := errors.New("the disk is gone")
	out, err := optimizer.Run(t.Context(), descent{rate: 0.5}, &bowl{n: 1, fault: 2, err: broken}, 5)
	if !errors.Is(err, broken) || len(out.Losses) != 2 {
		t.Errorf("error %v after %d losses, want the problem's own after 2", err, len(out.Losses))
	}
	ctx, cancel := context.WithCancel(t.Context())
	out, err = optimizer.Run(ctx, descent{rate: 0.5}, &bowl{n: 1, fault: 3, cancel: cancel}, 1000)
	if !errors.Is(err, context.Canceled) || len(out.Losses) != 4 {
		t.Errorf("error %v after %d losses, want a cancellation after 4", err, len(out.Losses))
	}
	p := sound(1)
	if _, err = optimizer.Run(ctx, descent{rate: 0.5}, p, 0); !errors.Is(err, context.Canceled) || p.step != 0 {
		t.Errorf("error %v after %d gradients, want a cancellation before the first", err, p.step)
	}
}

func mustPanic(t *testing.T, text string, f func()) {
	t.Helper()
	defer func() {
		if got := recover(); got != text {
			t.Errorf("panic %v, want %q", got, text)
		}
	}()
	f()
}

func TestRunPanics(t *testing.T) {
	mustPanic(t, "optimizer: negative number of steps", func() {
		optimizer.Run(t.Context(), descent{}, sound(1), -1)
	})
}

func TestNonFinite(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, c := range []struct {
		x    []float32
		want int
	}{
		{nil, -1},
		{[]float32{0, float32(math.Copysign(0, -1)), 1, math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32}, -1},
		{[]float32{nan}, 0},
		{[]float32{0, inf}, 1},
		{[]float32{0, 1, -inf, nan}, 2},
		{[]float32{1, 2, 3, math.Float32frombits(0xff800001)}, 3}, // a signalling NaN
	} {
		if got := optimizer.NonFinite(c.x); got != c.want {
			t.Errorf("NonFinite(%v) = %d, want %d", c.x, got, c.want)
		}
	}
}

func ExampleRun() {
	out, err := optimizer.Run(context.Background(), descent{rate: 0.5}, sound(3), 3)
	if err != nil {
		panic(err)
	}
	fmt.Println(out.Losses)
	fmt.Println(out.Theta)
	// Output:
	// [7 1.75 0.4375 0.109375]
	// [0.125 0.25 0.375]
}
