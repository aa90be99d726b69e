package metatrain_test

import (
	"bytes"
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"learnedopt/baselines"
	"learnedopt/checkpoints"
	"learnedopt/compare"
	"learnedopt/lstm"
	"learnedopt/metatrain"
	"learnedopt/optimizer"
)

// stateOf returns the state of a training after some meta-steps.
func stateOf(t testing.TB, cfg metatrain.TrainConfig, metaSteps int) []byte {
	t.Helper()
	tr, err := metatrain.NewTrainer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	if _, err := tr.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range metaSteps {
		if err := tr.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	data, err := tr.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A state belongs to one configuration. A trainer with another configuration refuses it, and the error says what differs.
func TestAStateOfAnotherTrainingIsRefused(t *testing.T) {
	cfg := resumable(t)["pes, relative"]
	state := stateOf(t, cfg, 3)
	for word, change := range map[string]func(*metatrain.TrainConfig){
		"seed 4":        func(c *metatrain.TrainConfig) { c.Seed = 4 },
		"Hidden 5":      func(c *metatrain.TrainConfig) { c.Network.Hidden = 5 },
		"40 steps":      func(c *metatrain.TrainConfig) { c.Steps = 40 },
		"unroll 10":     func(c *metatrain.TrainConfig) { c.Unroll = 10 },
		"random true":   func(c *metatrain.TrainConfig) { c.RandomSteps = true },
		"[10 20]":       func(c *metatrain.TrainConfig) { c.Horizons = []int{10, 20} },
		"patience 2":    func(c *metatrain.TrainConfig) { c.StagePatience = 2 },
		"rate 0.5":      func(c *metatrain.TrainConfig) { c.MetaLearningRate = 0.5 },
		"warm-up 5":     func(c *metatrain.TrainConfig) { c.WarmUp = 5 },
		"fraction 0.25": func(c *metatrain.TrainConfig) { c.FinalFraction = 0.25 },
		"by 17":         func(c *metatrain.TrainConfig) { c.DecaySteps = 17 },
		"clip 0.5":      func(c *metatrain.TrainConfig) { c.Clip = 0.5 },
		"batch 2":       func(c *metatrain.TrainConfig) { c.Batch = 2 },
		"every 6":       func(c *metatrain.TrainConfig) { c.ValidEvery = 6 },
		"3 runs":        func(c *metatrain.TrainConfig) { c.ValidRuns = 3 },
		"[10 30]":       func(c *metatrain.TrainConfig) { c.ValidSteps = []int{10, 30} },
		"geometric":     func(c *metatrain.TrainConfig) { c.Selection = compare.SelectGeometric },
		"metatrain.ES":  func(c *metatrain.TrainConfig) { c.Estimator = &metatrain.ES{} },
		"Pairs 3": func(c *metatrain.TrainConfig) {
			c.Estimator = &metatrain.PES{Pairs: 3, Objective: metatrain.Relative{}}
		},
		"baselines.SGD": func(c *metatrain.TrainConfig) {
			c.Estimator = &metatrain.PES{Objective: metatrain.Relative{Rule: baselines.SGD{LearningRate: 0.001}}}
		},
		"family: test":     func(c *metatrain.TrainConfig) { c.Valid, c.Family = c.Family, family(bowls) },
		"validation: test": func(c *metatrain.TrainConfig) { c.Valid = family(bowls) },
	} {
		other := cfg
		change(&other)
		tr, err := metatrain.NewTrainer(other)
		if err != nil {
			t.Fatal(err)
		}
		if err := tr.UnmarshalBinary(state); !errors.Is(err, metatrain.ErrTrainingState) || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: error %v", word, err)
		}
	}
	// Limits may differ.
	cfg.MetaSteps, cfg.Patience, cfg.SkipLimit, cfg.OnNonFinite = 1000, 7, 3, metatrain.StopNonFinite
	tr, err := metatrain.NewTrainer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.UnmarshalBinary(state); err != nil || tr.MetaSteps() != 3 {
		t.Errorf("%v at meta-step %d", err, tr.MetaSteps())
	}
}

// Reading any file gives either an error or a valid state, and needs no more memory than the size of the file.
func TestHostileStates(t *testing.T) {
	states := map[string][]byte{} // by the name of the training, or of the file of the first form
	for _, name := range []string{"pes, ramp, batch, random lengths", "imitation of momentum or pes", "rollback"} {
		states[name] = stateOf(t, resumable(t)[name], 3)
	}
	for _, file := range []string{"pes-ramp-batch", "imitation-pes", "rollback"} {
		var err error
		if states["first/"+file], err = os.ReadFile("testdata/first/" + file + ".state"); err != nil {
			t.Fatal(err)
		}
	}
	for name, good := range states {
		training := name
		if file, first := strings.CutPrefix(name, "first/"); first {
			training = firstStates[file]
		}
		cfg := resumable(t)[training]
		read := func(data []byte) error {
			tr, err := metatrain.NewTrainer(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer tr.Close()
			if err := tr.UnmarshalBinary(data); err != nil {
				if !errors.Is(err, metatrain.ErrTrainingState) {
					t.Errorf("an error of another kind: %v", err)
				}
				return err
			}
			// A state that can be read can also be resumed.
			tr.Step(t.Context())
			return nil
		}
		if err := read(good); err != nil {
			t.Fatal(err)
		}
		for n := 0; n < len(good); n += 1 + len(good)/50 {
			if read(good[:n]) == nil {
				t.Errorf("%s: the first %d of %d bytes were taken for a state", name, n, len(good))
			}
		}
		f, err := checkpoints.Read(bytes.NewReader(good))
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(1, 2))
		for i, tensor := range f.Tensors {
			for what, data := range map[string][]byte{
				"cut short": tensor.Bytes[:len(tensor.Bytes)-1], "longer": append(slices.Clone(tensor.Bytes), 0),
				"of one byte": {1}, "missing": nil, "half": tensor.Bytes[:len(tensor.Bytes)/2], "a third": tensor.Bytes[:len(tensor.Bytes)/3],
			} {
				if len(data) == len(tensor.Bytes) {
					continue
				}
				err := read(reframed(t, f, i, data))
				if err == nil {
					t.Errorf("%s: %s %s was taken for a state", name, tensor.Name, what)
				}
			}
			for range 20 {
				data := slices.Clone(tensor.Bytes)
				data[rng.IntN(min(len(data), 64))] ^= 1 << rng.IntN(8)
				_ = read(reframed(t, f, i, data)) // no panic
			}
		}
	}
}

// reframed is f with the data of one tensor replaced.
func reframed(t testing.TB, f *checkpoints.File, i int, data []byte) []byte {
	t.Helper()
	g := *f
	g.Tensors = slices.Clone(f.Tensors)
	g.Tensors[i].Bytes, g.Tensors[i].Shape = data, []int{len(data)}
	if data == nil {
		g.Tensors = slices.Delete(g.Tensors, i, i+1)
	}
	var b bytes.Buffer
	if err := checkpoints.Write(&b, &g); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// FuzzTraining expects an error or a training that can be resumed, whatever a state's settings and one of its arrays hold.
func FuzzTraining(f *testing.F) {
	all := resumable(f)
	names := slices.Sorted(maps.Keys(all))
	var cfgs []metatrain.TrainConfig
	var states []*checkpoints.File
	var data [][]byte
	for _, name := range names {
		cfgs, data = append(cfgs, all[name]), append(data, stateOf(f, all[name], 3))
	}
	for _, file := range slices.Sorted(maps.Keys(firstStates)) {
		state, err := os.ReadFile("testdata/first/" + file + ".state")
		if err != nil {
			f.Fatal(err)
		}
		cfgs, data = append(cfgs, all[firstStates[file]]), append(data, state)
	}
	for i := range cfgs {
		good, err := checkpoints.Read(bytes.NewReader(data[i]))
		if err != nil {
			f.Fatal(err)
		}
		states = append(states, good)
		for k := range good.Tensors {
			if len(good.Tensors[k].Bytes) < 1<<12 {
				f.Add(uint8(i), good.Config, uint8(k), good.Tensors[k].Bytes)
			}
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, config []byte, tensor uint8, data []byte) {
		i := int(which) % len(cfgs)
		state := *states[i]
		state.Config = config
		var b bytes.Buffer
		if checkpoints.Write(&b, &state) != nil {
			return
		}
		tr, err := metatrain.NewTrainer(cfgs[i])
		if err != nil {
			t.Fatal(err)
		}
		defer tr.Close()
		if err := tr.UnmarshalBinary(reframed(t, &state, int(tensor)%len(state.Tensors), data)); err != nil {
			if !errors.Is(err, metatrain.ErrTrainingState) {
				t.Errorf("an error of another kind: %v", err)
			}
			return
		}
		_ = tr.Step(t.Context()) // resuming must not panic
		if _, err := tr.MarshalBinary(); err != nil {
			t.Error(err)
		}
	})
}

// A stage that the curriculum does not have is an error, not an index out of range later.
func TestAStageThatThereIsNotIsRefused(t *testing.T) {
	cfg := resumable(t)["curriculum, geometric"]
	f, err := checkpoints.Read(bytes.NewReader(stateOf(t, cfg, 3)))
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"Now", "Kept"} {
		for stage, fine := range map[byte]bool{0: true, 2: true, 3: false} {
			g := *f
			g.Config = bytes.Replace(f.Config, []byte(field+"\x00"), append([]byte(field), stage), 1)
			var b bytes.Buffer
			if err := checkpoints.Write(&b, &g); err != nil {
				t.Fatal(err)
			}
			tr, err := metatrain.NewTrainer(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if err := tr.UnmarshalBinary(b.Bytes()); (err == nil) != fine || !fine && !strings.Contains(err.Error(), "of 3") {
				t.Errorf("%s %d: error %v", field, stage, err)
			}
			tr.Close()
		}
	}
}

// hidden is a rule whose state cannot be saved.
type hidden struct{ baselines.SGD }

func (hidden) Needs() optimizer.Needs { return optimizer.Needs{} }
func (h hidden) Start(layout optimizer.Layout) optimizer.State {
	return hiddenState{h.SGD.Start(optimizer.Flat(layout.Len()))}
}

type hiddenState struct{ optimizer.State }

func TestWhatCannotBeSavedSaysSo(t *testing.T) {
	for word, e := range map[string]metatrain.Estimator{
		"metatrain_test.hiddenState": &metatrain.Imitation{Teacher: hidden{baselines.SGD{LearningRate: 0.1}}, Probability: 1},
	} {
		cfg := resumable(t)["backprop"]
		cfg.Estimator = e
		tr, err := metatrain.NewTrainer(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := tr.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := tr.MarshalBinary(); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: error %v", word, err)
		}
		tr.Close()
	}
}

// After the first non-finite window, each policy does what its name says.
func TestPoliciesOfWhatIsNotFinite(t *testing.T) {
	cfg := resumable(t)["skip"]
	cfg.Batch = 1
	for _, policy := range metatrain.NonFinitePolicies() {
		cfg.OnNonFinite = policy
		var event *metatrain.Event
		atSafe := map[string][]float32{} // arrays of the last validation
		var tr *metatrain.Trainer
		cfg.OnEvent = func(e metatrain.Event) {
			switch {
			case e.Kind == metatrain.EventValidation:
				atSafe["phi"] = tr.Network().Params()
			case e.Kind == metatrain.EventDiverged && event == nil:
				event = &e
			}
		}
		// Validation must not diverge, else there is no safe point.
		cfg.Valid = named{"sound", func(rng *rand.Rand) (optimizer.Problem, error) { return &quartic{seed: rng.Uint64(), n: 5}, nil }}
		tr, err := metatrain.NewTrainer(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tr.Validate(t.Context()); err != nil {
			t.Fatal(err)
		}
		var before []float32
		for event == nil {
			before = tr.Network().Params()
			if err = tr.Step(t.Context()); err != nil {
				break
			}
		}
		after := tr.Network().Params()
		if d := event.Diverged; d == nil || d.Step != 12 || d.What != "loss" || event.Policy != policy ||
			*event.Instance != (metatrain.InstanceStream{Seed: 3, Purpose: "train", Index: event.Episode}) {
			t.Errorf("%s: event %+v", policy, event)
		}
		moved := !slices.Equal(before, atSafe["phi"])
		if !moved {
			t.Fatal("nothing was trained before: no test")
		}
		var diverged *metatrain.MetaDivergedError
		switch policy {
		case metatrain.SkipNonFinite:
			if err != nil || !slices.Equal(before, after) {
				t.Errorf("skip: error %v", err)
			}
		case metatrain.StopNonFinite:
			if !errors.As(err, &diverged) || diverged.Skipped != 1 || !strings.Contains(err.Error(), "step 12") {
				t.Errorf("stop: error %v", err)
			}
		case metatrain.RollbackNonFinite:
			if err != nil || !slices.Equal(after, atSafe["phi"]) {
				t.Errorf("rollback: error %v, or φ is not that of the last validation", err)
			}
		}
		tr.Close()
	}
	cfg.OnNonFinite = "hope"
	if _, err := metatrain.NewTrainer(cfg); err == nil || !strings.Contains(err.Error(), "rollback") {
		t.Errorf("a policy that there is not: %v", err)
	}
}

// Repeated rollbacks to the same point end the training, even with finite windows in between.
func TestRollbacksHaveALimit(t *testing.T) {
	rolls := 0
	_, err := metatrain.NewTrainer(metatrain.TrainConfig{})
	if err == nil {
		t.Fatal("no family")
	}
	tr, err := metatrain.NewTrainer(metatrain.TrainConfig{
		Family: family(func(rng *rand.Rand) (optimizer.Problem, error) {
			return &faulty{quartic{seed: rng.Uint64(), n: 5}, true}, nil
		}),
		Network: lstm.Config{Hidden: 4}, Steps: 20, Unroll: 5, MetaSteps: 1 << 30, ValidEvery: 1 << 30, SkipLimit: 6,
		OnNonFinite: metatrain.RollbackNonFinite,
		OnEvent: func(e metatrain.Event) {
			if e.Kind == metatrain.EventDiverged {
				rolls++
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	opt, err := tr.Train(t.Context())
	var diverged *metatrain.MetaDivergedError
	if !errors.As(err, &diverged) || rolls != 6 || opt == nil || tr.MetaSteps() < 6 {
		t.Errorf("%v after %d rollbacks at meta-step %d", err, rolls, tr.MetaSteps())
	}
	if math.IsNaN(float64(opt.Network.Params()[0])) {
		t.Error("the best is not finite")
	}
}
