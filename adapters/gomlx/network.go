package gomlxopt

import (
	"fmt"
	"math"
	"strings"

	"github.com/gomlx/gomlx/pkg/core/dtypes"
	"github.com/gomlx/gomlx/pkg/core/graph"
	"github.com/gomlx/gomlx/pkg/core/tensors"
	"github.com/gomlx/gomlx/pkg/ml/context"

	"learnedopt/lstm"
)

// Constants of the RNNProp input (Lv et al. 2017, section 4), and the divisor of ln t in Clock. Package lstm has the
// same values.
const (
	rnnpropBeta    = 0.95
	rnnpropEpsilon = 1e-8
	clockScale     = 5
)

// What the adapter computes of lstm.Inputs, lstm.Context and lstm.Readout, whose values are Linear, Tanh, Exp, Mix and later ones.
const (
	inputs      = lstm.Raw | lstm.LogAndSign | lstm.RNNProp | lstm.Clock | lstm.Momenta
	contexts    = lstm.ShapeContext | lstm.NormContext | lstm.FeedbackContext | lstm.TimeContext
	lastReadout = lstm.Mix
)

// supported returns an error that names what the adapter does not compute of a network.
func supported(cfg lstm.Config) error {
	var what []string
	if other := cfg.Inputs &^ inputs; other != 0 {
		what = append(what, "the inputs "+other.String())
	}
	if cfg.Readout > lastReadout {
		what = append(what, "the read-out "+cfg.Readout.String())
	}
	if other := cfg.Context &^ contexts; other != 0 {
		what = append(what, "the context "+other.String())
	}
	if what == nil {
		return nil
	}
	return fmt.Errorf("gomlxopt: the network has %s, which this adapter does not compute yet; run it in your own loop with metaopt.Optimizer.Start", strings.Join(what, " and "))
}

// A state is the rule's memory for one variable of n coordinates: h and c [n,H] of each LSTM
// layer, m and v [n] of RNNProp, the averages [5,n] of Momenta; and of networks that tell tensors apart the last update u [n] and the averages
// [5] of the variable.
type state struct {
	h, c    []*context.Variable
	m, v    *context.Variable
	moments *context.Variable
	u, seen *context.Variable
}

// An affine is an affine map in a graph: x [n,D] to x·Wᵀ + b [n,E].
type affine struct {
	w *graph.Node // [E,D]: one row for each output, because backends multiply fastest that way
	b *graph.Node // [1,E]
	// c [E,Y] multiplies the context; nil in all maps but the first, and without context.
	c *graph.Node
}

// A network is an lstm.Network in a graph, at one step.
type network struct {
	g   *graph.Graph
	cfg lstm.Config

	dense  *affine
	layers []affine
	read   affine
	hyper  []affine // the two maps of lstm.Config.Hyper

	// Scalars that depend on the time of the step alone: see tick in package lstm.
	corr, log, inverse, scale *graph.Node
	// For networks that tell tensors apart: t in float64, and whether it is 1.
	now, first *graph.Node
	// What momenta emitted last, for orthogonal.
	momentum, unmoved *graph.Node
}

