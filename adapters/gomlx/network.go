package gomlxopt

import (
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

// A state is the rule's memory for one variable of n coordinates: h and c [n,H] of each LSTM
// layer, m and v [n] of RNNProp.
type state struct {
	h, c []*context.Variable
	m, v *context.Variable
}

// An affine is an affine map in a graph: x [n,D] to x·Wᵀ + b [n,E].
type affine struct {
	w *graph.Node // [E,D]: one row for each output, because backends multiply fastest that way
	b *graph.Node // [1,E]
}

// A network is an lstm.Network in a graph, at one step.
type network struct {
	g   *graph.Graph
	cfg lstm.Config

	dense  *affine
	layers []affine
	read   affine

	// Scalars that depend on the time of the step alone: see tick in package lstm.
	corr, log, inverse, scale *graph.Node
}

// newNetwork puts φ and the scalars of step t into the graph. t ≥ 1 is an integer scalar.
func newNetwork(g *graph.Graph, net *lstm.Network, t *graph.Node) *network {
	n := &network{g: g, cfg: net.Config()}
	maps := net.Tensors() // a matrix and a vector for each map
	for i := 0; i < len(maps); i += 2 {
		name, _, _ := strings.Cut(maps[i].Name, "/")
		m := newAffine(g, maps[i], maps[i+1])
		switch name {
		case "dense":
			n.dense = &m
		case "readout":
			n.read = m
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
	n.scale = graph.Scalar(g, dtypes.Float32, n.cfg.Scale)
	if n.cfg.Anneal > 0 {
		after := graph.Scalar(g, dtypes.Float32, float64(n.cfg.Anneal))
		n.scale = graph.Mul(n.scale, graph.Sqrt(graph.MinScalar(graph.Div(after, now), 1.0)))
	}
	return n
}

func newAffine(g *graph.Graph, weights, bias lstm.Tensor) affine {
	in, out := weights.Shape[0], weights.Shape[1]
	w := make([]float32, len(weights.Data))
	for i := range in {
		for j := range out {
			w[j*in+i] = weights.Data[i*out+j]
		}
	}
	return affine{
		w: graph.ConstTensor(g, tensors.FromFlatDataAndDimensions(w, out, in)),
		b: graph.ConstTensor(g, tensors.FromFlatDataAndDimensions(bias.Data, 1, out)),
	}
}

func (m affine) of(x *graph.Node) *graph.Node {
	return graph.Add(graph.DotGeneral(x, []int{1}, nil, m.w, []int{1}, nil), m.b)
}

// update emits the updates [n] for the gradients grad [n] and sets the state after the step.
func (n *network) update(grad *graph.Node, s state) *graph.Node {
	x := n.features(grad, s)
	if n.dense != nil {
		e := n.dense.of(x)
		x = graph.Add(graph.MaxScalar(e, 0.0), graph.Expm1(graph.MinScalar(e, 0.0))) // ELU
	}
	for l, m := range n.layers {
		z := m.of(graph.Concatenate([]*graph.Node{x, s.h[l].ValueGraph(n.g)}, 1))
		gate := func(i int) *graph.Node {
			return graph.Slice(z, graph.AxisRange(), graph.AxisRange(i*n.cfg.Hidden, (i+1)*n.cfg.Hidden))
		}
		in, forget, cand, out := graph.Sigmoid(gate(0)), graph.Sigmoid(gate(1)), graph.Tanh(gate(2)), graph.Sigmoid(gate(3))
		c := graph.Add(graph.Mul(forget, s.c[l].ValueGraph(n.g)), graph.Mul(in, cand))
		x = graph.Mul(out, graph.Tanh(c))
		s.c[l].SetValueGraph(c)
		s.h[l].SetValueGraph(x)
	}
	y := n.read.of(x)
	column := func(i int) *graph.Node {
		return graph.Reshape(graph.Slice(y, graph.AxisRange(), graph.AxisElem(i)), y.Shape().Dimensions[0])
	}
	u := column(0)
	switch n.cfg.Readout {
	case lstm.Tanh:
		u = graph.Tanh(u)
	case lstm.Exp:
		u = graph.Mul(u, graph.Exp(column(1)))
	}
	return graph.Mul(n.scale, u)
}

// features emits the features [n,D] of the gradients [n], and sets the moving averages after
// the step.
func (n *network) features(g *graph.Node, s state) *graph.Node {
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
	return graph.Concatenate(all, 1)
}
