// Package onnx writes one step of a learned optimizer as an ONNX model, for the many languages and devices that have a runtime for
// such models.
//
//	model, err := onnx.Marshal(opt)
//
// The model has the inputs and outputs
//
//	gradient [n] float32, state [S, n] float32, step int64   →   update [n] float32, next_state [S, n] float32
//
// for any number n of coordinates. A run begins with a state of zeros and step 1. After each step the caller adds the update to
// the parameters, and passes next_state and the next step on. The rows of the state are those of lstm.State.Values: h and c of each layer, and with
// RNNProp inputs m and v. A network without LSTM layers and moving averages has no state; state and next_state are then missing.
//
// Networks that look at whole tensors (lstm.Network.Eyes) are refused: their step is not a function of one coordinate.
package onnx

import (
	"fmt"
	"math"
	"strings"

	"learnedopt/lstm"
	"learnedopt/metaopt"
)

const (
	irVersion = 7  // of ONNX 1.7 to 1.8
	opset     = 13 // the first one in which Split and Unsqueeze have today's form
)

// An EyesError says that a network looks at whole tensors.
type EyesError struct {
	Name string
	// Reads are the parts of the configuration that do so.
	Reads []string
}

// Error implements error.
func (e *EyesError) Error() string {
	return fmt.Sprintf("onnx: %s reads %s of whole tensors, so that a step is no function of one coordinate; run it by the library for C, or export another optimizer, such as mlp",
		e.Name, strings.Join(e.Reads, ", "))
}

// Marshal returns an optimizer's step as the bytes of a model. A network with eyes gives an *EyesError. A guard is not part of the
// model. Equal optimizers have equal bytes.
func Marshal(o *metaopt.Optimizer) ([]byte, error) {
	cfg := o.Network.Config()
	if o.Network.Eyes() {
		e := &EyesError{Name: o.Name()}
		if cfg.Context != 0 {
			e.Reads = append(e.Reads, "the context "+cfg.Context.String())
		}
		if cfg.FanIn {
			e.Reads = append(e.Reads, "the fan-in")
		}
		if cfg.Inputs&lstm.Momenta != 0 {
			e.Reads = append(e.Reads, "the mean square gradient (momenta)")
		}
		return nil, e
	}
	g := &graph{cfg: cfg, tensors: map[string]lstm.Tensor{}}
	for _, t := range o.Network.Tensors() {
		g.tensors[t.Name] = t
	}
	g.step()
	inputs := []message{value("gradient", "the gradient at the parameters", float32s, -1)}
	outputs := []message{value("update", "to be added to the parameters", float32s, -1)}
	if g.rows > 0 {
		inputs = append(inputs, value("state", "zeros at the start of a run, then next_state", float32s, g.rows, -1))
		outputs = append(outputs, value("next_state", "the state of the next step", float32s, g.rows, -1))
	}
	inputs = append(inputs, value("step", "1 at the start of a run", int64s))
	var out message
	for _, n := range g.nodes {
		out = out.sub(graphNode, n)
	}
	out = out.text(graphName, "step")
	for _, c := range g.constants {
		out = out.sub(graphInitializer, c)
	}
	for _, v := range inputs {
		out = out.sub(graphInput, v)
	}
	for _, v := range outputs {
		out = out.sub(graphOutput, v)
	}
	m := message(nil).int(modelIRVersion, irVersion).text(modelProducer, "metaopt").int(modelVersion, 1).
		text(modelDoc, "One step of the learned optimizer "+o.Name()+": add update to the parameters.").
		sub(modelGraph, out).sub(modelOpset, message(nil).int(opsetVersion, opset))
	for _, pair := range [][2]string{{"name", o.Name()}, {"horizon", fmt.Sprint(o.Horizon())}, {"task", o.Provenance.Task}} {
		m = m.sub(modelMetadata, message(nil).text(entryKey, "metaopt."+pair[0]).text(entryValue, pair[1]))
	}
	return m, nil
}

// A graph is a graph being made. Values of n coordinates are rows: [rows, n].
type graph struct {
	cfg              lstm.Config
	tensors          map[string]lstm.Tensor
	nodes, constants []message
	rows             int // of the state
	names            int
}

// op adds a node and returns the name of its output.
func (g *graph) op(kind string, inputs ...string) string { return g.opWith(kind, "", 0, inputs...) }

// opWith is op with an integer attribute.
func (g *graph) opWith(kind, attribute string, x int, inputs ...string) string {
	return g.ops(kind, attribute, x, 1, inputs...)[0]
}

func (g *graph) ops(kind, attribute string, x, outputs int, inputs ...string) []string {
	var m message
	for _, in := range inputs {
		m = m.text(nodeInput, in)
	}
	out := make([]string, outputs)
	for i := range out {
		out[i] = g.name()
		m = m.text(nodeOutput, out[i])
	}
	m = m.text(nodeOp, kind)
	if attribute != "" {
		m = m.sub(nodeAttribute, message(nil).text(attributeName, attribute).int(attributeInt, x).int(attributeType, isInt))
	}
	g.nodes = append(g.nodes, m)
	return out
}

// result gives a value the name of an output.
func (g *graph) result(name, from string) {
	g.nodes = append(g.nodes, message(nil).text(nodeInput, from).text(nodeOutput, name).text(nodeOp, "Identity"))
}