// newNetwork puts φ and the scalars of step t into the graph. t ≥ 1 is an integer scalar.
func newNetwork(g *graph.Graph, net *lstm.Network, t *graph.Node) *network {
	n := &network{g: g, cfg: net.Config()}
	maps := net.Tensors() // a matrix and a vector for each map
	for i := 0; i < len(maps); i += 2 {
		name, _, _ := strings.Cut(maps[i].Name, "/")
		seen := 0
		if i == 0 {
			seen = contextWidth(n.cfg.Context)
		}
		m := newAffine(g, maps[i], maps[i+1], seen)
		switch name {
		case "dense":
			n.dense = &m
		case "readout":
			n.read = m
		case "hyper1", "hyper2":
			n.hyper = append(n.hyper, m)
		default:
			n.layers = append(n.layers, m)
		}
	}
	now := graph.ConvertDType(t, dtypes.Float32)
	if n.cfg.Inputs&lstm.RNNProp != 0 {
		// For small t, 1-β^t loses digits by cancellation in float32; expm1 does not.
		n.corr = graph.Neg(graph.Reciprocal(graph.Expm1(graph.MulScalar(now, math.Log(rnnpropBeta)))))
	}
	if n.cfg.Inputs&lstm.Clock != 0 {
		n.log = graph.AddScalar(graph.DivScalar(graph.Log(now), float64(clockScale)), -1)
		n.inverse = graph.Reciprocal(now)
	}
	if hasEyes(n.cfg) {
		n.now = graph.ConvertDType(t, dtypes.Float64)
		n.first = graph.Equal(n.now, n.number(1))
	}
	n.scale = graph.Scalar(g, dtypes.Float32, n.cfg.Scale)
	if n.cfg.Anneal > 0 {
		after := graph.Scalar(g, dtypes.Float32, float64(n.cfg.Anneal))
		n.scale = graph.Mul(n.scale, graph.Sqrt(graph.MinScalar(graph.Div(after, now), 1.0)))
	}
	return n
}

// newAffine returns a map, the last rows of whose matrix belong to the given number of features of a context.
func newAffine(g *graph.Graph, weights, bias lstm.Tensor, seen int) affine {
	in, out := weights.Shape[0], weights.Shape[1]
	rows := func(from, to int) *graph.Node {
		w := make([]float32, (to-from)*out)
		for i := from; i < to; i++ {
			for j := range out {
				w[j*(to-from)+i-from] = weights.Data[i*out+j]
			}
		}
		return graph.ConstTensor(g, tensors.FromFlatDataAndDimensions(w, out, to-from))
	}
	m := affine{w: rows(0, in-seen), b: graph.ConstTensor(g, tensors.FromFlatDataAndDimensions(bias.Data, 1, out))}
	if seen > 0 {
		m.c = rows(in-seen, in)
	}
	return m
}

// of emits x·Wᵀ + b, and c·Cᵀ with the context c [1,Y] in the first map.
func (m affine) of(x *graph.Node, v *sight) *graph.Node {
	b := m.b
	if m.c != nil {
		b = graph.Add(b, graph.DotGeneral(v.features, []int{1}, nil, m.c, []int{1}, nil))
	}
	return graph.Add(graph.DotGeneral(x, []int{1}, nil, m.w, []int{1}, nil), b)
}

// contextWidth returns the number of features of a context.
func contextWidth(c lstm.Context) (width int) {
	for i, w := range []int{7, 7, 3, 5} {
		if c&(1<<i) != 0 {
			width += w
		}
	}
	return width
}

