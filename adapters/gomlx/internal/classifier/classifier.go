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

// A Problem is one instance: a multilayer perceptron F-U-C, a starting point and a sequence of
// minibatches. It is a train.Dataset without end.
type Problem struct {
	data     *tasks.Dataset
	config   tasks.ClassifierConfig
	family   *tasks.Classifier
	instance uint64
	start    []float32
	seed     uint64
	t        int
}

var _ train.Dataset = (*Problem)(nil)

// New returns an instance of the classifier. Its activation must be "sigmoid" or "relu", and it must have one layer of hidden units.
func New(data *tasks.Dataset, c tasks.ClassifierConfig, instance uint64) (*Problem, error) {
	if c.Activation != "sigmoid" && c.Activation != "relu" {
		return nil, fmt.Errorf("classifier: activation %q; it must be sigmoid or relu", c.Activation)
	}
	if c.Units < 1 || c.Batch < 1 || c.Layers > 1 || c.Channels != "" {
		return nil, fmt.Errorf("classifier: %d units, minibatches of %d, %d layers, channels %q; only one layer of units is there", c.Units, c.Batch, c.Layers, c.Channels)
	}
	family, err := tasks.NewClassifier(data, c)
	if err != nil {
		return nil, err
	}
	// The first number that Sample draws is the problem's seed.
	p := &Problem{data: data, config: c, family: family, instance: instance, seed: instanceRand(instance).Uint64()}
	twin, err := p.Twin()
	if err != nil {
		return nil, err
	}
	p.start = make([]float32, twin.Dim())
	twin.Init(p.start)
	return p, nil
}

func instanceRand(instance uint64) *rand.Rand { return rand.New(rand.NewPCG(instance, 0)) }

// Twin returns the instance as a problem of the library.
func (p *Problem) Twin() (optimizer.Problem, error) { return p.family.Sample(instanceRand(p.instance)) }

// Name implements train.Dataset. It returns the family's name.
func (p *Problem) Name() string { return p.family.Name() }

// Reset implements train.Dataset. It goes back to the first minibatch.
func (p *Problem) Reset() { p.t = 0 }

// Yield implements train.Dataset: images [B,F] and labels [B,1].
func (p *Problem) Yield() (spec any, inputs, labels []*tensors.Tensor, err error) {
	rng := stream.New(p.seed, "batch", uint64(p.t))
	p.t++
	batch := p.config.Batch
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

// Model is a train.ModelFn: the logits [B,C]. Its variables are named as those of GoMLX's layers.
func (p *Problem) Model(ctx *context.Context, _ any, inputs []*graph.Node) []*graph.Node {
	rest := p.start // W0, b0, W1, b1, row by row
	ctx = ctx.In("mlp").Checked(false)
	dense := func(x *graph.Node, layer, out int) *graph.Node {
		ctx := ctx.Inf("dense_%d", layer)
		parameter := func(name string, dims ...int) *graph.Node {
			size := 1
			for _, d := range dims {
				size *= d
			}
			start := rest[:size]
			rest = rest[size:]
			return ctx.VariableWithValue(name, tensors.FromFlatDataAndDimensions(start, dims...)).ValueGraph(x.Graph())
		}
		w := parameter("weights", x.Shape().Dimensions[1], out)
		return graph.Add(graph.Dot(x, w), graph.InsertAxes(parameter("biases", out), 0))
	}
	h := dense(inputs[0], 0, p.config.Units)
	if p.config.Activation == "relu" {
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
