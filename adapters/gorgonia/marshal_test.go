package gorgoniaopt_test

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	gorgoniaopt "learnedopt/adapters/gorgonia"
	"learnedopt/baselines"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
)

func contains(err error, text string) bool { return err != nil && strings.Contains(err.Error(), text) }

// A run that is saved after any step and continued with nodes in another order equals the uninterrupted run, bit for bit.
func TestResume(t *testing.T) {
	for name, rule := range map[string]optimizer.Rule{"learned": pretrained(t, "mlp").Rule(), "adam": baselines.Adam{LearningRate: 0.1}} {
		for saveAt := range 4 {
			rng := source("resume")
			theta := normal(rng, modelSize)
			want, m, solver := startFlat(rule, theta), model(theta), gorgoniaopt.New(rule)
			if saveAt == 0 {
				if err := solver.Bind(m); err != nil {
					t.Fatal(err)
				}
			}
			passed := m
			for step := range 6 {
				if step == saveAt {
					data, err := solver.MarshalBinary()
					if err != nil {
						t.Fatal(err)
					}
					m = model(weights(m)) // other nodes
					passed = []gorgonia.ValueGrad{m[1], m[2], m[0]}
					solver = gorgoniaopt.New(rule)
					if saveAt == 2 { // into a solver that was in use
						if err := solver.Step(model(theta)); err != nil {
							t.Fatal(err)
						}
					}
					if err := solver.UnmarshalBinary(data); err != nil {
						t.Fatal(err)
					}
					if again, err := solver.MarshalBinary(); err != nil || !bytes.Equal(again, data) { // not bound yet
						t.Errorf("saved again it is other data, %v", err)
					}
					clear(data)
				}
				grad := normal(rng, modelSize)
				feed(m, grad)
				if err := solver.Step(passed); err != nil {
					t.Fatal(err)
				}
				want.step(grad)
				same(t, weights(m), want.theta, fmt.Sprintf("%s saved at %d, step %d", name, saveAt, step))
			}
			if solver.Steps() != 6 {
				t.Errorf("%d steps, want 6", solver.Steps())
			}
		}
	}
}

// A guarded run that is saved before its handover goes back to the same point as the uninterrupted run.
func TestResumeGuarded(t *testing.T) {
	for saveAt := 1; saveAt < 6; saveAt++ {
		handed := 0
		rule := metaopt.Guarded{Rule: pretrained(t, "mlp").Rule(), Guard: metaopt.Guard{
			Window: 2, Rise: metaopt.Rise{Tolerance: 0.1, Patience: 2}, OnHandover: func(metaopt.Handover) { handed++ }}}
		rng := source("guarded")
		theta := normal(rng, modelSize)
		m, solver := model(theta), gorgoniaopt.New(rule)
		run, want := startRun(t, rule), slices.Clone(theta)
		for step := range runSteps {
			if step == saveAt {
				data, err := solver.MarshalBinary()
				if err != nil {
					t.Fatal(err)
				}
				m, solver = model(weights(m)), gorgoniaopt.New(rule)
				if err := solver.UnmarshalBinary(data); err != nil {
					t.Fatal(err)
				}
			}
			grad := normal(rng, modelSize)
			feed(m, grad)
			if err := solver.StepLoss(m, gorgonia.NewF64(float64(step))); err != nil {
				t.Fatal(err)
			}
			if d := run.StepLoss(want, grad, float64(step)); d != nil {
				t.Fatal(d)
			}
			same(t, weights(m), want, fmt.Sprintf("saved at %d, step %d", saveAt, step))
		}
		if handed != 2 {
			t.Errorf("saved at %d: %d handovers, want one of each run", saveAt, handed)
		}
	}
}