// update emits the updates [n] for the gradients grad [n] and sets the state after the step. v is nil for networks that treat all coordinates alike.
func (n *network) update(grad *graph.Node, s state, v *sight) *graph.Node {
	x, directions := n.features(grad, s, v)
	if n.dense != nil {
		e := n.dense.of(x, v)
		x = graph.Add(graph.MaxScalar(e, 0.0), graph.Expm1(graph.MinScalar(e, 0.0))) // ELU
	}
	for l, m := range n.layers {
		z := m.of(graph.Concatenate([]*graph.Node{x, s.h[l].ValueGraph(n.g)}, 1), v)
		gate := func(i int) *graph.Node {
			return graph.Slice(z, graph.AxisRange(), graph.AxisRange(i*n.cfg.Hidden, (i+1)*n.cfg.Hidden))
		}
		in, forget, cand, out := graph.Sigmoid(gate(0)), graph.Sigmoid(gate(1)), graph.Tanh(gate(2)), graph.Sigmoid(gate(3))
		c := graph.Add(graph.Mul(forget, s.c[l].ValueGraph(n.g)), graph.Mul(in, cand))
		x = graph.Mul(out, graph.Tanh(c))
		s.c[l].SetValueGraph(c)
		s.h[l].SetValueGraph(x)
	}
	y := n.read.of(x, v)
	column := func(i int) *graph.Node {
		return graph.Reshape(graph.Slice(y, graph.AxisRange(), graph.AxisElem(i)), y.Shape().Dimensions[0])
	}
	u := column(0)
	switch n.cfg.Readout {
	case lstm.Tanh:
		u = graph.Tanh(u)
	case lstm.Exp:
		u = graph.Mul(u, graph.Exp(column(1)))
	case lstm.Mix:
		u = graph.ZerosLike(u)
		for k, direction := range []int{0, 1, 2, 4, 5} {
			u = graph.Add(u, graph.Mul(column(k), directions[direction]))
		}
		z := column(5)
		size := graph.Add(z, graph.Sqrt(graph.AddScalar(graph.Mul(z, z), 1)))
		size = graph.Mul(size, size)
		u = graph.Mul(u, size)
		var factors *graph.Node // of u and of the orthogonal direction
		factor := func(i int) *graph.Node {
			return graph.Reshape(graph.Slice(factors, graph.AxisRange(), graph.AxisElem(i)))
		}
		if n.cfg.Hyper > 0 {
			factors = graph.Exp(n.hyper[1].of(graph.Tanh(n.hyper[0].of(v.features, nil)), nil))
			u = graph.Mul(u, factor(0))
		}
		if n.cfg.Orthogonal && v.tensor.Outputs() > 0 {
			weight := graph.Mul(column(6), size)
			if n.cfg.OrthogonalMean {
				weight = graph.ReduceAllMean(weight)
			}
			if n.cfg.Hyper > 0 {
				weight = graph.Mul(weight, factor(1))
			}
			u = graph.Add(u, graph.Mul(weight, n.orthogonal(v)))
		}
	}
	scale := n.scale
	if n.cfg.FanIn {
		r := graph.MulScalar(graph.Reciprocal(v.gain), float64(standardGain))
		scale = graph.Mul(scale, graph.ConvertDType(graph.Min(r, graph.Sqrt(r)), dtypes.Float32))
	}
	u = graph.Mul(scale, u)
	if v != nil {
		s.u.SetValueGraph(u)
	}
	return u
}

// features emits the features [n,D] of the gradients [n] and the directions that Mix combines, and sets the moving averages after
// the step.
func (n *network) features(g *graph.Node, s state, v *sight) (x *graph.Node, directions []*graph.Node) {
	var all []*graph.Node
	add := func(columns ...*graph.Node) {
		for _, c := range columns {
			if c.Shape().IsScalar() {
				c = graph.BroadcastToDims(c, g.Shape().Dimensions...)
			}
			all = append(all, graph.InsertAxes(c, -1))
		}
	}
	if n.cfg.Inputs&lstm.Raw != 0 {
		add(g)
	}
	if n.cfg.Inputs&lstm.LogAndSign != 0 {
		add(graph.MaxScalar(graph.DivScalar(graph.Log(graph.Abs(g)), n.cfg.P), -1.0),
			graph.ClipScalar(graph.MulScalar(g, math.Exp(n.cfg.SignP)), -1, 1))
	}
	if n.cfg.Inputs&lstm.RNNProp != 0 {
		average := func(v *context.Variable, x *graph.Node) *graph.Node {
			next := graph.Add(graph.MulScalar(v.ValueGraph(n.g), rnnpropBeta), graph.MulScalar(x, 1-rnnpropBeta))
			v.SetValueGraph(next)
			return graph.Mul(next, n.corr)
		}
		m := average(s.m, g)
		d := graph.AddScalar(graph.Sqrt(average(s.v, graph.Mul(g, g))), rnnpropEpsilon)
		add(graph.Div(m, d), graph.Div(g, d))
	}
	if n.cfg.Inputs&lstm.Clock != 0 {
		add(n.log, n.inverse)
	}
	if n.cfg.Inputs&lstm.Momenta != 0 {
		var columns []*graph.Node
		columns, directions = n.momenta(g, s, v)
		add(columns...)
	}
	return graph.Concatenate(all, 1), directions
}
