package metatrain_test

import (
	"bytes"
	"context"
	"encoding"
	"encoding/gob"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"learnedopt/baselines"
	"learnedopt/lstm"
	"learnedopt/metatrain"
	"learnedopt/optimizer"
	"learnedopt/rules"
)

// sentUnit and sentResult are the forms in which units and results are sent as bytes.
type sentUnit struct {
	MetaStep, Slot, Episode, Length, Step, Window int
	State                                         []byte
	Seen                                          *metatrain.Seen
}

type sentResult struct {
	Gradient []float64
	Window   metatrain.Window
	State    []byte
	Seen     *metatrain.Seen
}

func send(t *testing.T, value any) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(value); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func receive(t *testing.T, data []byte, value any) {
	t.Helper()
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(value); err != nil {
		t.Fatal(err)
	}
}

func stateBytes(t *testing.T, state encoding.BinaryMarshaler) []byte {
	t.Helper()
	if state == nil {
		return nil
	}
	data, err := state.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func sendUnit(t *testing.T, u metatrain.Unit) []byte {
	return send(t, sentUnit{u.MetaStep, u.Slot, u.Episode, u.Length, u.Step, u.Window, stateBytes(t, u.State), u.Seen})
}

func receiveUnit(t *testing.T, data []byte) metatrain.Unit {
	var s sentUnit
	receive(t, data, &s)
	u := metatrain.Unit{MetaStep: s.MetaStep, Slot: s.Slot, Episode: s.Episode, Length: s.Length, Step: s.Step, Window: s.Window, Seen: s.Seen}
	if s.State != nil {
		u.State = snapshot(s.State)
	}
	return u
}

func sendResult(t *testing.T, r metatrain.Result) []byte {
	return send(t, sentResult{r.Gradient, r.Window, stateBytes(t, r.State), r.Seen})
}

func receiveResult(t *testing.T, data []byte) metatrain.Result {
	var s sentResult
	receive(t, data, &s)
	return metatrain.Result{Gradient: s.Gradient, Window: s.Window, State: snapshot(s.State), Seen: s.Seen}
}

// snapshot is an episode's state as bytes.
type snapshot []byte

func (s snapshot) MarshalBinary() ([]byte, error) { return s, nil }

// remote is an executor whose workers get only bytes and the configuration, which each worker builds for itself. Units
// are computed in a random order. Every third unit is computed a second time, which must give the same bytes.
type remote struct {
	t      *testing.T
	config func() metatrain.TrainConfig
	rng    *rand.Rand
	units  int
}

func (r *remote) Estimate(ctx context.Context, net *lstm.Network, units []metatrain.Unit) ([]metatrain.Result, error) {
	results, answers := make([]metatrain.Result, len(units)), make([][]byte, len(units))
	order := r.rng.Perm(len(units))
	if r.units%3 == 0 {
		order = append(order, r.rng.Perm(len(units))...)
	}
	r.units++
	for _, i := range order {
		answer, err := r.worker(ctx, net.Params(), sendUnit(r.t, units[i]))
		if err != nil {
			return nil, err
		}
		if answers[i] != nil && !bytes.Equal(answers[i], answer) {
			r.t.Errorf("unit %d, slot %d: another answer the second time", units[i].MetaStep, i)
		}
		answers[i], results[i] = answer, receiveResult(r.t, answer)
	}
	for _, u := range units {
		if ep, ok := u.State.(*metatrain.Episode); ok { // an episode that a resume restored in this process
			if err := ep.Close(); err != nil {
				return nil, err
			}
		}
	}
	return results, nil
}

func (r *remote) worker(ctx context.Context, phi []float32, unit []byte) ([]byte, error) {
	cfg := r.config()
	net, err := lstm.NewNetwork(cfg.Network, phi)
	if err != nil {
		return nil, err
	}
	x, err := metatrain.NewInProcess(cfg)
	if err != nil {
		return nil, err
	}
	results, err := x.Estimate(ctx, net, []metatrain.Unit{receiveUnit(r.t, unit)})
	if err != nil {
		return nil, err
	}
	answer := sendResult(r.t, results[0])
	return answer, results[0].State.(*metatrain.Episode).Close()
}

// distributed are the trainings of resumable, and others that test what a unit's state must hold.
func distributed(t testing.TB) map[string]metatrain.TrainConfig {
	all := resumable(t)
	with := func(name string, change func(*metatrain.TrainConfig)) {
		cfg := all["backprop"]
		change(&cfg)
		all[name] = cfg
	}
	with("log of losses, batch", func(c *metatrain.TrainConfig) {
		c.Batch, c.Estimator = 2, metatrain.TruncatedBackprop{Objective: metatrain.Log{}}
	})
	with("ramp, second derivatives", func(c *metatrain.TrainConfig) {
		c.Estimator = metatrain.TruncatedBackprop{Objective: metatrain.Ramp{}, SecondDerivatives: true}
	})
	with("es, relative to a rule that asks for parameters", func(c *metatrain.TrainConfig) {
		c.Estimator = metatrain.ES{Objective: metatrain.Relative{Rule: rules.WeightDecay{Rule: baselines.Adam{LearningRate: 0.01}, Decay: 0.01}}}
	})
	with("imitation only, of a rule that asks for parameters", func(c *metatrain.TrainConfig) {
		c.Batch = 2
		c.Estimator = metatrain.Imitation{Teacher: rules.WeightDecay{Rule: baselines.Adam{LearningRate: 0.01}, Decay: 0.01}, Probability: 1}
	})
	with("pes, last", func(c *metatrain.TrainConfig) { c.Estimator = metatrain.PES{Objective: metatrain.Last{}} })
	return all
}

// In a remote training, units and results travel as bytes to workers that know only the configuration; they come late,
// out of order, and some twice. It must equal the training in this process: the same φ, the same best, the same events.
func TestUnitsRunAnywhere(t *testing.T) {
	for name, cfg := range distributed(t) {
		t.Run(name, func(t *testing.T) {
			away := &remote{t: t, config: func() metatrain.TrainConfig { return distributed(t)[name] }, rng: newRand(1)}
			inProcess, err := metatrain.NewInProcess(cfg)
			if err != nil {
				t.Fatal(err)
			}
			results := []*kept{{Executor: inProcess}, {Executor: away}}
			cfg.Executor = results[0]
			here := record(t, t.Context(), cfg, nil, nil)
			cfg.Executor = results[1]
			there := record(t, t.Context(), cfg, nil, nil)
			if here.err != nil || there.err != nil {
				t.Fatal(here.err, there.err)
			}
			if away.units < cfg.MetaSteps && cfg.Patience == 0 {
				t.Fatalf("%d calls of the executor for %d meta-steps", away.units, cfg.MetaSteps)
			}
			sameTraining(t, here, there)
			if !slices.Equal(results[0].numbers, results[1].numbers) {
				t.Error("losses or meta-gradients differ")
			}
		})
	}
}

// kept is an executor that records the bits of all losses and meta-gradients in its results.
type kept struct {
	metatrain.Executor
	numbers []uint64
}

func (k *kept) Estimate(ctx context.Context, net *lstm.Network, units []metatrain.Unit) ([]metatrain.Result, error) {
	results, err := k.Executor.Estimate(ctx, net, units)
	for _, r := range results {
		for _, x := range append(slices.Clone(r.Window.Losses), r.Gradient...) {
			k.numbers = append(k.numbers, math.Float64bits(x))
		}
	}
	return results, err
}

func sameTraining(t *testing.T, want, got recorded) {
	t.Helper()
	if !slices.Equal(bits(want.trainer.Network().Params()), bits(got.trainer.Network().Params())) {
		t.Error("φ differs")
	}
	if !slices.Equal(bits(want.best.Network.Params()), bits(got.best.Network.Params())) || want.best.Provenance != got.best.Provenance {
		t.Errorf("the best differs: %+v, want %+v", got.best.Provenance, want.best.Provenance)
	}
	if !slices.Equal(want.events, got.events) {
		t.Errorf("events differ:\n%s\nwant\n%s", strings.Join(got.events, "\n"), strings.Join(want.events, "\n"))
	}
}

// An interrupted training continues with another executor. The bytes of an episode's state are the same whether the
// episode was in this process or came as bytes.
func TestResumeWithAnotherExecutor(t *testing.T) {
	broken := errors.New("broken off")
	for _, name := range []string{"pes, ramp, batch, random lengths", "imitation of momentum or pes", "relative, batch", "rollback"} {
		cfg := distributed(t)[name]
		whole := record(t, t.Context(), cfg, nil, nil)
		away := &remote{t: t, config: func() metatrain.TrainConfig { return distributed(t)[name] }, rng: newRand(1)}
		for _, order := range [][2]metatrain.Executor{{away, nil}, {nil, away}} {
			var state []byte
			cfg.Executor = order[0]
			first := record(t, t.Context(), cfg, nil, func(tr *metatrain.Trainer, _ int) (err error) {
				if tr.MetaSteps() < 11 {
					return nil
				}
				if state, err = tr.MarshalBinary(); err != nil {
					return err
				}
				return broken
			})
			if !errors.Is(first.err, broken) {
				t.Fatal(first.err)
			}
			cfg.Executor = order[1]
			second := record(t, t.Context(), cfg, state, nil)
			if second.err != nil {
				t.Fatal(second.err)
			}
			second.events = append(first.events, second.events...)
			sameTraining(t, whole, second)
		}
	}
}

// InProcess closes every episode that it opened and cannot return. Episodes that the caller passed in stay the caller's.
func TestInProcessClosesWhatNobodyElseKnowsOf(t *testing.T) {
	open, failing := 0, -1
	cfg := small()
	cfg.Batch = 3
	cfg.Family = family(func(rng *rand.Rand) (optimizer.Problem, error) {
		open++
		if open-1 == failing {
			open--
			return nil, errors.New("no more problems")
		}
		return &closing{bowl{y: make([]float32, 10)}, &open}, nil
	})
	trainer, err := metatrain.NewTrainer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	net := trainer.Network()
	x, err := metatrain.NewInProcess(cfg)
	if err != nil {
		t.Fatal(err)
	}
	unit := func(e, step int, state encoding.BinaryMarshaler) metatrain.Unit {
		return metatrain.Unit{Episode: e, Slot: e, Length: 20, Step: step, Window: 5, State: state}
	}
	// begun is an episode after its first window.
	begun := func() *metatrain.Episode {
		failing = -1
		results, err := x.Estimate(t.Context(), net, []metatrain.Unit{unit(0, 0, nil)})
		if err != nil || open != 1 {
			t.Fatal(err, open)
		}
		return results[0].State.(*metatrain.Episode)
	}
	known := begun()
	data := stateBytes(t, known)
	if err := known.Close(); err != nil || open != 0 {
		t.Fatal(err, open)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for word, c := range map[string]struct {
		ctx     context.Context
		unit    metatrain.Unit
		failing int
	}{
		"no more problems":                  {t.Context(), unit(2, 0, nil), 2},
		"episode 2, which stands at step 0": {t.Context(), unit(2, 5, nil), -1},
		"episode 2, which stands at step 5": {t.Context(), unit(2, 10, snapshot(data)), -1},
		"state of episode 2":                {t.Context(), unit(2, 5, snapshot(data[:100])), -1},
		"of 0 steps":                        {t.Context(), metatrain.Unit{Episode: 2, Length: 20}, -1},
		"of 25 steps":                       {t.Context(), metatrain.Unit{Episode: 2, Length: 20, Window: 25}, -1},
		"of 5 steps from step 5 of 9":       {t.Context(), metatrain.Unit{Episode: 2, Length: 9, Step: 5, Window: 5, State: snapshot(data)}, -1},
		"20 steps at most":                  {t.Context(), metatrain.Unit{Episode: 2, Length: 25, Window: 5}, -1},
		"canceled":                          {cancelled, unit(2, 0, nil), -1},
		"episode 2: encoding: the state is not to be had": {t.Context(), unit(2, 5, lost{}), -1},
	} {
		known := begun()
		failing = c.failing
		results, err := x.Estimate(c.ctx, net, []metatrain.Unit{unit(0, 5, known), unit(1, 0, nil), c.unit})
		if err == nil || !strings.Contains(err.Error(), word) || results != nil {
			t.Errorf("%s: error %v", word, err)
		}
		if open != 1 {
			t.Fatalf("%s: %d problems are open", word, open)
		}
		if err := known.Close(); err != nil || open != 0 {
			t.Fatal(err, open)
		}
	}
	// After these errors the executor still works, and it closes a state that it replaces.
	handle := &held{snapshot: data}
	failing = -1
	results, err := x.Estimate(t.Context(), net, []metatrain.Unit{unit(0, 5, handle), unit(1, 0, nil)})
	if err != nil || open != 2 || !handle.closed {
		t.Fatal(err, open, handle.closed)
	}
	for _, r := range results {
		if err := r.State.(*metatrain.Episode).Close(); err != nil {
			t.Fatal(err)
		}
	}
	if open != 0 {
		t.Errorf("%d problems are open", open)
	}
}

// lost is a state whose MarshalBinary fails.
type lost struct{}

func (lost) MarshalBinary() ([]byte, error) {
	return nil, errors.New("encoding: the state is not to be had")
}

// held is a state with resources. It records whether it was closed.
type held struct {
	snapshot
	closed bool
}

func (h *held) Close() error { h.closed = true; return nil }

// short is an executor that returns wrong results.
type short struct {
	metatrain.Executor
	change func([]metatrain.Result) []metatrain.Result
}

func (s short) Estimate(ctx context.Context, net *lstm.Network, units []metatrain.Unit) ([]metatrain.Result, error) {
	results, err := s.Executor.Estimate(ctx, net, units)
	return s.change(results), err
}

// The trainer checks an executor's results, and closes every state after a wrong one.
func TestResultsOfExecutorsAreChecked(t *testing.T) {
	for word, change := range map[string]func([]metatrain.Result) []metatrain.Result{
		"1 results for 2 units": func(r []metatrain.Result) []metatrain.Result { r[1].State.(*metatrain.Episode).Close(); return r[:1] },
		"of 3 components":       func(r []metatrain.Result) []metatrain.Result { r[0].Gradient = r[0].Gradient[:3]; return r },
		"and 4 losses":          func(r []metatrain.Result) []metatrain.Result { r[1].Window.Losses = r[1].Window.Losses[:4]; return r },
	} {
		open := 0
		cfg := small()
		cfg.Batch = 2
		cfg.Family = family(func(rng *rand.Rand) (optimizer.Problem, error) {
			open++
			return &closing{bowl{y: make([]float32, 10)}, &open}, nil
		})
		x, err := metatrain.NewInProcess(cfg)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Executor = short{x, change}
		tr, err := metatrain.NewTrainer(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := tr.Step(t.Context()); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: error %v", word, err)
		}
		if _, err := tr.MarshalBinary(); word == "1 results for 2 units" && (err == nil || !strings.Contains(err.Error(), "after an error")) {
			t.Errorf("%s: then saved: %v", word, err)
		}
		tr.Close()
		if want := 0; word != "1 results for 2 units" && open != want {
			t.Errorf("%s: %d problems are open", word, open)
		}
	}
}
