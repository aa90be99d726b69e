package gomlxopt

import (
	"fmt"
	"math"

	"github.com/gomlx/gomlx/pkg/core/dtypes"
	"github.com/gomlx/gomlx/pkg/core/graph"
	"github.com/gomlx/gomlx/pkg/ml/context"

	"learnedopt/lstm"
	"learnedopt/optimizer"
)

// Constants of networks that tell tensors apart. docs/format.md defines what they are for; package lstm has the same values.
const (
	slowBeta, fastBeta = 0.999, 0.9 // averages of the mean of g² over a tensor
	largest, tiny      = 1e18, 1e-15
	standardGain       = 248 // of MNIST's first layer
	biasGain           = 32  // of tensors that are no weights
)

var (
	momentBetas = []float64{0.9, 0.99, 0.999, 0.95, 0.999} // the first three average g, the others g²
	cosineBetas = []float64{0.9, 0.99}
)

// seenSize is the number of averages that a run keeps of a variable.
const seenSize = 5

// Describe says what a variable is by its name and shape, by the conventions of GoMLX's layers, whose images have the channels
// last:
//
//	rank 1                      a bias
//	rank 2                      a matrix with its outputs along axis 1
//	rank 3 and more             a convolution with its outputs along the last axis
//	rank 0                      a vector
//	"embeddings"                a vector: its rows are looked up and multiply nothing
//	"gain", "scale", "offset"   a vector: they are a normalization's
func Describe(v *context.Variable) optimizer.Tensor {
	switch v.Name() {
	case "embeddings", "gain", "scale", "offset":
		return optimizer.Tensor{}
	}
	switch rank := v.Shape().Rank(); rank {
	case 0:
		return optimizer.Tensor{}
	case 1:
		return optimizer.Tensor{Kind: optimizer.Bias}
	case 2:
		return optimizer.Tensor{Kind: optimizer.Matrix, OutputAxis: 1}
	default:
		return optimizer.Tensor{Kind: optimizer.Convolution, OutputAxis: rank - 1}
	}
}

// layoutOf describes the variables. A wrong description panics with an error.
func (o *Optimizer) layoutOf(variables []*context.Variable) optimizer.Layout {
	describe := o.Describe
	if describe == nil {
		describe = Describe
	}
	var all []optimizer.Tensor
	for _, v := range variables {
		t := describe(v)
		t.Name, t.Shape = v.ScopeAndName(), v.Shape().Dimensions
		all = append(all, t)
	}
	layout, err := optimizer.NewLayout(all...)
	if err != nil {
		panic(fmt.Errorf("gomlxopt: %w", err))
	}
	return layout
}

// hasEyes says whether a network reads more than one coordinate's gradient.
func hasEyes(cfg lstm.Config) bool {
	return cfg.Context != 0 || cfg.FanIn || cfg.Inputs&lstm.Momenta != 0
}

// A sight is what a network sees of one variable of n coordinates at one step. All nodes are scalars in float64.
type sight struct {
	tensor          optimizer.Tensor
	n               float64
	inputs, outputs int     // of the variable's layer, 0 outside of layers
	place           float64 // of the layer
	bias            *sight  // of the layer whose weights the variable is

	pp, uu, cosine                *graph.Node
	moments                       []*graph.Node // sums of squares; nil without momenta
	slow, fast, first             *graph.Node
	cosines                       []*graph.Node
	mean, gain, inverse, features *graph.Node // V, the gain, 1/√V or 0, and [1,Y] in float32
}

// sightsOf returns the sights of variables with a layout, which say as yet what follows from it.
func sightsOf(layout optimizer.Layout) []*sight {
	tensors := layout.Tensors()
	layers, layer := 0, 0
	for _, t := range tensors {
		if t.Outputs() > 0 {
			layers++
		}
	}
	var all []*sight
	for i, t := range tensors {
		s := &sight{tensor: t, n: float64(max(t.Len(), 1)), inputs: t.Inputs(), outputs: t.Outputs(), place: 0.5}
		switch {
		case t.Outputs() > 0:
			layer++
		case t.Kind == optimizer.Bias && i > 0 && tensors[i-1].Outputs() == t.Len():
			s.inputs, s.outputs = all[i-1].inputs, t.Len()
			all[i-1].bias = s
		}
		if layers > 0 {
			s.place = (math.Max(float64(layer), 1) - 0.5) / float64(layers)
		}
		all = append(all, s)
	}
	return all
}

