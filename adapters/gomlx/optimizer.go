// Package gomlxopt makes a learned optimizer an optimizer of GoMLX. Its coordinatewise network
// becomes operations of GoMLX's graph and runs in GoMLX's training loop, on any of
// GoMLX's backends.
//
// It is a separate module, so that other programs do not depend on GoMLX.
package gomlxopt

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"strings"

	"github.com/gomlx/gomlx/pkg/core/dtypes"
	"github.com/gomlx/gomlx/pkg/core/graph"
	"github.com/gomlx/gomlx/pkg/core/shapes"
	"github.com/gomlx/gomlx/pkg/core/tensors"
	"github.com/gomlx/gomlx/pkg/ml/context"
	"github.com/gomlx/gomlx/pkg/ml/context/initializers"
	"github.com/gomlx/gomlx/pkg/ml/train"
	"github.com/gomlx/gomlx/pkg/ml/train/optimizers"

	"learnedopt/lstm"
	"learnedopt/optimizer"
)

// DefaultScope is the scope in which an Optimizer keeps its variables by default.
const DefaultScope = "LearnedOptimizer"

// An Optimizer is a learned optimizer for GoMLX's train.Trainer. At each step it updates the
// n coordinates of every trainable variable θ, of any shape:
//
//	θ ← θ + u,   (u, s) ← m(∂loss/∂θ, s; φ)
//
// The network computes as lstm.State.Update does, in float32 for every type of θ. There is no
// learning rate, and the context's learning rate is not used.
//
// The state s lies in variables of the context that are not trainable, so GoMLX's checkpoints
// save and resume it. For a variable "w" of scope /model these variables are in /Scope/model:
// "w_h1" [n,H] and "w_c1" [n,H] for each LSTM layer, counted from 1, and with RNNProp inputs
// "w_m" [n] and "w_v" [n]. The number of steps is /Scope/step, an int64. φ is a constant of the
// graph and is not saved. A checksum of it is saved, /Scope/network, so that resuming
// with another network fails.
//
// A network that tells tensors apart (lstm.Config.Context and FanIn, lstm.Momenta, lstm.Mix) also reads θ and what the variables
// are: see Describe. It keeps "w_u" [n], the last update, "w_seen" [5], averages of the whole variable, and with Momenta
// "w_moments" [5,n]. Sums over a variable are in float64.
//
// GoMLX's hyperparameters "clip_step_by_value", "clip_nan" and "nanlogger" work as they do for
// GoMLX's own optimizers.
type Optimizer struct {
	// Network is the update rule m with its parameters φ.
	Network *lstm.Network
	// Scope is the top-level scope of the optimizer's variables. Default DefaultScope. Two
	// optimizers in one context need two scopes.
	Scope string
	// Describe returns the Kind and the OutputAxis of a trainable variable; the rest of the tensor is not used. Only networks that tell tensors
	// apart read it. A bias belongs to the weights that come just before it in the context. Default the function Describe.
	Describe func(v *context.Variable) optimizer.Tensor
	// Total is the number of steps of the run. Networks that read the time then lower their updates toward the end.
	// Default 0: not known.
	Total int
}

var (
	_ optimizers.Interface        = (*Optimizer)(nil)
	_ train.OptimizeWithGradients = (*Optimizer)(nil)
)

// New returns the optimizer that applies net, for example the Network of a *metaopt.Optimizer. A
// guard of that optimizer is not used: it needs losses and a way back, and a graph has neither.
func New(net *lstm.Network) *Optimizer { return &Optimizer{Network: net} }

// UpdateGraph implements optimizers.Interface. Like all code that builds graphs it panics with an
// error, and GoMLX's trainer returns this error. It panics if the loss is not a scalar, if a trainable
// variable's type is not float32, float64, float16 or bfloat16, if the saved state belongs to
// another network, or if the network has something that this adapter does not compute.
func (o *Optimizer) UpdateGraph(ctx *context.Context, g *graph.Graph, loss *graph.Node) {
	if !loss.Shape().IsScalar() {
		panic(fmt.Errorf("gomlxopt: the loss has shape %s; it must be a scalar", loss.Shape()))
	}
	o.UpdateGraphWithGradients(ctx, ctx.BuildTrainableVariablesGradientsGraph(loss), loss.DType())
}

