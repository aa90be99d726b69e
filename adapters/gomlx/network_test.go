package gomlxopt

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/gomlx/gomlx/backends"
	"github.com/gomlx/gomlx/backends/simplego"
	"github.com/gomlx/gomlx/pkg/core/dtypes"
	"github.com/gomlx/gomlx/pkg/core/dtypes/bfloat16"
	"github.com/gomlx/gomlx/pkg/core/graph"
	"github.com/gomlx/gomlx/pkg/core/shapes"
	"github.com/gomlx/gomlx/pkg/core/tensors"
	"github.com/gomlx/gomlx/pkg/ml/context"
	"github.com/gomlx/gomlx/pkg/ml/train/optimizers"

	"learnedopt/lstm"
	"learnedopt/optimizer"
)

const all = lstm.Raw | lstm.LogAndSign | lstm.RNNProp | lstm.Clock

// configs cover every input alone and all together, a separate p for each feature, a dense
// layer, no LSTM layer, each read-out, and updates that shrink from the third step on.
var configs = []lstm.Config{
	{},
	{Inputs: lstm.Raw, Hidden: 7, Layers: 1},
	{Inputs: lstm.LogAndSign, P: 10, SignP: 3, Hidden: 5, Layers: 3},
	{Inputs: lstm.RNNProp, Dense: 20, Readout: lstm.Tanh},
	{Inputs: lstm.Clock, Hidden: 6},
	{Inputs: all, P: 10, SignP: 5, Hidden: 20, Anneal: 2, Readout: lstm.Exp, Scale: 0.01},
	{Inputs: all, Dense: 4, NoLSTM: true},
	{Inputs: lstm.Raw, NoLSTM: true, Readout: lstm.Exp, Anneal: 3},
}

func random(t testing.TB, cfg lstm.Config) *lstm.Network {
	t.Helper()
	net, err := lstm.Init{}.Random(cfg, rand.New(rand.NewPCG(3, 1)))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Hyper > 0 { // whose factors of a new network are 1
		phi, rng := net.Params(), rand.New(rand.NewPCG(3, 2))
		for i := len(phi) - 2*(cfg.Hyper+1); i < len(phi); i++ {
			phi[i] = float32(0.5 * rng.NormFloat64())
		}
		if net, err = lstm.NewNetwork(cfg, phi); err != nil {
			t.Fatal(err)
		}
	}
	return net
}

// nan is a gradient that is not a number.
var nan = math.NaN()

// gradients returns rows of n gradients of many magnitudes, 0 among them.
func gradients(rows, n int) [][]float32 {
	rng := rand.New(rand.NewPCG(4, 4))
	g := make([][]float32, rows)
	for t := range g {
		g[t] = make([]float32, n)
		for i := range g[t] {
			g[t][i] = float32(rng.NormFloat64() * math.Exp(-14*rng.Float64()))
		}
		g[t][t%n] = 0
	}
	return g
}

// A bench is a context with variables, and a loss with any gradient that a test asks for.
type bench struct {
	testing.TB
	ctx    *context.Context
	exec   *context.Exec
	shapes []shapes.Shape
	vars   []*context.Variable
}

// newBench returns a bench of variables /w0, /part1/w1, … of the given shapes, all of them zero.
func newBench(t testing.TB, opt optimizers.Interface, all ...shapes.Shape) *bench {
	t.Helper()
	return bench{TB: t, ctx: context.New(), shapes: all}.with(opt)
}

// with returns the bench with another optimizer and its own graph.
func (b bench) with(opt optimizers.Interface) *bench {
	b.Helper()
	b.vars = nil
	for i, s := range b.shapes {
		scope := b.ctx.Checked(false)
		if i > 0 {
			scope = scope.In(fmt.Sprintf("part%d", i))
		}
		b.vars = append(b.vars, scope.VariableWithValue(fmt.Sprintf("w%d", i), tensors.FromShape(s)))
	}
	exec, err := context.NewExec(sequential(), b.ctx.Checked(false), func(ctx *context.Context, g []*graph.Node) *graph.Node {
		var loss *graph.Node
		for i, v := range b.vars {
			// The gradient of Σ gθ is g.
			term := graph.ConvertDType(graph.ReduceAllSum(graph.Mul(v.ValueGraph(g[i].Graph()), g[i])), dtypes.Float32)
			if loss == nil {
				loss = term
			} else {
				loss = graph.Add(loss, term)
			}
		}
		opt.UpdateGraph(ctx, loss.Graph(), loss)
		return loss
	})
	if err != nil {
		b.Fatal(err)
	}
	b.exec = exec
	return &b
}

// step takes one step with the coordinates' gradients, in the variables' order.
func (b *bench) step(grad []float32) error {
	var in []any
	for _, s := range b.shapes {
		in = append(in, tensorOf(s, grad[:s.Size()]))
		grad = grad[s.Size():]
	}
	_, err := b.exec.Exec(in...)
	return err
}

func tensorOf(s shapes.Shape, x []float32) *tensors.Tensor {
	if s.DType == dtypes.Float64 {
		wide := make([]float64, len(x))
		for i, v := range x {
			wide[i] = float64(v)
		}
		return tensors.FromFlatDataAndDimensions(wide, s.Dimensions...)
	}
	if s.DType == dtypes.BFloat16 {
		short := make([]bfloat16.BFloat16, len(x))
		for i, v := range x {
			short[i] = bfloat16.FromFloat32(v)
		}
		return tensors.FromFlatDataAndDimensions(short, s.Dimensions...)
	}
	return tensors.FromFlatDataAndDimensions(append([]float32(nil), x...), s.Dimensions...)
}

