package tutorial

import (
	"context"
	"fmt"
	"sync"

	"learnedopt/lstm"
	"learnedopt/metaopt"
	"learnedopt/metatrain"
)

// train meta-trains a small network on logistic regressions in a few seconds.
func train() (*metaopt.Optimizer, error) {
	trainer, err := metatrain.NewTrainer(metatrain.TrainConfig{
		Family:  Logistics{},
		Network: lstm.Config{Inputs: lstm.LogAndSign | lstm.RNNProp, Hidden: 10, Scale: 0.1},
		Steps:   100, Unroll: 20,
		MetaSteps: 1500, MetaLearningRate: 0.01, WarmUp: 20, FinalFraction: 0.05,
		Batch:      4, // episodes side by side: the mean of their meta-gradients is less noisy
		Estimator:  &metatrain.TruncatedBackprop{SecondDerivatives: true},
		ValidEvery: 100, ValidRuns: 64,
		Seed: 1,
	})
	if err != nil {
		return nil, err
	}
	return trainer.Train(context.Background())
}

// trained returns the result of train, which runs once for all examples.
var trained = sync.OnceValues(train)

func ExampleTrainer() {
	opt, err := trained()
	if err != nil {
		panic(err)
	}
	fmt.Println("trained on", opt.Provenance.Task)
	fmt.Println("validation loss below 0.4:", opt.Provenance.ValidLoss < 0.4)
	// Output:
	// trained on logistic
	// validation loss below 0.4: true
}
