package gomlxopt_test

import (
	"fmt"
	"log"

	"github.com/gomlx/gomlx/backends/simplego"
	"github.com/gomlx/gomlx/pkg/core/graph"
	"github.com/gomlx/gomlx/pkg/core/tensors"
	"github.com/gomlx/gomlx/pkg/ml/context"
	"github.com/gomlx/gomlx/pkg/ml/train"
	"github.com/gomlx/gomlx/pkg/ml/train/losses"

	gomlxopt "learnedopt/adapters/gomlx"
	"learnedopt/metaopt"
)

// GoMLX's trainer fits a line to four points, with an optimizer that comes with the library.
func ExampleNew() {
	opt, err := metaopt.Pretrained("quadratic")
	if err != nil {
		log.Fatal(err)
	}
	backend, err := simplego.New("ops_sequential")
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.New()
	trainer := train.NewTrainer(backend, ctx, line, losses.MeanSquaredError, gomlxopt.New(opt.Network), nil, nil)
	x := []*tensors.Tensor{tensors.FromValue([]float32{0, 1, 2, 3})}
	y := []*tensors.Tensor{tensors.FromValue([]float32{0.3, 1.1, 1.9, 2.7})}
	for range 100 {
		if _, err := trainer.TrainStep(nil, x, y); err != nil {
			log.Fatal(err)
		}
	}
	value := func(name string) float32 {
		return tensors.ToScalar[float32](ctx.GetVariableByScopeAndName(context.RootScope, name).MustValue())
	}
	fmt.Printf("y = %.1f x + %.1f\n", value("a"), value("b"))
	// Output: y = 0.8 x + 0.3
}

// line is the model a·x + b.
func line(ctx *context.Context, _ any, inputs []*graph.Node) []*graph.Node {
	x := inputs[0]
	a := ctx.VariableWithValue("a", float32(0)).ValueGraph(x.Graph())
	b := ctx.VariableWithValue("b", float32(0)).ValueGraph(x.Graph())
	return []*graph.Node{graph.Add(graph.Mul(a, x), b)}
}
