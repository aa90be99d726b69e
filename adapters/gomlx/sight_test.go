package gomlxopt

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/pkg/core/dtypes"
	"github.com/gomlx/gomlx/pkg/core/shapes"
	"github.com/gomlx/gomlx/pkg/core/tensors"
	"github.com/gomlx/gomlx/pkg/ml/context"

	"learnedopt/lstm"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
)

const everything = lstm.ShapeContext | lstm.NormContext | lstm.FeedbackContext | lstm.TimeContext

// sighted cover every context alone and all together, with and without what belongs to them, as the first map a dense layer, an LSTM layer
// and a read-out, and the read-out mix with its directions.
var sighted = []lstm.Config{
	{Inputs: lstm.RNNProp, Context: lstm.ShapeContext, Hidden: 4, Layers: 1},
	{Inputs: lstm.Raw | lstm.Clock, Context: lstm.NormContext, Dense: 3, Hidden: 4, Layers: 2, Readout: lstm.Tanh},
	{Inputs: lstm.RNNProp, Context: lstm.FeedbackContext | lstm.TimeContext, NoLSTM: true, Readout: lstm.Exp, Scale: 0.01, Anneal: 5},
	{Inputs: lstm.LogAndSign, FanIn: true, Hidden: 3, Layers: 1},
	{Inputs: lstm.Momenta, Hidden: 5, Layers: 1, Readout: lstm.Mix, Scale: 0.01},
	{Inputs: all | lstm.Momenta, P: 10, Context: everything, FanIn: true, Hidden: 5, Layers: 2, Readout: lstm.Mix, Scale: 0.01},
	{Inputs: lstm.Momenta, Context: everything, FanIn: true, Orthogonal: true, Hidden: 20, Layers: 1, Readout: lstm.Mix, Scale: 0.01},
	{Inputs: lstm.Momenta, Context: lstm.NormContext | lstm.TimeContext, FanIn: true, Orthogonal: true, OrthogonalMean: true, Hidden: 5, Layers: 1, Readout: lstm.Mix, Scale: 0.01},
	{Inputs: lstm.Momenta, Context: everything, FanIn: true, Orthogonal: true, OrthogonalMean: true, Hyper: 6, Hidden: 5, Layers: 1, Readout: lstm.Mix, Scale: 0.01},
	{Inputs: lstm.Momenta, Context: lstm.NormContext, Hyper: 4, Hidden: 5, Layers: 1, Readout: lstm.Mix, Scale: 0.01},
}

// model are the variables of a small network: a convolution and a layer with more inputs than outputs, both with biases, a layer with fewer
// without one, and a factor. Variables in float64 show updates without rounding.
var model = []shapes.Shape{
	shapes.Make(dtypes.Float64, 3, 2, 5), shapes.Make(dtypes.Float64, 5), shapes.Make(dtypes.Float64, 7, 3), shapes.Make(dtypes.Float64, 3),
	shapes.Make(dtypes.Float64, 2, 6), shapes.Make(dtypes.Float64),
}

