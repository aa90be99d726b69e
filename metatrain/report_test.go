package metatrain_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"learnedopt/compare"
	"learnedopt/lstm"
	"learnedopt/metatrain"
	"learnedopt/optimizer"
)

// The event of each episode sums up its windows. It is compared with the results of the units.
func TestEventsOfEpisodes(t *testing.T) {
	cfg := small()
	cfg.Steps, cfg.Unroll, cfg.Batch, cfg.MetaSteps, cfg.ValidEvery = 6, 2, 2, 12, 5
	inner, err := metatrain.NewInProcess(cfg)
	if err != nil {
		t.Fatal(err)
	}
	type episode struct {
		losses []float64
		norms  []float64
	}
	episodes := map[int]*episode{}
	begun := 0
	cfg.Executor = seeing{inner, func(units []metatrain.Unit, results []metatrain.Result) {
		for i, u := range units {
			if u.Slot != i || u.MetaStep != begun {
				t.Errorf("unit %d is of slot %d, meta-step %d, want %d", i, u.Slot, u.MetaStep, begun)
			}
			e := episodes[u.Episode]
			if e == nil {
				e = &episode{losses: []float64{results[i].Window.Losses[0]}}
				episodes[u.Episode] = e
			}
			if len(e.losses) != u.Step+1 || u.Window != 2 {
				t.Errorf("a unit of %d steps from step %d after %d losses", u.Window, u.Step, len(e.losses))
			}
			e.losses = append(e.losses, results[i].Window.Losses[1:]...)
			norm := 0.0
			for _, d := range results[i].Gradient {
				norm += d * d
			}
			e.norms = append(e.norms, math.Sqrt(norm))
		}
		begun++
	}}
	clipped, free := 0, 0
	cfg.Clip = 1 // between the norms that occur
	cfg.OnEvent = func(e metatrain.Event) {
		switch e.Kind {
		case metatrain.EventValidation:
			if want := len(episodes) - 1; e.Episode != want {
				t.Errorf("a validation after episode %d, want %d", e.Episode, want)
			}
		case metatrain.EventEpisode:
			want := episodes[e.Episode]
			mean, norm, over := 0.0, 0.0, 0
			for _, f := range want.losses {
				mean += f / float64(len(want.losses))
			}
			for _, n := range want.norms {
				norm += n / float64(len(want.norms))
				if n > cfg.Clip {
					over++
				}
			}
			clipped, free = clipped+over, free+len(want.norms)-over
			if !near(float64(e.MeanLoss), mean, 1e-12) || e.FinalLoss != compare.Number(want.losses[len(want.losses)-1]) || !near(float64(e.GradNorm), norm, 1e-12) || e.Clipped != over {
				t.Errorf("episode %d: %+v, want mean loss %v, norm %v, %d clipped of %v", e.Episode, e, mean, norm, over, want.norms)
			}
		}
	}
	if _, err := mustTrainer(t, cfg).Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	if clipped == 0 || free == 0 || len(episodes) < 7 {
		t.Errorf("%d windows clipped, %d not, in %d episodes: no test", clipped, free, len(episodes))
	}
}

// seeing is an executor that shows its results to a function.
type seeing struct {
	metatrain.Executor
	see func([]metatrain.Unit, []metatrain.Result)
}

func (s seeing) Estimate(ctx context.Context, net *lstm.Network, units []metatrain.Unit) ([]metatrain.Result, error) {
	results, err := s.Executor.Estimate(ctx, net, units)
	if err == nil {
		s.see(units, results)
	}
	return results, err
}

// Among many windows with non-finite values, a diagnosis lists the first five.
func TestADiagnosisListsTheFirstFive(t *testing.T) {
	cfg := small()
	cfg.Valid, cfg.MetaSteps, cfg.ValidEvery, cfg.Batch = family(bowls), 7, 7, 2
	n := 0
	cfg.Family = family(func(rng *rand.Rand) (optimizer.Problem, error) {
		if n++; n%2 == 0 {
			return &cliff{bowl{y: make([]float32, 10)}}, nil
		}
		return bowls(rng)
	})
	cfg.Steps, cfg.Unroll = 5, 5
	var last metatrain.Event
	cfg.OnEvent = func(e metatrain.Event) {
		if e.Kind == metatrain.EventValidation {
			last = e
		}
	}
	if _, err := mustTrainer(t, cfg).Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := last.Diagnostics.Training.NonFinite
	var where []string
	for _, e := range got.First {
		where = append(where, fmt.Sprintf("%d %d %d %s %d", e.MetaStep, e.Instance, e.Step, e.What, e.Coordinate))
	}
	want := []string{"0 1 1 gradient 3", "1 3 1 gradient 3", "2 5 1 gradient 3", "3 7 1 gradient 3", "4 9 1 gradient 3"}
	if got.Count != 7 || got.Of != 14 || !slices.Equal(where, want) {
		t.Errorf("%d of %d, the first %q, want %q", got.Count, got.Of, where, want)
	}
}

// A training ends at its limit of time, the best of a validation that diverged has no loss to tell, and scores of
// horizons are told where there is more than the episodes' own.
func TestEndsAndScores(t *testing.T) {
	cfg := small()
	cfg.MetaSteps, cfg.Time = 0, 1
	tr := mustTrainer(t, cfg)
	if opt, err := tr.Train(t.Context()); err != nil || opt == nil || tr.MetaSteps() != 0 {
		t.Errorf("a nanosecond: %v, %v after %d meta-steps", opt, err, tr.MetaSteps())
	}
	cfg.Time = 20 * time.Millisecond
	tr = mustTrainer(t, cfg)
	if _, err := tr.Train(t.Context()); err != nil || tr.MetaSteps() == 0 || tr.Elapsed() < cfg.Time {
		t.Errorf("%v: %v after %d meta-steps", tr.Elapsed(), err, tr.MetaSteps())
	}
	cfg = small()
	cfg.MetaSteps, cfg.Valid = 1, only(&cliff{bowl{y: make([]float32, 10)}})
	opt, err := mustTrainer(t, cfg).Train(t.Context())
	if err != nil || opt.Provenance.ValidLoss != 0 {
		t.Errorf("%v, validation loss %v", err, opt.Provenance.ValidLoss)
	}
	for _, c := range []struct {
		horizons []int
		want     int
	}{{nil, 0}, {[]int{20}, 0}, {[]int{10}, 1}, {[]int{20, 40}, 2}} {
		cfg := small()
		cfg.MetaSteps, cfg.ValidSteps = 1, c.horizons
		cfg.OnEvent = func(e metatrain.Event) {
			if e.Kind == metatrain.EventValidation && len(e.Horizons) != c.want {
				t.Errorf("validation at %v: %d scores of horizons, want %d", c.horizons, len(e.Horizons), c.want)
			}
			if e.Kind == metatrain.EventValidation && e.MetaStep == 1 {
				if d := e.Diagnostics.Training; d.MetaGradient == nil || d.MetaGradient.Windows != 1 || !d.MetaGradient.MeanNorm.Finite() {
					t.Errorf("a training of one window: %+v", d.MetaGradient)
				}
			}
		}
		if _, err := mustTrainer(t, cfg).Train(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
