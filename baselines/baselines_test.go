package baselines

import (
	"encoding"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"learnedopt/optimizer"
	"learnedopt/optimizer/optimizertest"
)

// Every rule passes the shared suite, with its defaults and with a learning rate at
// which it descends a quadratic.
func TestConform(t *testing.T) {
	descending := map[string]float64{
		"sgd": 0.3, "momentum": 0.1, "nesterov": 0.1, "adagrad": 0.5, "rmsprop": 0.02, "adam": 0.05,
		"nadamw": 0.05, "prodigy": 1, "schedule-free": 0.1, "muon": 0.3,
	}
	for _, name := range ofGradients() {
		t.Run(name, func(t *testing.T) {
			rule, err := New(name, DefaultLearningRate(name))
			if err != nil {
				t.Fatal(err)
			}
			suite := optimizertest.Conform
			switch name {
			case "prodigy": // its sums over all coordinates depend on their order
				suite = optimizertest.ConformInOrder
			case "muon": // the only rule that looks at the layout
				suite = optimizertest.ConformTensors
			}
			suite(t, rule)
			if rule, err = New(name, descending[name]); err != nil {
				t.Fatal(err)
			}
			optimizertest.Descends(t, rule)
		})
	}
}

// ofGradients are the rules that read gradients alone.
func ofGradients() []string {
	return slices.DeleteFunc(Names(), func(name string) bool { return slices.Contains(withCurvature, name) })
}

// New's rule, a rule with zero fields for the defaults, and a rule with the documented defaults are equal.
func TestDefaults(t *testing.T) {
	for _, c := range []struct {
		name       string
		zero, full optimizer.Rule
	}{
		{"sgd", SGD{0.001}, SGD{0.001}},
		{"momentum", Momentum{0.001, 0.9}, Momentum{0.001, 0.9}},
		{"nesterov", Nesterov{0.001, 0.9}, Nesterov{0.001, 0.9}},
		{"adagrad", AdaGrad{LearningRate: 0.01}, AdaGrad{0.01, 1e-10}},
		{"rmsprop", RMSProp{LearningRate: 0.01, Alpha: 0.99}, RMSProp{0.01, 0.99, 1e-8}},
		{"adam", Adam{LearningRate: 0.001}, Adam{0.001, [2]float64{0.9, 0.999}, 1e-8}},
		{"nadamw", NAdamW{LearningRate: 0.001}, NAdamW{0.001, [2]float64{0.9, 0.999}, 1e-8, 0, 0.02, 100}},
		{"prodigy", Prodigy{LearningRate: 1}, Prodigy{1, [2]float64{0.9, 0.999}, 1e-8, 0, 1e-6}},
		{"schedule-free", ScheduleFree{LearningRate: 0.0025}, ScheduleFree{0.0025, [2]float64{0.9, 0.999}, 1e-8, 0, 0, 0.02, 100}},
		{"muon", Muon{LearningRate: 0.02}, Muon{0.02, 0.95, 0.2, 0, false, 0.02, 100}},
	} {
		named, err := New(c.name, DefaultLearningRate(c.name))
		if err != nil || named != c.zero {
			t.Errorf("New(%q, %v) = %#v, %v", c.name, DefaultLearningRate(c.name), named, err)
		}
		zero, full := c.zero.Start(optimizer.Flat(3)), c.full.Start(optimizer.Flat(3))
		for step, g := range [][]float32{{1, 1e-9, 0}, {-2, 3e-9, 0}, {0.5, 1e-9, 1}} {
			a, b := make([]float32, 3), make([]float32, 3)
			theta := []float32{float32(step), 1, -float32(step)}
			zero.Update(a, optimizer.Point{Grad: g, Theta: theta, Total: 100})
			full.Update(b, optimizer.Point{Grad: g, Theta: theta, Total: 100})
			if fmt.Sprint(a) != fmt.Sprint(b) {
				t.Errorf("%s, step %d: the zero value gives %v, the documented defaults %v", c.name, step, a, b)
			}
		}
	}
}