func modelLayout(t testing.TB) optimizer.Layout {
	t.Helper()
	l, err := optimizer.NewLayout(
		optimizer.Tensor{Shape: []int{3, 2, 5}, Kind: optimizer.Convolution, OutputAxis: 2}, optimizer.Tensor{Shape: []int{5}, Kind: optimizer.Bias},
		optimizer.Tensor{Shape: []int{7, 3}, Kind: optimizer.Matrix, OutputAxis: 1}, optimizer.Tensor{Shape: []int{3}, Kind: optimizer.Bias},
		optimizer.Tensor{Shape: []int{2, 6}, Kind: optimizer.Matrix, OutputAxis: 1}, optimizer.Tensor{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// updateAt sets the variables to θ, takes one step and returns the updates.
func (b *bench) updateAt(theta []float64, grad []float32) []float64 {
	b.Helper()
	for rest, i := theta, 0; i < len(b.vars); i++ {
		n := b.shapes[i].Size()
		if err := b.vars[i].SetValue(tensors.FromFlatDataAndDimensions(slices.Clone(rest[:n]), b.shapes[i].Dimensions...)); err != nil {
			b.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := b.step(grad); err != nil {
		b.Fatal(err)
	}
	var u []float64
	for _, v := range b.vars {
		u = append(u, flat(b, v)...)
	}
	for i := range u {
		u[i] -= theta[i]
	}
	return u
}

// points returns rows of n parameters that float32 holds.
func points(rows, n int) [][]float64 {
	rng := rand.New(rand.NewPCG(8, 4))
	all := make([][]float64, rows)
	for t := range all {
		for range n {
			all[t] = append(all[t], float64(float32(rng.NormFloat64())))
		}
	}
	return all
}

// Twenty updates of networks that tell tensors apart are those of package lstm, with a known number of steps, which the run exceeds, and without. The tolerances are those of
// TestUpdatesAreThoseOfTheLibrary; with an orthogonalized momentum, which float32 knows to 1e-3, that. One coordinate never has a gradient, and one has none from step 5 on.
func TestSightedUpdatesAreThoseOfTheLibrary(t *testing.T) {
	layout := modelLayout(t)
	for _, cfg := range sighted {
		for _, total := range []int{0, 15} {
			t.Run(fmt.Sprintf("%+v of %d", cfg, total), func(t *testing.T) {
				const steps = 20
				net, tolerance := random(t, cfg), 1e-5
				if cfg.Orthogonal {
					tolerance = 1e-3
				}
				var phi []float64
				for _, w := range net.Params() {
					phi = append(phi, float64(w))
				}
				ref, err := lstm.NewReference(cfg, phi)
				if err != nil {
					t.Fatal(err)
				}
				opt := New(net)
				opt.Total = total
				b, r, s := newBench(t, opt, model...), ref.NewStateOn(layout), net.Start(layout)
				n := layout.Len()
				thetas, narrow, want := points(steps, n), make([]float32, n), make([]float64, n)
				for k, grad := range gradients(steps, n) {
					grad[31] = 0
					if k > 4 {
						grad[40] = 0
					}
					theta := thetas[k]
					got := b.updateAt(theta, grad)
					wide, theta32 := make([]float64, n), make([]float32, n)
					for i, g := range grad {
						wide[i], theta32[i] = float64(g), float32(theta[i])
					}
					r.Advance(want, wide, theta, total)
					near(t, k, got, want, tolerance)
					if _, err := s.Update(narrow, optimizer.Point{Grad: grad, Theta: theta32, Total: total}); err != nil {
						t.Fatal(err)
					}
					for i, u := range narrow {
						want[i] = float64(u)
					}
					near(t, k, got, want, 2*tolerance)
					if cfg.Readout == lstm.Mix && got[31] != 0 {
						t.Fatalf("step %d: a coordinate without gradients moves by %v", k, got[31])
					}
				}
			})
		}
	}
}

// The pretrained optimizer general trains in GoMLX as in the library.
func TestGeneralRuns(t *testing.T) {
	general, err := metaopt.Pretrained("general")
	if err != nil {
		t.Fatal(err)
	}
	layout, opt := modelLayout(t), New(general.Network)
	opt.Total = 6
	b, run := newBench(t, opt, model...), general.Start(layout)
	run.SetTotal(6)
	theta, own := points(1, layout.Len())[0], points(1, layout.Len())[0]
	for k := range 6 {
		grad, wide := make([]float32, len(theta)), make([]float64, len(theta))
		for i, x := range theta {
			grad[i] = float32(x)
		}
		for i, x := range own {
			wide[i] = float64(float32(x))
		}
		for i, u := range b.updateAt(theta, grad) {
			theta[i] += u
		}
		if err := run.Step64(own, wide); err != nil {
			t.Fatal(err)
		}
		near(t, k, theta, own, 1e-4) // the loss is ‖θ‖²/2
	}
	if square(theta) > 0.8*square(points(1, layout.Len())[0]) {
		t.Errorf("‖θ‖² is %v", square(theta))
	}
}

func square(x []float64) (sum float64) {
	for _, v := range x {
		sum += v * v
	}
	return sum
}

// A run of a network that tells tensors apart is resumed exactly, and not with variables that are described in another way.
func TestSightedResumeIsExact(t *testing.T) {
	opt, grads := New(random(t, sighted[len(sighted)-1])), gradients(6, modelLayout(t).Len())
	dir := t.TempDir()
	b := newBench(t, opt, model...)
	h := checkpoint(t, b.ctx, dir)
	b.run(grads[:3])
	if err := h.Save(); err != nil {
		t.Fatal(err)
	}
	want := b.run(grads[3:])
	again := func(opt *Optimizer) *bench {
		ctx := context.New()
		checkpoint(t, ctx, dir)
		return bench{TB: t, ctx: ctx, shapes: model}.with(opt)
	}
	if got := again(opt).run(grads[3:]); !slices.Equal(got, want) {
		t.Errorf("resumed: %v\nuninterrupted: %v", got, want)
	}
	other := New(opt.Network)
	other.Describe = func(v *context.Variable) optimizer.Tensor { return optimizer.Tensor{} }
	if err := again(other).step(grads[3]); err == nil || !strings.Contains(err.Error(), "described in another way") {
		t.Errorf("described in another way: %v", err)
	}
}

// Describe knows GoMLX's layers; a description that does not fit and a number of steps that cannot be are errors.
func TestDescribe(t *testing.T) {
	ctx := context.New()
	for name, c := range map[string]struct {
		dims []int
		want optimizer.Tensor
	}{
		"/dense/weights":        {[]int{4, 1}, optimizer.Tensor{Kind: optimizer.Matrix, OutputAxis: 1}},
		"/dense/biases":         {[]int{4}, optimizer.Tensor{Kind: optimizer.Bias}},
		"/conv/weights":         {[]int{3, 3, 2, 8}, optimizer.Tensor{Kind: optimizer.Convolution, OutputAxis: 3}},
		"/table/embeddings":     {[]int{50, 8}, optimizer.Tensor{}},
		"/normalization/gain":   {[]int{8}, optimizer.Tensor{}},
		"/normalization/offset": {[]int{8}, optimizer.Tensor{}},
		"/rms/scale":            {[]int{8}, optimizer.Tensor{}},
		"/temperature":          {nil, optimizer.Tensor{}},
	} {
		scope, base := context.VariableScopeAndNameFromParameterName("var:" + name)
		v := ctx.InAbsPath(scope).VariableWithShape(base, shapes.Make(dtypes.Float32, c.dims...))
		if got := Describe(v); got.Kind != c.want.Kind || got.OutputAxis != c.want.OutputAxis {
			t.Errorf("%s is %+v, want %+v", name, got, c.want)
		}
	}
	net, grad := random(t, sighted[0]), make([]float32, 6)
	for want, opt := range map[string]*Optimizer{
		"a matrix has two dimensions": {Network: net, Describe: func(*context.Variable) optimizer.Tensor { return optimizer.Tensor{Kind: optimizer.Matrix} }},
		"a run of -1 steps":           {Network: net, Total: -1},
	} {
		if err := newBench(t, opt, shapes.Make(dtypes.Float32, 6)).step(grad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
