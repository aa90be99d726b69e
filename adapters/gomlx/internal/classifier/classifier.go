// Package classifier has the classifiers of package tasks as models of GoMLX, with the same
// starting points and minibatches, so that a run in GoMLX's training loop can be compared with the library's own loop.
package classifier

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/gomlx/gomlx/backends"
	"github.com/gomlx/gomlx/pkg/core/graph"
	"github.com/gomlx/gomlx/pkg/core/tensors"
	"github.com/gomlx/gomlx/pkg/ml/context"
	"github.com/gomlx/gomlx/pkg/ml/train"
	"github.com/gomlx/gomlx/pkg/ml/train/losses"
	"github.com/gomlx/gomlx/pkg/ml/train/optimizers"

	"learnedopt/adapters/gomlx/internal/cputime"
	"learnedopt/internal/stream"
	"learnedopt/optimizer"
	"learnedopt/tasks"
)

// Hidden units and size of a minibatch of every Problem, and how its parameters start: the defaults of tasks.Classifier.
const (
	units     = 20
	batch     = 128
	initScale = 0.01
)

// A Problem is one instance: a multilayer perceptron F-20-C, a starting point and a sequence of
// minibatches of 128. It is a train.Dataset without end.
type Problem struct {
	data       *tasks.Dataset
	activation string
	family     *tasks.Classifier
	instance   uint64
	seed       uint64
	t          int
}

var _ train.Dataset = (*Problem)(nil)

// New returns an instance. The activation is "sigmoid" or "relu".
func New(data *tasks.Dataset, activation string, instance uint64) (*Problem, error) {
	if activation != "sigmoid" && activation != "relu" {
		return nil, fmt.Errorf("classifier: activation %q; it must be sigmoid or relu", activation)
	}
	family, err := tasks.NewClassifier(data, tasks.ClassifierConfig{Activation: activation})
	if err != nil {
		return nil, err
	}
	// The first number that Sample draws is the problem's seed.
	return &Problem{data: data, activation: activation, family: family, instance: instance, seed: instanceRand(instance).Uint64()}, nil
}

func instanceRand(instance uint64) *rand.Rand { return rand.New(rand.NewPCG(instance, 0)) }

// Twin returns the instance as a problem of the library.
func (p *Problem) Twin() (optimizer.Problem, error) { return p.family.Sample(instanceRand(p.instance)) }

// Name implements train.Dataset. It returns the family's name.
func (p *Problem) Name() string { return p.family.Name() }

// Reset implements train.Dataset. It goes back to the first minibatch.
func (p *Problem) Reset() { p.t = 0 }

// Yield implements train.Dataset: images [128,F] and labels [128,1].
func (p *Problem) Yield() (spec any, inputs, labels []*tensors.Tensor, err error) {
	rng := stream.New(p.seed, "batch", uint64(p.t))
	p.t++
	rows, cols := p.data.Shape()
	f := rows * cols
	images, classes := make([]float32, batch*f), make([]int32, batch)
	for b := range batch {
		i := rng.IntN(p.data.Len(tasks.Train))
		p.data.Image(images[b*f:(b+1)*f], tasks.Train, i)
		classes[b] = int32(p.data.Label(tasks.Train, i))
	}
	return nil, []*tensors.Tensor{tensors.FromFlatDataAndDimensions(images, batch, f)},
		[]*tensors.Tensor{tensors.FromFlatDataAndDimensions(classes, batch, 1)}, nil
}

// Model is a train.ModelFn: the logits [128,C].
func (p *Problem) Model(ctx *context.Context, _ any, inputs []*graph.Node) []*graph.Node {
	rng := stream.New(p.seed, "init", 0)
	ctx = ctx.In("mlp").Checked(false)
	dense := func(x *graph.Node, layer, out int) *graph.Node {
		parameter := func(name string, dims ...int) *graph.Node {
			size := 1
			for _, d := range dims {
				size *= d
			}
			start := make([]float32, size)
			for i := range start {
				start[i] = float32(initScale * rng.NormFloat64())
			}
			return ctx.VariableWithValue(fmt.Sprint(name, layer), tensors.FromFlatDataAndDimensions(start, dims...)).ValueGraph(x.Graph())
		}
		w := parameter("W", x.Shape().Dimensions[1], out)
		return graph.Add(graph.Dot(x, w), graph.InsertAxes(parameter("b", out), 0))
	}
	h := dense(inputs[0], 0, units)
	if p.activation == "relu" {
		h = graph.MaxScalar(h, 0.0)
	} else {
		h = graph.Sigmoid(h)
	}
	return []*graph.Node{dense(h, 1, p.data.Classes())}
}

// Trainer returns a trainer of the model in ctx.
func (p *Problem) Trainer(backend backends.Backend, ctx *context.Context, opt optimizers.Interface) *train.Trainer {
	return train.NewTrainer(backend, ctx, p.Model, losses.SparseCategoricalCrossEntropyLogits, opt, nil, nil)
}

// Run trains for T steps in GoMLX's training loop, from the starting point and the first minibatch. It returns the
// T+1 losses f(θ_0) … f(θ_T), and the mean processor time of a step. The first step is not counted in that time,
// because it compiles.
func (p *Problem) Run(backend backends.Backend, opt optimizers.Interface, steps int) (losses []float64, step time.Duration, err error) {
	p.Reset()
	loop := train.NewLoop(p.Trainer(backend, context.New(), opt))
	var first time.Duration
	loop.OnStep("losses", 0, func(_ *train.Loop, metrics []*tensors.Tensor) error {
		if len(losses) == 0 {
			first = cputime.Used()
		}
		losses = append(losses, float64(tensors.ToScalar[float32](metrics[0])))
		return nil
	})
	if _, err := loop.RunSteps(p, steps+1); err != nil {
		return nil, 0, err
	}
	return losses, (cputime.Used() - first) / time.Duration(steps), nil
}