// observe computes the sums over the variable before a step, and sets the averages after it.
func (n *network) observe(v *sight, grad, theta *graph.Node, s state) {
	wide := func(x *graph.Node) *graph.Node { return graph.ConvertDType(x, dtypes.Float64) }
	dot := func(a, b *graph.Node) *graph.Node { return graph.ReduceAllSum(graph.Mul(a, b)) }
	g, p, u := wide(graph.ClipScalar(grad, -largest, largest)), wide(theta), wide(s.u.ValueGraph(n.g))
	gg := dot(g, g)
	v.pp, v.uu = dot(p, p), dot(u, u)
	both := graph.Mul(gg, v.uu)
	v.cosine = graph.Where(graph.GreaterThan(both, n.number(0)), graph.Div(dot(g, u), graph.Sqrt(both)), n.number(0))
	if n.cfg.Inputs&lstm.Momenta != 0 {
		for k := range 2 {
			m := wide(n.moment(s, k))
			v.moments = append(v.moments, dot(m, m))
		}
	}
	mean, seen := graph.DivScalar(gg, v.n), s.seen.ValueGraph(n.g)
	var after []*graph.Node
	average := func(beta float64, x *graph.Node) *graph.Node {
		k := len(after)
		old := wide(graph.Reshape(graph.Slice(seen, graph.AxisElem(k))))
		next := graph.Add(old, graph.MulScalar(graph.Sub(x, old), 1-beta))
		if beta == 1 { // the value of the first step
			next = graph.Where(n.first, x, old)
		}
		narrow := graph.ConvertDType(next, dtypes.Float32)
		after = append(after, narrow)
		return wide(narrow)
	}
	v.slow, v.fast, v.first = average(slowBeta, mean), average(fastBeta, mean), average(1, mean)
	for _, beta := range cosineBetas {
		v.cosines = append(v.cosines, average(beta, v.cosine))
	}
	s.seen.SetValueGraph(graph.Stack(after, 0))
	v.mean = graph.Div(v.slow, n.remembered(slowBeta, n.now))
}

// look computes gain and features. All variables have been observed.
func (n *network) look(v *sight, total int) {
	zero, one := n.number(0), n.number(1)
	positive := func(x *graph.Node) *graph.Node { return graph.GreaterThan(x, zero) }
	v.inverse = graph.ConvertDType(graph.Where(positive(v.mean), graph.Rsqrt(v.mean), zero), dtypes.Float32)
	v.gain = n.number(biasGain)
	if v.tensor.Outputs() > 0 {
		x := one
		if v.bias != nil {
			x = graph.Where(graph.LogicalAnd(positive(v.slow), positive(v.bias.slow)), graph.ClipScalar(graph.Sqrt(graph.Div(v.slow, v.bias.slow)), 1e-3, 1e3), one)
		}
		v.gain = graph.MaxScalar(graph.MulScalar(x, float64(v.inputs)), 1.0)
	}
	var all []*graph.Node
	constant := func(values ...float64) {
		for _, x := range values {
			all = append(all, n.number(x))
		}
	}
	truth := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	if n.cfg.Context&lstm.ShapeContext != 0 {
		kind := v.tensor.Kind
		constant(truth(kind != optimizer.Vector), truth(kind == optimizer.Bias), truth(kind == optimizer.Convolution),
			math.Log1p(float64(v.inputs))/8, math.Log1p(float64(v.outputs))/8, math.Log(v.n)/16, v.place)
	}
	if n.cfg.Context&lstm.NormContext != 0 {
		before := graph.AddScalar(n.now, -1)
		for k := range 2 {
			signal := zero
			if v.moments != nil {
				signal = graph.Div(graph.Sqrt(graph.Div(graph.DivScalar(v.moments[k], v.n), v.mean)), n.remembered(momentBetas[k], before))
			}
			all = append(all, graph.Where(graph.LogicalAnd(graph.LogicalNot(n.first), positive(v.mean)), signal, one))
		}
		all = append(all,
			graph.DivScalar(n.logRatio(graph.Div(v.fast, n.remembered(fastBeta, n.now)), v.mean), 5.0),
			graph.DivScalar(n.logRatio(v.mean, v.first), 10.0),
			graph.DivScalar(n.logRatio(v.uu, v.pp), 10.0),
			graph.DivScalar(n.logRatio(graph.MulScalar(v.pp, float64(max(v.inputs, 1))/v.n), one), 10.0),
			graph.DivScalar(graph.Log(graph.DivScalar(v.gain, float64(standardGain))), 5.0))
	}
	if n.cfg.Context&lstm.FeedbackContext != 0 {
		all = append(all, v.cosine)
		for k, beta := range cosineBetas {
			all = append(all, graph.Div(v.cosines[k], n.remembered(beta, n.now)))
		}
	}
	if n.cfg.Context&lstm.TimeContext != 0 {
		logarithm := func(x *graph.Node) *graph.Node {
			return graph.AddScalar(graph.DivScalar(graph.Log(x), float64(clockScale)), -1)
		}
		all = append(all, logarithm(n.now), graph.Reciprocal(n.now))
		if total > 0 {
			rest := graph.MaxScalar(graph.Sub(n.number(float64(total)), n.now), 0.0)
			all = append(all, one, graph.DivScalar(rest, float64(total)), logarithm(graph.AddScalar(rest, 1)))
		} else {
			constant(0, 0, 0)
		}
	}
	if len(all) > 0 {
		v.features = graph.InsertAxes(graph.ConvertDType(graph.ClipScalar(graph.Stack(all, 0), -2, 2), dtypes.Float32), 0)
	}
}

