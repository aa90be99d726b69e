package metatrain

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"learnedopt/checkpoints"
	"learnedopt/internal/saved"
	"learnedopt/lstm"
)

// Each count that is impossible for a training is refused. Counts at the bounds are accepted.
func TestCountsThatContradictEachOther(t *testing.T) {
	cfg := TrainConfig{Family: dishes{}, MetaSteps: 1, Batch: 2, Horizons: []int{20, 40}}.WithDefaults()
	sound := func() *savedTraining {
		return &savedTraining{
			MetaSteps: 9, Episodes: 4, HasBest: true, BestAt: 5, Validated: 5, Stages: savedStages{First: 2},
			Slots: []savedSlot{{Live: true, Index: 2, Steps: 20}, {}},
		}
	}
	for _, change := range []func(s *savedTraining){
		func(s *savedTraining) {},
		func(s *savedTraining) { s.Validated, s.BestAt, s.HasBest = -1, 0, false },
		func(s *savedTraining) { s.Validated, s.BestAt = 9, 9 },
		func(s *savedTraining) { s.MetaSteps, s.Validated, s.BestAt = 0, 0, 0 },
		func(s *savedTraining) { s.Nanos = 1 },
		func(s *savedTraining) { s.Stages = savedStages{Now: 1, Kept: 1, First: 4, Validations: 1} },
		func(s *savedTraining) { s.Slots[0].Index, s.Slots[0].Steps = 3, 1 },
		func(s *savedTraining) { s.Slots[0].Index = 0 },
		func(s *savedTraining) { s.Slots[1] = savedSlot{Index: -1, Steps: -1, Looks: 1} },
	} {
		s := sound()
		change(s)
		if err := s.check(&cfg); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
	for word, changes := range map[string][]func(s *savedTraining){
		"a negative count": {
			func(s *savedTraining) { s.MetaSteps = -1 }, func(s *savedTraining) { s.Episodes = -1 }, func(s *savedTraining) { s.Skipped = -1 },
			func(s *savedTraining) { s.Rollbacks = -1 }, func(s *savedTraining) { s.BestAt = -1 }, func(s *savedTraining) { s.Stale = -1 },
			func(s *savedTraining) { s.Validated = -2 }, func(s *savedTraining) { s.Stages.Now = -1 }, func(s *savedTraining) { s.Stages.Kept = -1 },
			func(s *savedTraining) { s.Stages.Validations = -1 },
		},
		"contradict": {
			func(s *savedTraining) { s.Nanos = -1 }, func(s *savedTraining) { s.HasBest = false }, func(s *savedTraining) { s.Validated = -1 },
			func(s *savedTraining) { s.Validated = 10 }, func(s *savedTraining) { s.BestAt = 10 }, func(s *savedTraining) { s.Stages.First = 5 },
		},
		"stage":        {func(s *savedTraining) { s.Stages.Now = 2 }, func(s *savedTraining) { s.Stages.Kept = 2 }},
		"side by side": {func(s *savedTraining) { s.Slots = s.Slots[:1] }, func(s *savedTraining) { s.Slots = append(s.Slots, savedSlot{}) }},
		"never began": {
			func(s *savedTraining) { s.Slots[0].Index = -1 }, func(s *savedTraining) { s.Slots[0].Index = 4 }, func(s *savedTraining) { s.Slots[0].Steps = 0 },
			func(s *savedTraining) { s.Slots[0].Looks = -1 }, func(s *savedTraining) { s.Slots[1].Looks = -1 },
		},
	} {
		for i, change := range changes {
			s := sound()
			change(s)
			if err := s.check(&cfg); err == nil || !strings.Contains(err.Error(), word) {
				t.Errorf("%s, %d: error %v", word, i, err)
			}
		}
	}
}

// A file of another kind, of a later form, with an extra array, or with an episode beyond its end is refused. The time of
// training continues from the saved time.
func TestStatesThatAreNotThisOnes(t *testing.T) {
	cfg := TrainConfig{Family: dishes{}, Network: lstm.Config{Hidden: 4, Inputs: lstm.Raw}, Steps: 8, Unroll: 2, MetaSteps: 9, ValidRuns: 1}
	first := begin(t, cfg)
	if _, err := first.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := first.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	first.before = time.Hour
	state, err := first.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	read := func(change func(*checkpoints.File, *savedTraining)) (*Trainer, error) {
		f, err := checkpoints.Read(bytes.NewReader(state))
		if err != nil {
			t.Fatal(err)
		}
		var s savedTraining
		if err := f.DecodeConfig(&s); err != nil {
			t.Fatal(err)
		}
		change(f, &s)
		if err := f.EncodeConfig(s); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := checkpoints.Write(&b, f); err != nil {
			t.Fatal(err)
		}
		tr := begin(t, cfg)
		return tr, tr.UnmarshalBinary(b.Bytes())
	}
	tr, err := read(func(*checkpoints.File, *savedTraining) {})
	if err != nil || tr.Elapsed() < time.Hour || tr.Elapsed() > time.Hour+time.Minute {
		t.Errorf("%v after %v", err, tr.Elapsed())
	}
	extra := checkpoints.Tensor{Name: "more", Shape: []int{1}, Bytes: []byte{1}}
	for word, change := range map[string]func(*checkpoints.File, *savedTraining){
		`a "lstm-optimizer"`: func(f *checkpoints.File, _ *savedTraining) { f.Kind = "lstm-optimizer" },
		"form 2 of a later":  func(_ *checkpoints.File, s *savedTraining) { s.Form = 2 },
		"form -1 of a later": func(_ *checkpoints.File, s *savedTraining) { s.Form = -1 },
		"arrays, of which":   func(f *checkpoints.File, _ *savedTraining) { f.Tensors = append(f.Tensors, extra) },
		"step 2 of 1":        func(_ *checkpoints.File, s *savedTraining) { s.Slots[0].Steps = 1 },
		"of 9, of at most 8": func(_ *checkpoints.File, s *savedTraining) { s.Slots[0].Steps = 9 },
		`has "estimator`:     func(_ *checkpoints.File, s *savedTraining) { s.Settings = strings.ReplaceAll(s.Settings, "Trunc", "") },
		`more"`:              func(_ *checkpoints.File, s *savedTraining) { s.Settings += "\nmore" },
	} {
		if _, err := read(change); !errors.Is(err, ErrTrainingState) || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: error %v", word, err)
		}
	}
}

