package curvature_test

import (
	"context"
	"fmt"
	"math/rand/v2"

	"learnedopt/baselines"
	"learnedopt/curvature"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
	"learnedopt/tasks"
)

// A badly scaled least-squares function, of condition 10⁴: two steps of the natural gradient, and a thousand of gradient descent.
func ExampleNaturalGradient() {
	problem, err := tasks.Quadratic{Dims: 5, Batch: 1, Condition: 1e4}.Sample(rand.New(rand.NewPCG(1, 2)))
	if err != nil {
		panic(err)
	}
	for _, c := range []struct {
		rule  optimizer.Rule
		steps int
	}{{curvature.NaturalGradient{LearningRate: 1, Damping: 1e-7}, 2}, {baselines.SGD{LearningRate: 0.03}, 1000}} {
		out, err := optimizer.Run(context.Background(), c.rule, problem, c.steps)
		if err != nil {
			panic(err)
		}
		fmt.Println(out.Losses[c.steps] < 1e-4*out.Losses[0])
	}
	// Output:
	// true
	// false
}

// Steps that change the predictions by a divergence of at most 0.1: those of the trust region, and those of gradient descent with a far too long
// learning rate under a guard.
func ExampleTrustRegion() {
	problem, err := tasks.Quadratic{Dims: 5, Batch: 1}.Sample(rand.New(rand.NewPCG(1, 2)))
	if err != nil {
		panic(err)
	}
	bounded := metaopt.Bounded{Rule: baselines.SGD{LearningRate: 100}, Guard: metaopt.KLGuard{Radius: 0.1}}
	for _, rule := range []optimizer.Rule{baselines.SGD{LearningRate: 100}, bounded, curvature.TrustRegion{Radius: 0.1}} {
		out, err := optimizer.Run(context.Background(), rule, problem, 50)
		if err != nil {
			panic(err)
		}
		fmt.Println(out.Diverged == nil, out.Losses[len(out.Losses)-1] < out.Losses[0])
	}
	// Output:
	// false false
	// true true
	// true true
}
