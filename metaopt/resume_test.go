package metaopt_test

import (
	"bytes"
	"encoding"
	"errors"
	"hash/crc32"
	"slices"
	"testing"

	"learnedopt/baselines"
	"learnedopt/lstm"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
	"learnedopt/rules"
)

// TestResume saves runs of all kinds at several steps. It compares a fresh run that continues from the save with
// the uninterrupted run, bit for bit: parameters, steps, handover, and the binary form at the end.
func TestResume(t *testing.T) {
	const n, steps = 37, 24
	handovers, before, after := 0, 0, 0
	for name, rule := range someRules(t) {
		for k, w := range ways(n) {
			whole := w.start(startRun(rule, n))
			whole.steps(t, steps)
			final := save(t, whole.run)
			h, handed := whole.run.HandedOver()
			for _, at := range []int{0, 1, 7, 10, 18} {
				first := w.start(startRun(rule, n))
				first.steps(t, at)
				data := save(t, first.run)
				// Another run, which has taken other steps, with the parameters of the first.
				run := startRun(rule, n)
				ways(n)[k].start(run).steps(t, 3)
				given := slices.Clone(data)
				if err := run.UnmarshalBinary(given); err != nil {
					t.Fatalf("%s, %s, step %d: %v", name, w.name, at, err)
				}
				clear(given)
				if run.Steps() != at || !bytes.Equal(save(t, run), data) {
					t.Fatalf("%s, %s, step %d: the resumed run is at step %d, or saves otherwise", name, w.name, at, run.Steps())
				}
				*first.run = *run
				first.steps(t, steps-at)
				g, ok := first.run.HandedOver()
				if !slices.Equal(first.theta(), whole.theta()) || !bytes.Equal(save(t, first.run), final) || ok != handed || g != h {
					t.Errorf("%s, %s: resumed after step %d the run ends elsewhere", name, w.name, at)
				}
				if handed && h.Step >= at {
					before++
				} else if handed {
					after++
				}
			}
			if handed {
				handovers++
			}
		}
	}
	if handovers == 0 || before == 0 || after == 0 {
		t.Errorf("%d runs were handed over, %d saves were before and %d after it: the test tests too little", handovers, before, after)
	}
}