// UpdateGraphWithGradients implements train.OptimizeWithGradients, for accumulated gradients. grads holds
// one gradient for each trainable variable that the graph uses, in the context's order and with the
// variable's shape. It panics as UpdateGraph does. The type of the loss does not matter.
func (o *Optimizer) UpdateGraphWithGradients(ctx *context.Context, grads []*graph.Node, _ dtypes.DType) {
	if err := supported(o.Network.Config()); err != nil {
		panic(err)
	}
	if len(grads) == 0 {
		panic(fmt.Errorf("gomlxopt: no gradients: the graph uses no trainable variable"))
	}
	g := grads[0].Graph()
	var variables []*context.Variable
	for v := range ctx.IterVariables() {
		if v.Trainable && v.InUseByGraph(g) {
			variables = append(variables, v)
		}
	}
	if len(variables) != len(grads) {
		panic(fmt.Errorf("gomlxopt: %d gradients for %d trainable variables", len(grads), len(variables)))
	}
	if o.Total < 0 {
		panic(fmt.Errorf("gomlxopt: a run of %d steps; want at least 1, or 0 if the number is not known", o.Total))
	}
	sights := make([]*sight, len(variables)) // nil for networks that treat all coordinates alike
	var layout optimizer.Layout
	if hasEyes(o.Network.Config()) {
		layout = o.layoutOf(variables)
		sights = sightsOf(layout)
	}
	own := ctx.Checked(false).InAbsPath(o.root())
	o.checkNetwork(own, layout)
	optimizers.IncrementGlobalStepGraph(ctx, g, dtypes.Int64)
	step := own.VariableWithValue("step", int64(0)).SetTrainable(false)
	t := graph.AddScalar(step.ValueGraph(g), 1)
	step.SetValueGraph(t)

	net := newNetwork(g, o.Network, t)
	states, narrow := make([]state, len(variables)), make([]*graph.Node, len(variables))
	for i, v := range variables {
		narrow[i], states[i] = gradientOf(ctx, v, grads[i]), o.state(ctx, v)
		if sights[i] != nil {
			theta := graph.Reshape(graph.ConvertDType(v.ValueGraph(g), dtypes.Float32), v.Shape().Size())
			net.observe(sights[i], narrow[i], theta, states[i])
		}
	}
	for i, v := range variables {
		if sights[i] != nil {
			net.look(sights[i], o.Total)
		}
		move(ctx, net, v, net.update(narrow[i], states[i], sights[i]))
	}
}

// Clear implements optimizers.Interface: it deletes the optimizer's variables, including the variables in
// a checkpoint that have not been read yet. The next step is then the first step of a fresh run. A trainer
// that has taken steps needs ResetComputationGraphs first.
func (o *Optimizer) Clear(ctx *context.Context) error {
	own := ctx.InAbsPath(o.root())
	if err := own.DeleteVariablesInScope(); err != nil {
		return err
	}
	loaded, ok := ctx.Loader().(interface {
		LoadedVariables() map[string]*tensors.Tensor
	})
	if !ok {
		return nil
	}
	for name := range loaded.LoadedVariables() {
		if scope, base := context.VariableScopeAndNameFromParameterName(name); within(scope, o.root()) {
			if err := own.DeleteVariable(scope, base); err != nil {
				return err
			}
		}
	}
	return nil
}

// within says whether a scope is root or below it.
func within(scope, root string) bool {
	return strings.HasPrefix(scope+context.ScopeSeparator, root+context.ScopeSeparator)
}

func (o *Optimizer) root() string {
	if o.Scope == "" {
		return context.RootScope + DefaultScope
	}
	return context.RootScope + o.Scope
}