// On a graph, with gob.
func TestResumeGraph(t *testing.T) {
	rule := pretrained(t, "quadratic").Rule()
	long, first, second := newRegression(t, 5), newRegression(t, 5), newRegression(t, 5)
	uninterrupted, solver, again := gorgoniaopt.New(rule), gorgoniaopt.New(rule), gorgoniaopt.New(rule)
	var file bytes.Buffer
	for range 5 {
		long.step(t, uninterrupted)
		first.step(t, solver)
	}
	if err := gob.NewEncoder(&file).Encode(solver); err != nil {
		t.Fatal(err)
	}
	if err := gob.NewDecoder(&file).Decode(again); err != nil {
		t.Fatal(err)
	}
	second.setWeights(first.weights())
	for range 5 {
		long.step(t, uninterrupted)
		second.step(t, again)
	}
	same(t, second.weights(), long.weights(), "resumed")
}

// saved returns a solver after a step and its data.
func saved(t testing.TB, rule optimizer.Rule) (*gorgoniaopt.Solver, []byte) {
	t.Helper()
	solver, m := gorgoniaopt.New(rule), model(make([]float32, modelSize))
	feed(m, normal(source("saved"), modelSize))
	if err := solver.Step(m); err != nil {
		t.Fatal(err)
	}
	data, err := solver.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return solver, data
}

