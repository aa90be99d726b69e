package metatrain_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"learnedopt/baselines"
	"learnedopt/compare"
	"learnedopt/lstm"
	"learnedopt/metaopt"
	"learnedopt/metatrain"
	"learnedopt/optimizer"
	"learnedopt/tasks"
)

var secondsOf = regexp.MustCompile(`"seconds":[^,]*,`)

// quadratics is a mixture of quadratics of several sizes with noisy gradients. No size fills a whole block of the network.
func quadratics(t testing.TB) optimizer.Family {
	t.Helper()
	f, err := tasks.MustParse("quadratic dims=3,5 batch=7 gradient-noise=0.1").Family("")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// sometimes is a family of quartics. Every third one has a non-finite loss at step 12.
func sometimes(rng *rand.Rand) (optimizer.Problem, error) {
	seed := rng.Uint64()
	return &faulty{quartic{seed: seed, n: 5}, seed%3 == 0}, nil
}

type faulty struct {
	quartic
	fails bool
}

func (f *faulty) LossGrad(theta, grad []float32) (float64, error) {
	loss, err := f.quartic.LossGrad(theta, grad)
	if f.fails && f.t == 13 {
		loss = math.NaN()
	}
	return loss, err
}

// resumable are trainings that together cover everything that has a state.
func resumable(t testing.TB) map[string]metatrain.TrainConfig {
	base := metatrain.TrainConfig{
		Family: quadratics(t), Network: lstm.Config{Hidden: 4}, Steps: 20, Unroll: 5, MetaSteps: 23, ValidEvery: 5, ValidRuns: 2, Seed: 3,
	}
	with := func(change func(*metatrain.TrainConfig)) metatrain.TrainConfig {
		cfg := base
		change(&cfg)
		return cfg
	}
	quartics := family(func(rng *rand.Rand) (optimizer.Problem, error) { return &quartic{seed: rng.Uint64(), n: 9}, nil })
	seeing := func(network lstm.Config, e metatrain.Estimator) metatrain.TrainConfig {
		return with(func(c *metatrain.TrainConfig) {
			c.Family, c.Network, c.HideLength, c.Estimator, c.Batch, c.RandomSteps = family(tensorQuartics), network, 0.5, e, 2, true
		})
	}
	sighted := func(e metatrain.Estimator) metatrain.TrainConfig { return seeing(eyes, e) }
	return map[string]metatrain.TrainConfig{
		"backprop": base,
		"rnnprop, clock, schedule": with(func(c *metatrain.TrainConfig) {
			c.Network.Inputs, c.Network.Anneal = lstm.LogAndSign|lstm.RNNProp|lstm.Clock, 10
			c.WarmUp, c.FinalFraction = 4, 0.1
		}),
		"second derivatives": with(func(c *metatrain.TrainConfig) {
			c.Family, c.Estimator = quartics, &metatrain.TruncatedBackprop{SecondDerivatives: true, AdjointClip: 2}
		}),
		"more coordinates than a look": with(func(c *metatrain.TrainConfig) {
			c.Family = family(func(rng *rand.Rand) (optimizer.Problem, error) { return &quartic{seed: rng.Uint64(), n: 600}, nil })
		}),
		"coordinates, last": with(func(c *metatrain.TrainConfig) {
			c.Estimator = &metatrain.TruncatedBackprop{Coordinates: 6, Objective: metatrain.Last{}}
		}),
		"es, log, batch": with(func(c *metatrain.TrainConfig) {
			c.Estimator, c.Batch = &metatrain.ES{Pairs: 2, Objective: metatrain.Log{}}, 3
		}),
		"pes, ramp, batch, random lengths": with(func(c *metatrain.TrainConfig) {
			c.Estimator, c.Batch, c.RandomSteps = &metatrain.PES{Pairs: 2, Objective: metatrain.Ramp{}}, 3, true
		}),
		"pes, relative": with(func(c *metatrain.TrainConfig) { c.Estimator = &metatrain.PES{Objective: metatrain.Relative{}} }),
		"relative, batch": with(func(c *metatrain.TrainConfig) {
			c.Estimator, c.Batch = &metatrain.TruncatedBackprop{Objective: metatrain.Relative{Rule: baselines.Nesterov{LearningRate: 0.1, Momentum: 0.9}}}, 2
		}),
		"imitation of momentum or pes": with(func(c *metatrain.TrainConfig) {
			c.Estimator = &metatrain.Imitation{Teacher: baselines.Momentum{LearningRate: 0.05, Momentum: 0.9}, Probability: 0.5, Estimator: &metatrain.PES{}}
			c.Batch = 4
		}),
		"curriculum, geometric": with(func(c *metatrain.TrainConfig) {
			c.Horizons, c.Selection, c.MetaSteps, c.MetaLearningRate = []int{5, 10, 20}, compare.SelectGeometric, 60, 0.05
		}),
		"random scaling and a convex part": with(func(c *metatrain.TrainConfig) {
			c.Valid = c.Family
			c.Family = tasks.Joint{Families: []optimizer.Family{tasks.RandomScaling{Family: c.Family}, tasks.Convex{}}}
			c.ValidSteps = []int{10, 30}
		}),
		"skip": with(func(c *metatrain.TrainConfig) { c.Family, c.Batch = family(sometimes), 2 }),
		"rollback": with(func(c *metatrain.TrainConfig) {
			c.Family, c.Batch, c.OnNonFinite = family(sometimes), 2, metatrain.RollbackNonFinite
		}),
		"eyes, backprop":                 sighted(nil),
		"eyes, coordinates":              sighted(metatrain.TruncatedBackprop{Coordinates: 6}),
		"eyes, second derivatives":       sighted(metatrain.TruncatedBackprop{SecondDerivatives: true, AdjointClip: 2}),
		"eyes, es":                       sighted(metatrain.ES{Pairs: 2}),
		"eyes, pes":                      sighted(metatrain.PES{Pairs: 2}),
		"eyes, imitation or pes":         sighted(metatrain.Imitation{Probability: 0.5, Estimator: metatrain.PES{}}),
		"orthogonal, second derivatives": seeing(orthogonalEyes, metatrain.TruncatedBackprop{SecondDerivatives: true, AdjointClip: 2}),
		"orthogonal, coordinates":        seeing(orthogonalEyes, metatrain.TruncatedBackprop{Coordinates: 6}),
		"patience":                       with(func(c *metatrain.TrainConfig) { c.Patience, c.MetaSteps, c.MetaLearningRate = 3, 500, 0.3 }),
	}
}

// run is a finished training and its events.
type recorded struct {
	trainer *metatrain.Trainer
	best    *metaopt.Optimizer
	err     error
	events  []string
}

func record(t *testing.T, ctx context.Context, cfg metatrain.TrainConfig, state []byte, atRest func(*metatrain.Trainer, int) error) recorded {
	t.Helper()
	var r recorded
	cfg.OnEvent = func(e metatrain.Event) {
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		r.events = append(r.events, secondsOf.ReplaceAllString(string(line), ""))
	}
	if atRest != nil {
		cfg.AtRest = func(tr *metatrain.Trainer) error { return atRest(tr, len(r.events)) }
	}
	var err error
	if r.trainer, err = metatrain.NewTrainer(cfg); err != nil {
		t.Fatal(err)
	}
	if state != nil {
		if err := r.trainer.UnmarshalBinary(state); err != nil {
			t.Fatal(err)
		}
	}
	r.best, r.err = r.trainer.Train(ctx)
	return r
}

// A training is interrupted after every meta-step, and resumed in a new trainer from the saved state. It equals the
// uninterrupted training: the same φ, the same best, the same events.
func TestResumeAfterEveryMetaStep(t *testing.T) {
	broken := errors.New("broken off")
	for name, cfg := range resumable(t) {
		t.Run(name, func(t *testing.T) {
			whole := record(t, t.Context(), cfg, nil, nil)
			if whole.err != nil {
				t.Fatal(whole.err)
			}
			for word, kind := range map[string]string{"skip": metatrain.EventDiverged, "rollback": metatrain.EventDiverged, "curriculum": metatrain.EventStage} {
				if strings.Contains(name, word) && !strings.Contains(strings.Join(whole.events, ""), `"event":"`+kind+`"`) {
					t.Fatalf("no event %q: the training is no test of it", kind)
				}
			}
			var (
				state  []byte
				events []string
				r      recorded
			)
			for parts := 0; ; parts++ {
				rests := 0
				r = record(t, t.Context(), cfg, state, func(tr *metatrain.Trainer, _ int) (err error) {
					if rests++; rests < 2 || parts > 0 && rests < 3 {
						return nil // once at the start, once before the first meta-step
					}
					if state, err = tr.MarshalBinary(); err != nil {
						return err
					}
					return broken
				})
				events = append(events, r.events...)
				if !errors.Is(r.err, broken) {
					if parts < 10 {
						t.Fatalf("only %d parts", parts)
					}
					break
				}
			}
			if r.err != nil {
				t.Fatal(r.err)
			}
			if !slices.Equal(bits(whole.trainer.Network().Params()), bits(r.trainer.Network().Params())) {
				t.Error("φ differs")
			}
			if !slices.Equal(bits(whole.best.Network.Params()), bits(r.best.Network.Params())) || whole.best.Provenance != r.best.Provenance {
				t.Errorf("the best differs: %+v, want %+v", r.best.Provenance, whole.best.Provenance)
			}
			if !slices.Equal(whole.events, events) {
				t.Errorf("events differ:\n%s\nwant\n%s", strings.Join(events, "\n"), strings.Join(whole.events, "\n"))
			}
		})
	}
}

func bits(x []float32) []uint32 {
	b := make([]uint32, len(x))
	for i, v := range x {
		b[i] = math.Float32bits(v)
	}
	return b
}

// Whenever the context ends, the training stops between two meta-steps or in a validation. The state that AtRest saves then
// resumes as if there had been no interruption.
func TestResumeAfterTheContextEnds(t *testing.T) {
	for name, stride := range map[string]int64{"pes, ramp, batch, random lengths": 167, "curriculum, geometric": 61} {
		t.Run(name, func(t *testing.T) { endedByTheContext(t, resumable(t)[name], stride) })
	}
}

func endedByTheContext(t *testing.T, cfg metatrain.TrainConfig, stride int64) {
	whole := record(t, t.Context(), cfg, nil, nil)
	var gradients atomic.Int64
	inner := cfg.Family
	var cancel context.CancelFunc
	stopAt := int64(0)
	counted := cfg
	counted.Family = named{inner.Name(), func(rng *rand.Rand) (optimizer.Problem, error) {
		p, err := inner.Sample(rng)
		return &counting{p, func() {
			if gradients.Add(1) == stopAt {
				cancel()
			}
		}}, err
	}}
	for stopAt = 30; ; stopAt += stride {
		gradients.Store(0)
		ctx, c := context.WithCancel(t.Context())
		cancel = c
		var state []byte
		seen := 0
		r := record(t, ctx, counted, nil, func(tr *metatrain.Trainer, events int) (err error) {
			seen = events
			state, err = tr.MarshalBinary()
			return err
		})
		c()
		if r.err == nil && stopAt > 10*stride {
			break // the training had already ended
		}
		if !errors.Is(r.err, context.Canceled) {
			t.Fatalf("after %d gradients: %v", stopAt, r.err)
		}
		if seen != len(r.events) {
			t.Errorf("after %d gradients: saved after %d events, %d were reported", stopAt, seen, len(r.events))
		}
		rest := record(t, t.Context(), cfg, state, nil)
		if !slices.Equal(bits(whole.trainer.Network().Params()), bits(rest.trainer.Network().Params())) {
			t.Errorf("after %d gradients: φ differs", stopAt)
		}
		if events := append(r.events, rest.events...); !slices.Equal(whole.events, events) {
			t.Errorf("after %d gradients: events differ:\n%s\nwant\n%s", stopAt, strings.Join(events, "\n"), strings.Join(whole.events, "\n"))
		}
	}
}

// named is a family under another name.
type named struct {
	name   string
	sample func(rng *rand.Rand) (optimizer.Problem, error)
}

func (n named) Name() string                                     { return n.name }
func (n named) Sample(rng *rand.Rand) (optimizer.Problem, error) { return n.sample(rng) }

// counting counts gradients.
type counting struct {
	optimizer.Problem
	count func()
}

func (c *counting) LossGrad(theta, grad []float32) (float64, error) {
	c.count()
	return c.Problem.LossGrad(theta, grad)
}

func (c *counting) Seek(t int) {
	if s, ok := c.Problem.(optimizer.Seeker); ok {
		s.Seek(t)
	}
}