func save(t *testing.T, m encoding.BinaryMarshaler) []byte {
	t.Helper()
	data, err := m.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// States without a Run can be saved and resumed too, in a caller's loop that makes their moves.
func TestResumeOfGuardedStates(t *testing.T) {
	const n = 5
	guard := eager(wild(t).Network)
	for name, rule := range map[string]optimizer.Rule{
		"guard":      guard,
		"wrapped":    rules.Scaled{Rule: guard, By: rules.StepDecay{Factor: 0.9}},
		"warm start": rules.WarmStart{Steps: 3, First: guard, Then: eager(wild(t).Network)},
	} {
		step := func(m *moving, theta []float32, steps int) {
			grad := make([]float32, n)
			for range steps {
				loss := hillside(grad, theta)
				if d := m.step(theta, grad, loss); d != nil {
					t.Fatal(name, d)
				}
			}
		}
		for at := range 12 {
			whole, first, again := start(rule, n), start(rule, n), start(rule, n)
			theta, other := make([]float32, n), make([]float32, n)
			step(whole, theta, 20)
			step(first, other, at)
			if err := again.state.(encoding.BinaryUnmarshaler).UnmarshalBinary(save(t, first.state.(encoding.BinaryMarshaler))); err != nil {
				t.Fatal(name, err)
			}
			again.kept = first.kept
			step(again, other, 20-at)
			if !slices.Equal(theta, other) {
				t.Errorf("%s: resumed after step %d the run ends at %v, want %v", name, at, other, theta)
			}
		}
	}
}

// TestResumeRefuses expects a typed error and an unchanged run, for data of another run and for damaged data.
func TestResumeRefuses(t *testing.T) {
	const n = 3
	adam := baselines.Adam{LearningRate: 0.1}
	opt := someOptimizer(t, lstm.Config{Hidden: 2, Layers: 1})
	phi := opt.Network.Params()
	phi[0]++
	wrapped := rules.Scaled{Rule: eager(opt.Rule()), By: rules.Constant(0.5)}
	walkOf := func(rule optimizer.Rule, n int) *walk {
		w := ways(n)[3].start(startRun(rule, n))
		w.steps(t, 5)
		return w
	}
	for name, rule := range map[string]optimizer.Rule{"learned": opt.Rule(), "adam": adam, "wrapped": wrapped} {
		w := walkOf(rule, n)
		data := save(t, w.run)
		refused := map[string][]byte{
			"another number of coordinates": save(t, walkOf(rule, n+1).run),
			"another network":               save(t, walkOf(opt.Network.With(phi), n).run),
			"another rule":                  save(t, walkOf(baselines.RMSProp{LearningRate: 0.01, Alpha: 0.99}, n).run),
			"another wrapper":               save(t, walkOf(rules.Scaled{Rule: rule}, n+2).run),
			"nothing":                       nil,
			"a byte more":                   append(slices.Clone(data), 0),
			"a network's state":             save(t, opt.Network.NewState(n)),
		}
		for k := range data {
			damaged := slices.Clone(data)
			damaged[k] ^= 1 << (k % 8)
			refused["a bit of byte "+string(rune('0'+k%10))] = damaged
			for what, bad := range map[string][]byte{"a flipped bit": damaged, "cut short": data[:k]} {
				if err := w.run.UnmarshalBinary(bad); !errors.Is(err, metaopt.ErrState) {
					t.Fatalf("%s: %s at byte %d: %v", name, what, k, err)
				}
			}
		}
		for what, bad := range refused {
			if err := w.run.UnmarshalBinary(bad); !errors.Is(err, metaopt.ErrState) {
				t.Errorf("%s: %s: error %v", name, what, err)
			}
		}
		if !bytes.Equal(save(t, w.run), data) {
			t.Errorf("%s: the run is another one after refusals", name)
		}
	}
	// If ResumeChanged refuses a run too, the error shows the state's own reason.
	other := startRun(someOptimizer(t, lstm.Config{Hidden: 3, Layers: 1}).Network, n)
	if err := other.ResumeChanged(save(t, walkOf(opt.Rule(), n).run)); !errors.Is(err, metaopt.ErrState) || !errors.Is(err, lstm.ErrState) || errors.Is(err, metaopt.ErrChanged) {
		t.Errorf("a network of another size: %v", err)
	}
	var none metaopt.Run
	if err := none.UnmarshalBinary(nil); !errors.Is(err, metaopt.ErrState) {
		t.Errorf("a run that was not started: %v", err)
	}
	if _, err := startRun(rules.Scaled{Rule: constant(1)}, 1).MarshalBinary(); err == nil {
		t.Error("a state without a binary form is saved")
	}
}

// FuzzResume expects, for any data with a sound checksum, either an error or a run that can continue.
func FuzzResume(f *testing.F) {
	rule := rules.WarmStart{Steps: 2, First: eager(baselines.SGD{LearningRate: 3}), Then: rules.Groups{{N: 1, Rule: baselines.Adam{LearningRate: 0.001}}, {Rule: baselines.SGD{LearningRate: 0.001}}}, Observe: true}
	for at := range 5 {
		run := startRun(rule, 2)
		theta, grad := []float64{0, 0}, []float64{0, 0}
		for range at {
			run.SetLoss(hillside(grad, theta))
			if err := run.Step64(theta, grad); err != nil {
				f.Fatal(err)
			}
		}
		data, err := run.MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data[:len(data)-4])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		run := startRun(rule, 2)
		sum := crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))
		if run.UnmarshalBinary(append(slices.Clone(data), byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24))) != nil {
			if run.Steps() != 0 {
				t.Error("a refusal changed the run")
			}
			return
		}
		theta, grad := []float64{0, 0}, []float64{1, 1}
		run.SetLoss(1)
		var diverged *optimizer.DivergedError
		defer func() {
			// The data may say that the run was in float32.
			if r := recover(); r != nil && r != "metaopt: a guarded run keeps to the precision of its first step" {
				panic(r)
			}
		}()
		if err := run.Step64(theta, grad); err != nil && !errors.As(err, &diverged) {
			t.Error(err)
		}
	})
}
