package gomlxopt

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/pkg/core/dtypes"
	"github.com/gomlx/gomlx/pkg/core/dtypes/bfloat16"
	"github.com/gomlx/gomlx/pkg/core/graph"
	"github.com/gomlx/gomlx/pkg/core/shapes"
	"github.com/gomlx/gomlx/pkg/core/tensors"
	"github.com/gomlx/gomlx/pkg/ml/context"
	"github.com/gomlx/gomlx/pkg/ml/context/checkpoints"
	"github.com/gomlx/gomlx/pkg/ml/train"

	"learnedopt/lstm"
	"learnedopt/optimizer"
)

// stateful is a small network with all kinds of state.
var stateful = lstm.Config{Inputs: all, Hidden: 3, Anneal: 4}

// checkpoint attaches GoMLX's checkpoints in a folder to a context, which loads the variables in them.
func checkpoint(t testing.TB, ctx *context.Context, dir string) *checkpoints.Handler {
	t.Helper()
	h, err := checkpoints.Build(ctx).Dir(dir).Done()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// resume returns a newBench that loads the checkpoint in a folder.
func resume(t testing.TB, opt *Optimizer, dir string) *bench {
	t.Helper()
	ctx := context.New()
	checkpoint(t, ctx, dir)
	return bench{TB: t, ctx: ctx, shapes: ranks}.with(opt)
}

// run takes steps and returns the parameters after the last.
func (b *bench) run(grads [][]float32) (theta []float64) {
	b.Helper()
	for _, grad := range grads {
		if err := b.step(grad); err != nil {
			b.Fatal(err)
		}
	}
	for _, v := range b.vars {
		theta = append(theta, flat(b, v)...)
	}
	return theta
}

// saved trains for three steps, saves, trains for three more steps, and returns the parameters then.
func saved(t testing.TB, opt *Optimizer, grads [][]float32) (dir string, after []float64) {
	t.Helper()
	dir = t.TempDir()
	b := newBench(t, opt, ranks...)
	h := checkpoint(t, b.ctx, dir)
	b.run(grads[:3])
	if err := h.Save(); err != nil {
		t.Fatal(err)
	}
	return dir, b.run(grads[3:])
}

// TestResumeIsExact saves a run in GoMLX's checkpoint and continues it in another context. The result must equal the
// uninterrupted run, bit for bit.
func TestResumeIsExact(t *testing.T) {
	opt, grads := New(random(t, stateful)), gradients(6, coordinates)
	dir, want := saved(t, opt, grads)
	if got := resume(t, opt, dir).run(grads[3:]); !slices.Equal(got, want) {
		t.Errorf("resumed: %v\nuninterrupted: %v", got, want)
	}
	// A check of the test itself: without the saved state the same steps end elsewhere.
	b := resume(t, opt, dir)
	if err := opt.Clear(b.ctx); err != nil {
		t.Fatal(err)
	}
	if got := b.run(grads[3:]); slices.Equal(got, want) {
		t.Error("the state makes no difference")
	}
}

// A run continues with the same network, also with another Anneal, but not with another network.
func TestResumeKnowsItsNetwork(t *testing.T) {
	net, grads := random(t, stateful), gradients(6, coordinates)
	dir, _ := saved(t, New(net), grads)
	other, err := lstm.Init{}.Random(stateful, rand.New(rand.NewPCG(9, 9)))
	if err != nil {
		t.Fatal(err)
	}
	b := resume(t, New(other), dir)
	if err := b.step(grads[3]); err == nil || !strings.Contains(err.Error(), "of another network") {
		t.Errorf("another network's state: %v", err)
	}
	annealed := stateful
	annealed.Anneal = 9
	later, err := lstm.NewNetwork(annealed, net.Params())
	if err != nil {
		t.Fatal(err)
	}
	if err := resume(t, New(later), dir).step(grads[3]); err != nil {
		t.Errorf("another Anneal: %v", err)
	}
}

// TestClear compares a cleared optimizer with a fresh one: right after steps, and with a loaded checkpoint
// whose variables have not been read yet. The model's own variables and GoMLX's global step stay.
func TestClear(t *testing.T) {
	opt, grads := New(random(t, stateful)), gradients(6, coordinates)
	fresh := newBench(t, opt, ranks...).run(grads[3:])

	b := newBench(t, opt, ranks...)
	b.run(grads[:3])
	if n := b.ctx.NumVariables(); n != len(ranks)*(1+2*2+2)+3 { // θ, h and c of two layers, m and v; global step, step, network
		t.Errorf("%d variables", n)
	}
	if err := opt.Clear(b.ctx); err != nil {
		t.Fatal(err)
	}
	if n := b.ctx.NumVariables(); n != len(ranks)+1 {
		t.Errorf("%d variables after Clear", n)
	}
	b = b.with(opt)
	b.take()
	if got := b.run(grads[3:]); !slices.Equal(got, fresh) {
		t.Error("after Clear a run is not a fresh one")
	}

	dir, _ := saved(t, opt, grads)
	b = resume(t, opt, dir)
	if err := opt.Clear(b.ctx); err != nil {
		t.Fatal(err)
	}
	b.take()
	if got := b.run(grads[3:]); !slices.Equal(got, fresh) {
		t.Error("after Clear of a loaded checkpoint a run is not a fresh one")
	}
}

// Two optimizers with different scopes in one context do not affect each other.
func TestScopesAreApart(t *testing.T) {
	net, grads := random(t, stateful), gradients(2, coordinates)
	want := newBench(t, New(net), ranks...).run(grads[:1])
	b := newBench(t, &Optimizer{Network: net, Scope: "first"}, ranks...)
	b.run(grads[1:])
	second := &Optimizer{Network: net, Scope: "second"}
	b = b.with(second)
	b.take()
	if got := b.run(grads[:1]); !slices.Equal(got, want) {
		t.Error("the second optimizer's first step depends on the first's")
	}
	if err := second.Clear(b.ctx); err != nil {
		t.Fatal(err)
	}
	if b.ctx.GetVariableByScopeAndName("/first", "step") == nil || b.ctx.GetVariableByScopeAndName("/second", "step") != nil {
		t.Error("Clear did not delete the second's variables alone")
	}
}

// A float64 variable's update is the float32 one, added in float64.
func TestFloat64Variables(t *testing.T) {
	net := random(t, stateful)
	grads := gradients(3, 5)
	narrow, wide := newBench(t, New(net), shapes.Make(dtypes.Float32, 5)), newBench(t, New(net), shapes.Make(dtypes.Float64, 5))
	theta := make([]float64, 5)
	for k, grad := range grads {
		for _, b := range []*bench{narrow, wide} {
			if err := b.step(grad); err != nil {
				t.Fatal(err)
			}
		}
		for i, u := range narrow.take() {
			theta[i] += u
		}
		if got := flat(t, wide.vars[0]); !slices.Equal(got, theta) {
			t.Fatalf("step %d: θ is %v, want %v", k, got, theta)
		}
	}
}

// A bfloat16 variable gets the float32 sum, rounded.
func TestBFloat16Variables(t *testing.T) {
	net := random(t, stateful)
	const n = 200
	grad := make([]float32, n)
	for i := range grad {
		grad[i] = float32(i-n/2) / 64 // bfloat16 has them all
	}
	narrow, short := newBench(t, New(net), shapes.Make(dtypes.Float32, n)), newBench(t, New(net), shapes.Make(dtypes.BFloat16, n))
	theta := make([]float32, n)
	for k := range 3 {
		for _, b := range []*bench{narrow, short} {
			if err := b.step(grad); err != nil {
				t.Fatal(err)
			}
		}
		var want []float64
		for i, u := range narrow.take() {
			theta[i] = bfloat16.FromFloat32(theta[i] + float32(u)).Float32()
			want = append(want, float64(theta[i]))
		}
		if got := flat(t, short.vars[0]); !slices.Equal(got, want) {
			t.Fatalf("step %d: θ is %v, want %v", k, got, want)
		}
	}
}

// TestAccumulatedGradients takes one step on the mean of two gradients that GoMLX's trainer accumulates.
func TestAccumulatedGradients(t *testing.T) {
	const n = 4
	net, grads := random(t, lstm.Config{Inputs: lstm.Raw, Hidden: 3}), gradients(2, n)
	ctx := context.New()
	trainer := train.NewTrainer(sequential(), ctx, func(ctx *context.Context, _ any, inputs []*graph.Node) []*graph.Node {
		w := ctx.Checked(false).VariableWithValue("w", tensors.FromShape(shapes.Make(dtypes.Float32, n)))
		return []*graph.Node{graph.ReduceAllSum(graph.Mul(w.ValueGraph(inputs[0].Graph()), inputs[0]))}
	}, func(_, predictions []*graph.Node) *graph.Node { return predictions[0] }, New(net), nil, nil)
	if err := trainer.AccumulateGradients(2); err != nil {
		t.Fatal(err)
	}
	mean, want := make([]float32, n), make([]float32, n)
	for _, grad := range grads {
		if _, err := trainer.TrainStep(nil, []*tensors.Tensor{tensors.FromFlatDataAndDimensions(slices.Clone(grad), n)}, []*tensors.Tensor{tensors.FromScalar(float32(0))}); err != nil {
			t.Fatal(err)
		}
		for i, g := range grad {
			mean[i] += g / 2
		}
	}
	net.Start(optimizer.Flat(n)).Update(want, optimizer.Point{Grad: mean})
	var wide []float64
	for _, u := range want {
		wide = append(wide, float64(u))
	}
	near(t, 0, flat(t, ctx.GetVariableByScopeAndName("/", "w")), wide, 2e-5) // as in TestUpdatesAreThoseOfTheLibrary
	if step := trainer.GlobalStep(); step != 1 {
		t.Errorf("global step %d after one update", step)
	}
}

// GoMLX's own settings for steps take effect.
func TestClipping(t *testing.T) {
	net := random(t, lstm.Config{Inputs: lstm.Raw, NoLSTM: true, Scale: 100})
	grad := []float32{1, -2, 0.001}
	one := shapes.Make(dtypes.Float32, 3)
	for name, c := range map[string]struct {
		value any
		grad  []float32
		ok    func(before, after float64) bool
	}{
		"clip_step_by_value": {0.5, grad, func(u, clipped float64) bool { return clipped == min(max(u, -0.5), 0.5) }},
		"clip_nan":           {true, []float32{1, float32(nan), 3}, func(_, u float64) bool { return u == u }},
	} {
		free, held := newBench(t, New(net), one), newBench(t, New(net), one)
		held.ctx.SetParam(name, c.value)
		was, is := free.run([][]float32{c.grad}), held.run([][]float32{c.grad})
		if slices.Equal(was, is) {
			t.Errorf("%s makes no difference", name)
		}
		for i := range was {
			if !c.ok(was[i], is[i]) {
				t.Errorf("%s: update %d is %v, was %v", name, i, is[i], was[i])
			}
		}
	}
}

// With clip_nan a NaN in a gradient counts as zero, in the state too.
func TestClipNaNKeepsTheState(t *testing.T) {
	opt := New(random(t, stateful))
	bad, zero, good := []float32{1, float32(nan), 3}, []float32{0, 0, 0}, []float32{1, -2, 0.5}
	held := newBench(t, opt, shapes.Make(dtypes.Float32, 3))
	held.ctx.SetParam("clip_nan", true)
	want := newBench(t, opt, shapes.Make(dtypes.Float32, 3)).run([][]float32{zero, good})
	if got := held.run([][]float32{bad, good}); !slices.Equal(got, want) {
		t.Errorf("θ is %v, want %v", got, want)
	}
	// An update that overflows float32 is left out, for this coordinate alone.
	far := New(random(t, lstm.Config{Inputs: lstm.Raw, NoLSTM: true, Scale: 100}))
	free, bound := newBench(t, far, shapes.Make(dtypes.Float32, 2)), newBench(t, far, shapes.Make(dtypes.Float32, 2))
	bound.ctx.SetParam("clip_nan", true)
	huge := [][]float32{{1, 3e38}}
	was, is := free.run(huge), bound.run(huge)
	if !math.IsInf(was[1], 0) || is[1] != 0 || is[0] != was[0] || is[0] == 0 {
		t.Errorf("updates %v, with clip_nan %v", was, is)
	}
}

func TestRejects(t *testing.T) {
	opt := New(random(t, lstm.Config{}))
	for name, c := range map[string]struct {
		build func(ctx *context.Context, g *graph.Graph)
		want  string
	}{
		"a loss for each example": {func(ctx *context.Context, g *graph.Graph) {
			opt.UpdateGraph(ctx, g, ctx.VariableWithValue("w", []float32{1, 2}).ValueGraph(g))
		}, "must be a scalar"},
		"nothing to train": {func(ctx *context.Context, g *graph.Graph) {
			opt.UpdateGraph(ctx, g, graph.Const(g, float32(1)))
		}, "no trainable variable"},
		"a gradient too many": {func(ctx *context.Context, g *graph.Graph) {
			w := ctx.VariableWithValue("w", []float32{1, 2}).ValueGraph(g)
			opt.UpdateGraphWithGradients(ctx, []*graph.Node{w, w}, dtypes.Float32)
		}, "2 gradients for 1 trainable"},
		"whole numbers": {func(ctx *context.Context, g *graph.Graph) {
			w := ctx.VariableWithValue("w", []int32{1, 2}).ValueGraph(g)
			opt.UpdateGraphWithGradients(ctx, []*graph.Node{w}, dtypes.Float32)
		}, "must be a real one"},
	} {
		_, err := context.ExecOnce(sequential(), context.New(), func(ctx *context.Context, g *graph.Graph) *graph.Node {
			c.build(ctx, g)
			return graph.Const(g, float32(0))
		})
		if err == nil || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