func TestValidate(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []struct {
		rule validator
		want string // "" for a valid rule
	}{
		{SGD{LearningRate: 10}, ""}, {Adam{LearningRate: 1, Betas: [2]float64{0.999999, 0}}, ""}, {Adam{LearningRate: 1, Betas: [2]float64{0, 0.9}}, ""},
		{SGD{}, "sgd: learning rate 0 would not move; set LearningRate, torch.optim's default is 0.001"},
		{Momentum{Momentum: 0.9}, "momentum: learning rate 0 would not move"},
		{Nesterov{Momentum: 0.9}, "nesterov: learning rate 0 would not move"},
		{AdaGrad{Epsilon: 1}, "adagrad: learning rate 0 would not move; set LearningRate, torch.optim's default is 0.01"},
		{RMSProp{Alpha: 0.9}, "rmsprop: learning rate 0 would not move; set LearningRate, torch.optim's default is 0.01"},
		{Adam{}, "adam: learning rate 0 would not move; set LearningRate, torch.optim's default is 0.001"},
		{Momentum{LearningRate: 0.1}, "momentum: momentum 0 is SGD; set Momentum"},
		{Nesterov{LearningRate: 0.1}, "nesterov: momentum 0 is SGD; set Momentum"},
		{RMSProp{LearningRate: 0.1}, "rmsprop: alpha 0 keeps no mean"},
		{SGD{LearningRate: -1}, "sgd: learning rate is -1; want more than 0 and"},
		{SGD{LearningRate: nan}, "learning rate is NaN"},
		{SGD{LearningRate: inf}, "learning rate is +Inf"},
		{SGD{LearningRate: 1e39}, "learning rate is 1e+39"},
		{SGD{LearningRate: 1e-50}, "zero in float32"},
		{Momentum{Momentum: 1}, "momentum: momentum is 1"},
		{Momentum{LearningRate: -1}, "momentum: learning rate"},
		{Nesterov{Momentum: -0.1}, "nesterov: momentum is -0.1"},
		{AdaGrad{Epsilon: -1}, "adagrad: epsilon is -1"},
		{AdaGrad{LearningRate: -1}, "adagrad: learning rate"},
		{RMSProp{Alpha: 1}, "rmsprop: alpha is 1"},
		{RMSProp{Epsilon: nan}, "rmsprop: epsilon is NaN"},
		{RMSProp{LearningRate: -1}, "rmsprop: learning rate"},
		{Adam{Betas: [2]float64{1, 0}}, "adam: beta1 is 1; want at least 0 and"},
		{Adam{Betas: [2]float64{0, 1.5}}, "adam: beta2 is 1.5"},
		{Adam{Epsilon: 1e-60}, "adam: epsilon is 1e-60, which is zero"},
		{Adam{LearningRate: -1}, "adam: learning rate"},
		{Prodigy{}, ""}, {NAdamW{LearningRate: 1, WarmUp: 0.99, Steps: 10}, ""},
		{NAdamW{}, "nadamw: learning rate 0 would not move; set LearningRate, its authors' default is 0.001"},
		{ScheduleFree{}, "schedule-free: learning rate 0 would not move; set LearningRate, its authors' default is 0.0025"},
		{Muon{}, "muon: learning rate 0 would not move; set LearningRate, its authors' default is 0.02"},
		{NAdamW{LearningRate: 1, Steps: -1}, "nadamw: -1 steps; want at least 1, or 0 for the length of the run"},
		{NAdamW{LearningRate: 1, WarmUp: 1}, "nadamw: warm-up is 1"},
		{NAdamW{LearningRate: 1, WeightDecay: -0.1}, "nadamw: weight decay is -0.1"},
		{NAdamW{LearningRate: 1, Betas: [2]float64{1, 0}}, "nadamw: beta1 is 1"},
		{NAdamW{LearningRate: 1, Betas: [2]float64{0, 1}}, "nadamw: beta2 is 1"},
		{NAdamW{LearningRate: 1, Epsilon: -1}, "nadamw: epsilon is -1"},
		{ScheduleFree{LearningRate: 1, WarmUp: -1}, "schedule-free: warm-up is -1"},
		{ScheduleFree{LearningRate: 1, Power: -1}, "schedule-free: power is -1"},
		{ScheduleFree{LearningRate: 1, WeightDecay: 1}, "schedule-free: weight decay is 1"},
		{ScheduleFree{LearningRate: 1, Betas: [2]float64{1, 0}}, "schedule-free: beta1 is 1"},
		{ScheduleFree{LearningRate: 1, Betas: [2]float64{0, 1}}, "schedule-free: beta2 is 1"},
		{ScheduleFree{LearningRate: 1, Epsilon: nan}, "schedule-free: epsilon is NaN"},
		{Muon{LearningRate: 1, Momentum: 1}, "muon: momentum is 1"},
		{Muon{LearningRate: 1, AdamRatio: -1}, "muon: AdamW's ratio is -1"},
		{Muon{LearningRate: 1, WeightDecay: 1}, "muon: weight decay is 1"},
		{Muon{LearningRate: 1, Steps: -1}, "muon: -1 steps"},
		{Prodigy{LearningRate: -1}, "prodigy: learning rate is -1"},
		{Prodigy{Distance: -1}, "prodigy: distance is -1"},
		{Prodigy{WeightDecay: 1}, "prodigy: weight decay is 1"},
		{Prodigy{Betas: [2]float64{1, 0}}, "prodigy: beta1 is 1"},
		{Prodigy{Betas: [2]float64{0, 1}}, "prodigy: beta2 is 1"},
		{Prodigy{Epsilon: inf}, "prodigy: epsilon is +Inf"},
	} {
		err := c.rule.Validate()
		if c.want == "" {
			if err != nil {
				t.Errorf("%#v: %v", c.rule, err)
			}
			continue
		}
		if err == nil || !strings.HasPrefix(err.Error(), "baselines: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%#v: error %v, want one with %q", c.rule, err, c.want)
		}
		func() {
			defer func() {
				if got := recover(); got != err.Error() {
					t.Errorf("%#v: Start panics with %v, want %q", c.rule, got, err)
				}
			}()
			c.rule.Start(optimizer.Flat(1))
		}()
	}
}