// Data with any byte damaged, or of another length, are refused and leave the solver unchanged.
func TestUnmarshalDamaged(t *testing.T) {
	solver, data := saved(t, baselines.Adam{LearningRate: 0.001})
	refuse := func(what string, damaged []byte) {
		t.Helper()
		if err := solver.UnmarshalBinary(damaged); !errors.Is(err, gorgoniaopt.ErrState) {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for i := range data {
		damaged := slices.Clone(data)
		damaged[i] ^= 4
		refuse(fmt.Sprint("byte ", i), damaged)
		refuse(fmt.Sprint(i, " bytes"), data[:i])
	}
	refuse("appended", append(slices.Clone(data), 0))
	if again, err := solver.MarshalBinary(); err != nil || !bytes.Equal(again, data) {
		t.Errorf("the solver is another one now: %v", err)
	}
	// Valid checksums over invalid contents.
	for what, body := range map[string][]byte{
		"another version":  edit(data, 8, 2),
		"nodes lost":       edit(data, 12, 0),
		"no nodes":         append(edit(data, 12, 0)[:24], make([]byte, 8)...),
		"many nodes":       edit(data, 12, 200),
		"steps below 0":    edit(data, 23, 255),
		"a long name":      edit(data, 27, 255),
		"a short name":     edit(data, 24, 0),
		"integer elements": edit(data, 29, 2),
		"dimensions":       edit(data, 30, 255),
		"a size of 2^64+8": edit(data, 38, 0x40, 39, 4),
		"a sum above 2^63": edit(data, 38, 0x20, 61, 4),
		"appended":         append(edit(data), 0),
		"nameless":         bytes.Replace(edit(data), []byte{1, 0, 0, 0, 'w'}, []byte{0, 0, 0, 0}, 1),
		"two of a name":    bytes.Replace(edit(data), []byte{1, 0, 0, 0, 'k'}, []byte{1, 0, 0, 0, 'w'}, 1),
	} {
		refuse(what, seal(body))
	}
}

// edit returns the data without their checksum and with other bytes, given as pairs of place and byte.
func edit(data []byte, changes ...int) []byte {
	body := slices.Clone(data[:len(data)-4])
	for i := 0; i < len(changes); i += 2 {
		body[changes[i]] = byte(changes[i+1])
	}
	return body
}

func seal(body []byte) []byte {
	return binary.LittleEndian.AppendUint32(slices.Clone(body), crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
}

// Valid data with other nodes or another rule: the first step returns the error and moves nothing, and the data are
// not lost.
func TestResumeElsewhere(t *testing.T) {
	rule := baselines.Adam{LearningRate: 0.1}
	_, data := saved(t, rule)
	for name, c := range map[string]struct {
		spoil func(m []gorgonia.ValueGrad) []gorgonia.ValueGrad
		want  string
	}{
		"renamed":  {func(m []gorgonia.ValueGrad) []gorgonia.ValueGrad { m[0].(*parameter).name = "W"; return m }, "no node w"},
		"nameless": {func(m []gorgonia.ValueGrad) []gorgonia.ValueGrad { m[0].(*parameter).name = ""; return m }, "node 0 cannot be matched"},
		"same":     {func(m []gorgonia.ValueGrad) []gorgonia.ValueGrad { m[0].(*parameter).name = "k"; return m }, "two nodes are called k"},
		"fewer":    {func(m []gorgonia.ValueGrad) []gorgonia.ValueGrad { return m[:2] }, "no node b"},
		"more": {func(m []gorgonia.ValueGrad) []gorgonia.ValueGrad {
			return append(m, &parameter{"d", gorgonia.NewF32(0), gorgonia.NewF32(0)})
		}, "no state of a node d"},
		"reshaped": {func(m []gorgonia.ValueGrad) []gorgonia.ValueGrad {
			m[0] = &parameter{"w", dense(make([]float32, 6), 3, 2), dense(make([]float32, 6), 3, 2)}
			return m
		}, "w is float32 of shape [3 2], the run's is float32 of shape [2 3]"},
		"retyped": {func(m []gorgonia.ValueGrad) []gorgonia.ValueGrad {
			m[2] = &parameter{"b", gorgonia.NewF64(0), gorgonia.NewF64(0)}
			return m
		}, "b is float64"},
	} {
		solver := gorgoniaopt.New(rule)
		if err := solver.UnmarshalBinary(data); err != nil {
			t.Fatal(err)
		}
		m := model(make([]float32, modelSize))
		feed(m, normal(source("elsewhere"), modelSize))
		if err := solver.Step(c.spoil(slices.Clone(m))); !errors.Is(err, gorgoniaopt.ErrModel) || !contains(err, c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		same(t, weights(m), make([]float32, modelSize), name)
		m = model(make([]float32, modelSize))
		if err := solver.Bind(m); err != nil {
			t.Errorf("%s: afterwards: %v", name, err)
		}
	}
	for name, other := range map[string]optimizer.Rule{"momentum": baselines.Momentum{LearningRate: 0.001, Momentum: 0.9}, "learned": pretrained(t, "mlp").Rule(), "no saver": clipped{}} {
		solver := gorgoniaopt.New(other)
		if err := solver.UnmarshalBinary(data); !errors.Is(err, gorgoniaopt.ErrChanged) || !contains(err, "rule was baselines.Adam and is ") {
			t.Errorf("%s takes a state of Adam: %v", name, err)
		}
		if err := solver.ResumeChanged(data); err != nil {
			t.Fatal(err)
		}
		if err := solver.Step(model(make([]float32, modelSize))); !errors.Is(err, gorgoniaopt.ErrState) {
			t.Errorf("%s goes on with a state of Adam: %v", name, err)
		}
	}
}

// Settings are saved with a run. Other settings are an error that names them, except for ResumeChanged.
func TestResumeChanged(t *testing.T) {
	adam := baselines.Adam{LearningRate: 0.1}
	matrix := func(t optimizer.Tensor) optimizer.Tensor {
		if t.Name == "w" {
			t.OutputAxis = 0
		}
		return t
	}
	opt := pretrained(t, "mlp")
	guard := func(window int) optimizer.Rule {
		return metaopt.Guarded{Rule: adam, Guard: metaopt.Guard{Window: window}}
	}
	annealed, err := opt.Network.Annealed(7)
	if err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]struct {
		was, is optimizer.Rule
		layout  func(optimizer.Tensor) optimizer.Tensor
	}{
		"rule.LearningRate was 0.1 and is 0.2": {adam, baselines.Adam{LearningRate: 0.2}, nil},
		"rule.Betas[0] was 0.9 and is not set": {adam, baselines.Adam{LearningRate: 0.1, Betas: [2]float64{0, 0.999}}, nil},
		"rule.Guard.Window was 4 and is 8":     {guard(4), guard(8), nil},
		"rule.Config.Anneal was 100 and is 7":  {opt.Network, annealed, nil},
		"layout[0].OutputAxis was 1 and is ":   {adam, adam, matrix},
	} {
		solver, m := gorgoniaopt.New(c.was), model(make([]float32, modelSize))
		feed(m, normal(source("saved"), modelSize))
		if err := solver.StepLoss(m, gorgonia.NewF64(1)); err != nil {
			t.Fatal(err)
		}
		data, err := solver.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		again := gorgoniaopt.New(c.is)
		if c.layout != nil {
			again.SetLayout(c.layout)
		}
		if err = again.UnmarshalBinary(data); err == nil && c.layout != nil { // what the nodes are it learns here
			err = again.Bind(m)
		}
		if !errors.Is(err, gorgoniaopt.ErrState) || !errors.Is(err, gorgoniaopt.ErrChanged) || !contains(err, want) {
			t.Errorf("%v, want %q", err, want)
		}
		if err := again.ResumeChanged(data); err != nil {
			t.Errorf("%s, where it is asked for: %v", want, err)
		}
		feed(m, normal(source("next"), modelSize))
		if err := again.StepLoss(m, gorgonia.NewF64(1)); err != nil || again.Steps() != 2 {
			t.Errorf("%s, where it is asked for: step %d, %v", want, again.Steps(), err)
		}
		data, err = again.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if err := again.UnmarshalBinary(data); err != nil { // with the new settings
			t.Errorf("%s: saved again: %v", want, err)
		}
	}
}

func TestMarshalErrors(t *testing.T) {
	step := func(rule optimizer.Rule, m ...gorgonia.ValueGrad) *gorgoniaopt.Solver {
		s := gorgoniaopt.New(rule)
		if err := s.Bind(m); err != nil {
			t.Fatal(err)
		}
		return s
	}
	p := func(name string) gorgonia.ValueGrad { return &parameter{name, gorgonia.NewF32(1), gorgonia.NewF32(1)} }
	// The error for a user who forgot to name a node.
	nameless := gorgonia.NewScalar(gorgonia.NewGraph(), tensor.Float32, gorgonia.WithValue(float32(1)))
	for want, s := range map[string]*gorgoniaopt.Solver{
		"before the first step": gorgoniaopt.New(sgd{1}),
		"two nodes are called":  step(sgd{1}, p("a"), p("a")),
		"node 1 has no name":    step(sgd{1}, p("a"), p("")),
		"node 0 has no name":    step(sgd{1}, nameless),
		"cannot be saved":       step(forgetful{}, p("a")),
	} {
		if _, err := s.MarshalBinary(); !contains(err, want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

// forgetful is a rule whose states cannot be saved.
type forgetful struct{}

func (forgetful) Needs() optimizer.Needs                 { return optimizer.Needs{} }
func (forgetful) Start(optimizer.Layout) optimizer.State { return forgetful{} }

func (forgetful) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	clear(dst)
	return 0, nil
}

// No data make the solver panic, with a valid checksum or without. Accepted data are saved again unchanged.
func FuzzUnmarshal(f *testing.F) {
	_, data := saved(f, baselines.Adam{LearningRate: 0.001})
	f.Add(data[:len(data)-4])
	f.Add([]byte("gorgonia"))
	f.Fuzz(func(t *testing.T, body []byte) {
		s := gorgoniaopt.New(baselines.Adam{LearningRate: 0.001})
		if err := s.UnmarshalBinary(body); err != nil && !errors.Is(err, gorgoniaopt.ErrState) {
			t.Errorf("%v", err)
		}
		sealed := seal(body)
		if err := s.UnmarshalBinary(sealed); err != nil {
			if !errors.Is(err, gorgoniaopt.ErrState) {
				t.Errorf("%v", err)
			}
			return
		}
		again, err := s.MarshalBinary()
		if err == nil && !bytes.Equal(again, sealed) {
			t.Errorf("%x is saved again as %x", sealed, again)
		}
		_ = s.Bind(model(make([]float32, modelSize)))
	})
}