func (g *graph) name() string {
	g.names++
	return fmt.Sprintf("v%d", g.names)
}

func constant[T float32 | int64 | float64](g *graph, shape []int, x ...T) string {
	name := g.name()
	g.constants = append(g.constants, tensor(name, shape, x))
	return name
}

func (g *graph) scalar(x float64) string { return constant(g, nil, float32(x)) }

func (g *graph) double(x float64) string { return constant(g, nil, x) }

func (g *graph) float(x string) string { return g.opWith("Cast", "to", float32s, x) }

// split divides rows into parts of the given numbers of rows.
func (g *graph) split(x string, counts ...int64) []string {
	return g.ops("Split", "axis", 0, len(counts), x, constant(g, []int{len(counts)}, counts...))
}

func (g *graph) concat(x ...string) string { return g.opWith("Concat", "axis", 0, x...) }

// affine applies a map to rows. transposed has a row for each output.
func (g *graph) affine(name, x string) string {
	w, b := g.tensors[name+"/w"], g.tensors[name+"/b"]
	in, out := w.Shape[0], w.Shape[1]
	transposed := make([]float32, in*out)
	for i := range in {
		for o := range out {
			transposed[o*in+i] = w.Data[i*out+o]
		}
	}
	return g.op("Add", g.op("MatMul", constant(g, []int{out, in}, transposed...), x), constant(g, []int{out, 1}, b.Data...))
}

// step adds everything. docs/format.md has the formulas.
func (g *graph) step() {
	cfg := g.cfg
	axis := constant(g, []int{1}, int64(0))
	gradient := g.op("Unsqueeze", "gradient", axis) // [1, n]
	t := g.opWith("Cast", "to", float64s, "step")

	var counts []int64
	for range 2 * cfg.Layers {
		counts = append(counts, int64(cfg.Hidden))
	}
	if cfg.Inputs&lstm.RNNProp != 0 {
		counts = append(counts, 1, 1)
	}
	var state, next []string
	for _, n := range counts {
		g.rows += int(n)
	}
	if g.rows > 0 {
		state = g.split("state", counts...)
	}

	var x []string
	if cfg.Inputs&lstm.Raw != 0 {
		x = append(x, gradient)
	}
	if cfg.Inputs&lstm.LogAndSign != 0 {
		one, minus := g.scalar(1), g.scalar(-1)
		x = append(x, g.op("Max", g.op("Div", g.op("Log", g.op("Abs", gradient)), g.scalar(cfg.P)), minus),
			g.op("Clip", g.op("Mul", gradient, g.scalar(math.Exp(cfg.SignP))), minus, one))
	}
	var averages []string
	if cfg.Inputs&lstm.RNNProp != 0 {
		const beta, epsilon = 0.95, 1e-8
		mean := func(old, x string) string {
			return g.op("Add", g.op("Mul", old, g.scalar(beta)), g.op("Mul", x, g.scalar(1-beta)))
		}
		at := len(counts) - 2
		m, v := mean(state[at], gradient), mean(state[at+1], g.op("Mul", gradient, gradient))
		averages = []string{m, v}
		one := g.double(1)
		correction := g.float(g.op("Div", one, g.op("Sub", one, g.op("Pow", g.double(beta), t))))
		d := g.op("Add", g.op("Sqrt", g.op("Mul", v, correction)), g.scalar(epsilon))
		x = append(x, g.op("Div", g.op("Mul", m, correction), d), g.op("Div", gradient, d))
	}
	if cfg.Inputs&lstm.Clock != 0 {
		shape := g.op("Shape", gradient)
		for _, c := range []string{
			g.op("Sub", g.op("Div", g.op("Log", t), g.double(5)), g.double(1)), g.op("Div", g.double(1), t),
		} {
			x = append(x, g.op("Expand", g.float(c), shape))
		}
	}
	h := g.concat(x...)
	if cfg.Dense > 0 {
		h = g.op("Elu", g.affine("dense", h))
	}
	for k := range cfg.Layers {
		z := g.affine(fmt.Sprintf("lstm%d", k+1), g.concat(h, state[2*k]))
		size := int64(cfg.Hidden)
		gates := g.split(z, size, size, size, size)
		c := g.op("Add", g.op("Mul", g.op("Sigmoid", gates[1]), state[2*k+1]), g.op("Mul", g.op("Sigmoid", gates[0]), g.op("Tanh", gates[2])))
		h = g.op("Mul", g.op("Sigmoid", gates[3]), g.op("Tanh", c))
		next = append(next, h, c)
	}
	y := g.affine("readout", h)
	switch cfg.Readout {
	case lstm.Tanh:
		y = g.op("Tanh", y)
	case lstm.Exp:
		parts := g.split(y, 1, 1)
		y = g.op("Mul", parts[0], g.op("Exp", parts[1]))
	}
	scale := g.scalar(cfg.Scale)
	if cfg.Anneal > 0 {
		shrunk := g.op("Sqrt", g.op("Min", g.double(1), g.op("Div", g.double(float64(cfg.Anneal)), t)))
		scale = g.float(g.op("Mul", g.double(cfg.Scale), shrunk))
	}
	g.result("update", g.op("Squeeze", g.op("Mul", y, scale), axis))
	if g.rows > 0 {
		g.result("next_state", g.concat(append(next, averages...)...))
	}
}