func TestNewRefuses(t *testing.T) {
	for name, suggestion := range map[string]string{
		"adm": "adam", "Adam": "adam", "ADAGRAD": "adagrad", "rms_prop": "rmsprop", "nesterow": "nesterov", "sdg": "sgd", "moment": "momentum",
		"nadamv": "nadamw", "schedulefree": "schedule-free", "muons": "muon", "prodigee": "prodigy",
	} {
		_, err := New(name, 0.1)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("did you mean %q", suggestion)) {
			t.Errorf("New(%q): error %v, want it to suggest %q", name, err, suggestion)
		}
	}
	for _, name := range Names() {
		for _, rate := range []float64{0, -0.1} {
			what := "learning rate"
			if name == "trust-region" {
				what = "radius"
			}
			if _, err := New(name, rate); err == nil || !strings.Contains(err.Error(), what) {
				t.Errorf("New(%q, %v): error %v, want one about the learning rate", name, rate, err)
			}
		}
		if err := CheckName(name); err != nil {
			t.Error(err)
		}
	}
}

// A β of 0 beside a nonzero β means 0: no mean of gradients, or no mean of their squares. The updates are computed by
// hand; ε is too small to show.
func TestBetasOfZero(t *testing.T) {
	for _, c := range []struct {
		betas [2]float64
		want  []float32 // for the gradients 3 and 4
	}{
		// v = 4.5, then 10.25; v̂ = 9, then 10.25/0.75: u = −g/√v̂.
		{[2]float64{0, 0.5}, []float32{-1, -4 / float32(math.Sqrt(10.25/0.75))}},
		// m = 1.5, then 2.75; m̂ = 3, then 2.75/0.75, v̂ = g².
		{[2]float64{0.5, 0}, []float32{-1, -2.75 / 0.75 / 4}},
	} {
		state, got := Adam{LearningRate: 1, Betas: c.betas, Epsilon: 1e-30}.Start(optimizer.Flat(1)), []float32{0}
		for i, g := range []float32{3, 4} {
			state.Update(got, optimizer.Point{Grad: []float32{g}})
			if ulps(got[0], c.want[i]) > 4 { // some five roundings of half an ULP
				t.Errorf("betas %v: update %v of step %d, want %v", c.betas, got[0], i, c.want[i])
			}
		}
	}
}

// Saved data are refused by another rule's state, by a state of another size and
// in another version. The error wraps ErrState, and the state does not change.
func TestStatesRefuse(t *testing.T) {
	type saver interface {
		optimizer.State
		encoding.BinaryMarshaler
		encoding.BinaryUnmarshaler
	}
	save := func(rule optimizer.Rule, n int) []byte {
		state := rule.Start(optimizer.Flat(n)).(saver)
		state.Update(make([]float32, n), optimizer.Point{Grad: make([]float32, n)})
		data, err := state.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	momentum := Momentum{1, 0.9}
	version := save(momentum, 4)
	version[8]++
	for what, data := range map[string][]byte{
		"nesterov's": save(Nesterov{1, 0.9}, 4), "sgd's": save(SGD{1}, 4), "larger": save(momentum, 5), "smaller": save(momentum, 3),
		"another version": version, "header only": version[:headerSize],
	} {
		state := momentum.Start(optimizer.Flat(4)).(saver)
		got := make([]float32, 4)
		state.Update(got, optimizer.Point{Grad: []float32{1, 2, 3, 4}})
		if err := state.UnmarshalBinary(data); !errors.Is(err, ErrState) {
			t.Errorf("%s: error %v, want ErrState", what, err)
		}
		if state.Update(got, optimizer.Point{Grad: make([]float32, 4)}); got[3] != -3.6 {
			t.Errorf("%s: the refused data changed the state: update %v, want -3.6", what, got[3])
		}
	}
}

// The binary form of version 1: later versions must read it or refuse it.
func TestStateIsPinned(t *testing.T) {
	const want = "6164616d00000000" + "01000000" + "02000000" + "0100000000000000" + "0200000000000000" +
		"0000003f" + "000080be" + "0000003e" + "0000003d" // m = (½, −¼), v = (⅛, 1/32)
	state := Adam{LearningRate: 1, Betas: [2]float64{0.5, 0.875}}.Start(optimizer.Flat(2))
	state.Update(make([]float32, 2), optimizer.Point{Grad: []float32{1, -0.5}})
	data, err := state.(encoding.BinaryMarshaler).MarshalBinary()
	if got := hex.EncodeToString(data); err != nil || got != want {
		t.Errorf("saved as\n%s, want\n%s (error %v)", got, want, err)
	}
}

func Example() {
	rule := Adam{LearningRate: 0.1}
	theta := []float32{1, -2}
	grad, update := make([]float32, 2), make([]float32, 2)
	state := rule.Start(optimizer.Flat(len(theta)))
	for range 100 {
		for i, x := range theta {
			grad[i] = 2 * x // of f(θ) = |θ|²
		}
		state.Update(update, optimizer.Point{Grad: grad})
		for i, u := range update {
			theta[i] += u
		}
	}
	fmt.Printf("%.2f\n", theta)
	// Output: [0.00 0.01]
}