// An episode's bytes of the wrong length are refused, even if the checksum is right.
func TestEpisodesOfTheWrongLength(t *testing.T) {
	net, err := lstm.Init{}.Random(lstm.Config{Hidden: 4, Inputs: lstm.Raw}, rand.New(rand.NewPCG(1, 2)))
	if err != nil {
		t.Fatal(err)
	}
	p, err := dishes{}.Sample(rand.New(rand.NewPCG(1, 2)))
	if err != nil {
		t.Fatal(err)
	}
	size := NewEpisode(net, p).State.Size()
	form := func(step int64, open, n, grads, values, remembers int) []byte {
		w := saved.NewWriter("episode", episodeForm)
		w.Int(int(step))
		w.Int(open)
		w.Float(1)
		w.Floats32(make([]float32, n))
		w.Floats32(make([]float32, grads))
		w.Int(0)
		w.Floats32(make([]float32, values))
		w.Int(remembers)
		data, err := w.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	read := func(data []byte) error { return NewEpisode(net, p).UnmarshalBinary(data) }
	for _, good := range [][]byte{form(0, 0, 4, 4, size, 0), form(1<<31-1, 1, 4, 4, size, 0)} {
		if err := read(good); err != nil {
			t.Error(err)
		}
	}
	for name, data := range map[string][]byte{
		"step": form(1<<31, 1, 4, 4, size, 0), "open": form(1, 2, 4, 4, size, 0), "no θ": form(1, 1, 0, 4, size, 0), "θ": form(1, 1, 5, 4, size, 0),
		"no gradient": form(1, 1, 4, 0, size, 0), "values": form(1, 1, 4, 4, size-1, 0), "no values": form(1, 1, 4, 4, 0, 0),
		"a memory without an estimator that has one": form(1, 1, 4, 4, size, 1), "memories": form(1, 1, 4, 4, size, 2),
		"one byte more": append(slices.Clone(form(1, 1, 4, 4, size, 0)), 0), "nothing": nil,
	} {
		if read(data) == nil {
			t.Errorf("an episode with another %s is taken", name)
		}
	}
	// For PES: a ξ of the wrong length, another number of pairs, and a side at another step.
	ep := NewEpisode(net, p)
	side := func(step int) *Episode {
		s := ep.fork()
		s.Step = step
		return s
	}
	memory := func(pairs, xi, step int) []byte {
		w := saved.NewWriter("pes", pesForm)
		w.Int(pairs)
		w.Floats64(make([]float64, xi))
		w.State(side(step))
		data, err := w.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	if err := (PES{}).Start(ep).UnmarshalBinary(memory(1, net.Size(), 0)); err != nil {
		t.Error(err)
	}
	for name, data := range map[string][]byte{"pairs": memory(2, net.Size(), 0), "ξ": memory(1, net.Size()-1, 0), "no ξ": memory(1, 0, 0), "step": memory(1, net.Size(), 1)} {
		if (PES{}).Start(ep).UnmarshalBinary(data) == nil {
			t.Errorf("a memory of PES with other %s is taken", name)
		}
	}
}

// PES reuses the memory of a closed episode, if it fits, and resets it.
func TestPESUsesMemoryAgain(t *testing.T) {
	net, err := lstm.Init{}.Random(lstm.Config{Hidden: 4, Inputs: lstm.Raw}, rand.New(rand.NewPCG(1, 2)))
	if err != nil {
		t.Fatal(err)
	}
	other, err := lstm.Init{}.Random(lstm.Config{Hidden: 3, Inputs: lstm.Raw}, rand.New(rand.NewPCG(1, 2)))
	if err != nil {
		t.Fatal(err)
	}
	work := &Workspace{}
	episode := func(net *lstm.Network) *Episode {
		p, err := dishes{}.Sample(rand.New(rand.NewPCG(1, 2)))
		if err != nil {
			t.Fatal(err)
		}
		ep := NewEpisode(net, p)
		ep.Workspace = work
		return ep
	}
	window := func(pes PES, ep *Episode) (*pesMemory, []float64) {
		d := make([]float64, ep.State.Network().Size())
		for range 2 {
			if w, err := pes.Estimate(t.Context(), d, ep, 2); err != nil || w.Diverged != nil {
				t.Fatal(err, w.Diverged)
			}
		}
		return ep.Memory.(*pesMemory), d
	}
	ep := episode(net)
	first, want := window(PES{Pairs: 2}, ep)
	if err := ep.Close(); err != nil || ep.Memory != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		pes   PES
		net   *lstm.Network
		again bool
	}{{PES{Pairs: 3}, net, false}, {PES{Pairs: 2}, other, false}, {PES{Pairs: 2}, net, true}, {PES{Pairs: 2}, net, false}} {
		ep := episode(c.net)
		memory, got := window(c.pes, ep) // the episode is not closed, so its memory must not be reused
		if (memory == first) != c.again {
			t.Errorf("%d pairs: memory used again %v", c.pes.Pairs, !c.again)
		}
		if c.pes.Pairs == 2 && c.net == net && !slices.Equal(got, want) {
			t.Errorf("memory used again %v: %v, want %v", c.again, got[:3], want[:3])
		}
	}
}
