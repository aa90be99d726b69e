package metatrain_test

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"learnedopt/lstm"
	"learnedopt/metaopt"
	"learnedopt/metatrain"
	"learnedopt/optimizer"
	"learnedopt/tasks"
)

// counted is a family that counts its samples.
type counted struct {
	optimizer.Family
	n *atomic.Int32
}

func (c counted) Sample(rng *rand.Rand) (optimizer.Problem, error) {
	c.n.Add(1) // instances of a validation are sampled side by side
	return c.Family.Sample(rng)
}

// Episodes come from Family. Validation instances and the task's name come from Valid.
func TestValidFamily(t *testing.T) {
	task := tasks.Quadratic{Dims: 2, Batch: 2}
	harder := tasks.Joint{Families: []optimizer.Family{tasks.RandomScaling{Family: task}, tasks.RandomScaling{Family: tasks.Convex{}, Range: 1}}}
	validations := func(family, valid optimizer.Family) (*metaopt.Optimizer, []float64) {
		var losses []float64
		_, o := train(t, metatrain.TrainConfig{
			Family: family, Valid: valid, Network: lstm.Config{Hidden: 3}, Steps: 10, Unroll: 5, MetaSteps: 6, ValidEvery: 3, ValidRuns: 3, Seed: 4,
			OnEvent: func(e metatrain.Event) {
				if e.Kind == metatrain.EventValidation {
					losses = append(losses, float64(e.Valid.MeanLoss))
				}
			},
		})
		return o, losses
	}
	var episodes, runs atomic.Int32
	o, losses := validations(counted{harder, &episodes}, counted{task, &runs})
	_, plain := validations(task, nil)
	if episodes.Load() != 3 || runs.Load() != 9 {
		t.Errorf("%d episodes and %d validation instances, want 3 and 9", episodes.Load(), runs.Load())
	}
	if o.Provenance.Task != task.Name() {
		t.Errorf("the task is %q, want %q", o.Provenance.Task, task.Name())
	}
	if losses[0] != plain[0] {
		t.Errorf("the first validation is %v on other instances, %v without", losses[0], plain[0])
	}
	if losses[2] == plain[2] {
		t.Error("other episodes train the same network")
	}
}

// Episodes of all sizes follow each other in the same slots.
func TestMixtureOfSizesTrains(t *testing.T) {
	family, err := tasks.MustParse("quadratic dims=2,9,5 batch=1,4").Family("")
	if err != nil {
		t.Fatal(err)
	}
	for _, estimator := range []metatrain.Estimator{
		&metatrain.TruncatedBackprop{}, &metatrain.TruncatedBackprop{SecondDerivatives: true}, &metatrain.TruncatedBackprop{Coordinates: 3},
		&metatrain.PES{}, &metatrain.ES{},
	} {
		cfg := metatrain.TrainConfig{
			Family: family, Network: lstm.Config{Hidden: 3}, Steps: 10, Unroll: 5, MetaSteps: 24, Batch: 2, ValidEvery: 24, ValidRuns: 2, Estimator: estimator,
		}
		_, one := train(t, cfg)
		_, two := train(t, cfg)
		if one.Provenance.ValidLoss != two.Provenance.ValidLoss || one.Provenance.MetaSteps != two.Provenance.MetaSteps {
			t.Errorf("%T: two trainings give %+v and %+v", estimator, one.Provenance, two.Provenance)
		}
	}
}