// take returns the variables' values and resets them to zero. After a step the values are its updates, unrounded.
func (b *bench) take() []float64 {
	b.Helper()
	var out []float64
	for i, v := range b.vars {
		out = append(out, flat(b, v)...)
		if err := v.SetValue(tensors.FromShape(b.shapes[i])); err != nil {
			b.Fatal(err)
		}
	}
	return out
}

func flat(t testing.TB, v *context.Variable) (out []float64) {
	t.Helper()
	v.MustValue().MustConstFlatData(func(data any) {
		switch data := data.(type) {
		case []float32:
			for _, x := range data {
				out = append(out, float64(x))
			}
		case []bfloat16.BFloat16:
			for _, x := range data {
				out = append(out, float64(x.Float32()))
			}
		case []float64:
			out = append(out, data...)
		default:
			t.Fatalf("%s holds %T", v.ScopeAndName(), data)
		}
	})
	return out
}

var ranks = []shapes.Shape{
	shapes.Make(dtypes.Float32), shapes.Make(dtypes.Float32, 3, 2, 5), shapes.Make(dtypes.Float32, 37), shapes.Make(dtypes.Float32, 2, 3),
}

const coordinates = 1 + 30 + 37 + 6

// TestUpdatesAreThoseOfTheLibrary compares twenty updates of variables of several ranks with
// package lstm. Each step rounds sums of at most 42 terms below 1 and the functions of the gates to a few units
// of 6e-8, and gates forget. The first comparison is with lstm's float64; its tolerance is 1e-5 of the largest
// update, as in package lstm's own float32 tests. Two float32 results then differ by at most 2e-5.
func TestUpdatesAreThoseOfTheLibrary(t *testing.T) {
	for _, cfg := range configs {
		t.Run(fmt.Sprintf("%+v", cfg), func(t *testing.T) {
			const steps = 20
			net := random(t, cfg)
			var phi []float64
			for _, w := range net.Params() {
				phi = append(phi, float64(w))
			}
			ref, err := lstm.NewReference(cfg, phi)
			if err != nil {
				t.Fatal(err)
			}
			b := newBench(t, New(net), ranks...)
			s, r := net.NewState(coordinates), ref.NewState(coordinates)
			narrow, want, wide := make([]float32, coordinates), make([]float64, coordinates), make([]float64, coordinates)
			for k, grad := range gradients(steps, coordinates) {
				if err := b.step(grad); err != nil {
					t.Fatal(err)
				}
				got := b.take()
				for i, g := range grad {
					wide[i] = float64(g)
				}
				r.Update(want, wide)
				near(t, k, got, want, 1e-5)
				s.Update(narrow, optimizer.Point{Grad: grad})
				for i, u := range narrow {
					want[i] = float64(u)
				}
				near(t, k, got, want, 2e-5)
			}
		})
	}
}

// What the library may have one day is refused, and the error names it; everything that it has is computed.
func TestLaterNetworksAreRefused(t *testing.T) {
	for want, cfg := range map[string]lstm.Config{
		"the inputs ":   {Inputs: lstm.RNNProp | lstm.Momenta<<1},
		"the read-out ": {Inputs: lstm.Momenta, Readout: lstm.Mix + 1},
		"the context ":  {Inputs: lstm.RNNProp, Context: lstm.TimeContext << 1},
	} {
		if err := supported(cfg); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "own loop") {
			t.Errorf("error %v, want %q and the remedy", err, want)
		}
		if cfg.Validate() == nil {
			t.Errorf("%+v is a network that this test should compute", cfg)
		}
	}
	for _, cfg := range append(configs, sighted...) {
		if err := supported(cfg); err != nil {
			t.Error(err)
		}
	}
}

// near fails if got differs from want by more than tol times want's largest component.
func near(t testing.TB, step int, got, want []float64, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d updates, want %d", len(got), len(want))
	}
	largest := 0.0
	for _, w := range want {
		largest = max(largest, math.Abs(w))
	}
	for i := range got {
		if !(math.Abs(got[i]-want[i]) <= tol*largest) {
			t.Fatalf("step %d: update %d is %v, want %v within %.2g", step, i, got[i], want[i], tol*largest)
		}
	}
}

// TestTimeFarIntoARun compares the values that depend on the step alone, at steps for which float32 could be
// inaccurate. Without LSTM layers and RNNProp there is no other state.
func TestTimeFarIntoARun(t *testing.T) {
	cfg := lstm.Config{Inputs: lstm.Clock, NoLSTM: true, Anneal: 50}
	net := random(t, cfg)
	b := newBench(t, New(net), shapes.Make(dtypes.Float32, 1))
	s, u, grad := net.NewState(1), make([]float32, 1), []float32{1}
	for _, step := range []int{1, 2, 50, 51, 1000, 300_000} {
		for s.Steps() < step {
			s.Update(u, optimizer.Point{Grad: grad})
		}
		if step > 1 {
			if err := b.ctx.GetVariableByScopeAndName("/"+DefaultScope, "step").SetValue(tensors.FromScalar(int64(step - 1))); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.step(grad); err != nil {
			t.Fatal(err)
		}
		near(t, step, b.take(), []float64{float64(u[0])}, 1e-6) // a dozen roundings
	}
}

// sequential is GoMLX's pure-Go backend without its parallel executor, which sometimes waits forever (v0.26.0).
var sequential = sync.OnceValue(func() backends.Backend {
	backend, err := simplego.New("ops_sequential")
	if err != nil {
		panic(err)
	}
	return backend
})
