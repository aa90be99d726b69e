package metatrain_test

import (
	"testing"

	"learnedopt/metatrain"
	"learnedopt/tasks"
)

// BenchmarkMetaStep takes meta-steps at the defaults: 20 inner steps of the 2×20 LSTM, the backward pass, Adam. "mnist"
// is MNIST's MLP (15,910 coordinates), on images of the same size drawn from fonts, so that it runs everywhere.
func BenchmarkMetaStep(b *testing.B) {
	for name, task := range map[string]string{"quadratic": "quadratic-uniform", "mnist": "digits"} {
		b.Run(name, func(b *testing.B) {
			family, err := tasks.New(task, tasks.Options{})
			if err != nil {
				b.Fatal(err)
			}
			trainer, err := metatrain.NewTrainer(metatrain.TrainConfig{Family: family, MetaSteps: 1})
			if err != nil {
				b.Fatal(err)
			}
			defer trainer.Close()
			step := func() {
				if err := trainer.Step(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			step()
			b.ReportAllocs()
			for b.Loop() {
				step()
			}
		})
	}
}