// checkNetwork panics if the state in the context belongs to another network, or if it tells tensors apart, to variables that
// were described in another way.
func (o *Optimizer) checkNetwork(own *context.Context, layout optimizer.Layout) {
	want := checksum(o.Network, layout)
	if saved := tensors.ToScalar[int64](own.VariableWithValue("network", want).SetTrainable(false).MustValue()); saved != want {
		what := "another network"
		if hasEyes(o.Network.Config()) {
			what = "another network, or of variables that were described in another way"
		}
		panic(fmt.Errorf("gomlxopt: the state in %s is of %s; resume as it was, or Clear the optimizer first", own.Scope(), what))
	}
}

// checksum returns a checksum of φ and of all settings except Anneal, which may change in the middle of a run. For networks that
// tell tensors apart it is also one of the layout.
func checksum(net *lstm.Network, layout optimizer.Layout) int64 {
	cfg, sum := net.Config(), fnv.New64a()
	fmt.Fprint(sum, cfg.Inputs, cfg.P, cfg.SignP, cfg.Dense, cfg.Hidden, cfg.Layers, cfg.Readout, cfg.Scale)
	if hasEyes(cfg) {
		fmt.Fprint(sum, cfg.Context, cfg.FanIn, cfg.Orthogonal, layout.Definition())
		if cfg.OrthogonalMean {
			fmt.Fprint(sum, "mean")
		}
		if cfg.Hyper > 0 {
			fmt.Fprint(sum, "hyper", cfg.Hyper)
		}
	}
	for _, w := range net.Params() {
		var b [4]byte
		binary.LittleEndian.PutUint32(b[:], math.Float32bits(w))
		sum.Write(b[:])
	}
	return int64(sum.Sum64())
}

// gradientOf returns a variable's gradient in float32, [n].
func gradientOf(ctx *context.Context, v *context.Variable, grad *graph.Node) *graph.Node {
	switch v.DType() {
	case dtypes.Float32, dtypes.Float64, dtypes.Float16, dtypes.BFloat16:
	default:
		panic(fmt.Errorf("gomlxopt: trainable variable %s is in %s; its type must be a real one", v.ScopeAndName(), v.DType()))
	}
	optimizers.TraceNaNInGradients(ctx, v, grad)
	grad = optimizers.ClipNaNsInGradients(ctx, grad)
	return graph.Reshape(graph.ConvertDType(grad, dtypes.Float32), v.Shape().Size())
}

// move adds the updates u [n] to a variable.
func move(ctx *context.Context, net *network, v *context.Variable, u *graph.Node) {
	u = optimizers.ClipStepByValue(ctx, graph.Reshape(u, v.Shape().Dimensions...))

	theta := v.ValueGraph(net.g)
	// The sum is computed in the wider of the two types.
	sum := dtypes.Float32
	if v.DType() == dtypes.Float64 {
		sum = dtypes.Float64
	}
	next := graph.ConvertDType(graph.Add(graph.ConvertDType(theta, sum), graph.ConvertDType(u, sum)), v.DType())
	v.SetValueGraph(optimizers.ClipNaNsInUpdates(ctx, theta, next))
}

// state returns the variables that hold the state for v. They start at zero.
func (o *Optimizer) state(ctx *context.Context, v *context.Variable) state {
	scope := o.root()
	if v.Scope() != context.RootScope {
		scope += v.Scope()
	}
	zero := ctx.Checked(false).InAbsPath(scope).WithInitializer(initializers.Zero)
	variable := func(suffix string, dims ...int) *context.Variable {
		return zero.VariableWithShape(v.Name()+suffix, shapes.Make(dtypes.Float32, dims...)).SetTrainable(false)
	}
	var s state
	cfg, n := o.Network.Config(), v.Shape().Size()
	for l := range cfg.Layers {
		s.h = append(s.h, variable(fmt.Sprintf("_h%d", l+1), n, cfg.Hidden))
		s.c = append(s.c, variable(fmt.Sprintf("_c%d", l+1), n, cfg.Hidden))
	}
	if cfg.Inputs&lstm.RNNProp != 0 {
		s.m, s.v = variable("_m", n), variable("_v", n)
	}
	if cfg.Inputs&lstm.Momenta != 0 {
		s.moments = variable("_moments", len(momentBetas), n)
	}
	if hasEyes(cfg) {
		s.u, s.seen = variable("_u", n), variable("_seen", seenSize)
	}
	return s
}