// number returns a scalar in float64.
func (n *network) number(x float64) *graph.Node { return graph.Scalar(n.g, dtypes.Float64, x) }

// remembered returns 1 − β^t, the weight of t values in their moving average.
func (n *network) remembered(beta float64, t *graph.Node) *graph.Node {
	return graph.Neg(graph.Expm1(graph.MulScalar(t, math.Log(beta))))
}

// logRatio is ln(a/b), clipped to ±10; it is −10 if a is 0, else 10 if b is 0.
func (n *network) logRatio(a, b *graph.Node) *graph.Node {
	zero := n.number(0)
	ratio := graph.ClipScalar(graph.Sub(graph.Log(a), graph.Log(b)), -10, 10)
	return graph.Where(graph.LessOrEqual(a, zero), n.number(-10), graph.Where(graph.LessOrEqual(b, zero), n.number(10), ratio))
}

// moment returns average k of momenta before the step, [n].
func (n *network) moment(s state, k int) *graph.Node {
	all := s.moments.ValueGraph(n.g)
	return graph.Reshape(graph.Slice(all, graph.AxisElem(k), graph.AxisRange()), all.Shape().Dimensions[1])
}

// momenta emits the six features of momenta and the directions n_0 … n_5, [n] each, and sets the averages after the step.
func (n *network) momenta(grad *graph.Node, s state, v *sight) (features, directions []*graph.Node) {
	c := graph.ClipScalar(grad, -largest, largest)
	var after, averages []*graph.Node
	for k, beta := range momentBetas {
		x := c
		if k >= 3 {
			x = graph.Mul(c, c)
		}
		next := graph.Add(graph.MulScalar(n.moment(s, k), beta), graph.MulScalar(x, 1-beta))
		after = append(after, next)
		averages = append(averages, graph.Div(next, graph.ConvertDType(n.remembered(beta, n.now), dtypes.Float32)))
	}
	n.momentum = graph.Add(graph.MulScalar(after[0], momentBetas[0]), graph.MulScalar(c, 1-momentBetas[0]))
	n.unmoved = graph.LogicalAnd(graph.Equal(c, graph.ZerosLike(c)), graph.Equal(n.moment(s, 4), graph.ZerosLike(c)))
	s.moments.SetValueGraph(graph.Stack(after, 0))
	root := graph.Sqrt(averages[4])
	d, d95 := graph.AddScalar(root, tiny), graph.AddScalar(graph.Sqrt(averages[3]), tiny)
	m := averages[0]
	directions = []*graph.Node{graph.Div(c, d), graph.Div(m, d), graph.Div(averages[1], d), graph.Div(averages[2], d), graph.Div(m, d95), graph.Mul(m, v.inverse)}
	zero := graph.ZerosLike(m)
	sign := graph.Where(graph.LessThan(m, zero), graph.AddScalar(zero, -1), graph.AddScalar(zero, 1))
	for _, x := range directions[:5] {
		features = append(features, graph.Mul(sign, x))
	}
	ratio := graph.AddScalar(graph.Mul(root, v.inverse), 1)
	return append(features, graph.Neg(graph.AddScalar(graph.MulScalar(graph.Reciprocal(ratio), 2), -1))), directions
}

// orthogonal emits the orthogonal directions [n] of a matrix or convolution, after momenta.
func (n *network) orthogonal(v *sight) *graph.Node {
	before, after := v.tensor.AroundOutputs()
	outputs, inputs := v.tensor.Outputs(), v.tensor.Inputs()
	x := graph.Reshape(graph.TransposeAllAxes(graph.Reshape(n.momentum, before, outputs, after), 1, 0, 2), outputs, inputs)
	turned := outputs > inputs
	if turned {
		x = graph.Transpose(x, 0, 1)
	}
	wide := graph.ConvertDType(x, dtypes.Float64)
	norm := graph.AddScalar(graph.Sqrt(graph.ReduceAllSum(graph.Mul(wide, wide))), 1e-30)
	x = graph.ConvertDType(graph.Div(wide, norm), dtypes.Float32)
	for range 5 {
		a := graph.DotGeneral(x, []int{1}, nil, x, []int{1}, nil)
		p := graph.Add(graph.MulScalar(a, -4.7750), graph.MulScalar(graph.MatMul(a, a), 2.0315))
		x = graph.Add(graph.MulScalar(x, 3.4445), graph.MatMul(p, x))
	}
	x = graph.MulScalar(x, math.Sqrt(float64(max(outputs, inputs))))
	if turned {
		x = graph.Transpose(x, 0, 1)
	}
	x = graph.Reshape(graph.TransposeAllAxes(graph.Reshape(x, outputs, before, after), 1, 0, 2), n.momentum.Shape().Dimensions[0])
	return graph.Where(n.unmoved, graph.ZerosLike(x), x)
}
