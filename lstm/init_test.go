package lstm

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestInit(t *testing.T) {
	cfg := Config{Hidden: 20, Inputs: LogAndSign | RNNProp}
	draw := func(in Init) map[string][]float32 {
		net, err := in.Random(cfg, rand.New(rand.NewPCG(5, 5)))
		if err != nil {
			t.Fatal(err)
		}
		parts := map[string][]float32{}
		for _, tensor := range net.Tensors() {
			parts[tensor.Name] = tensor.Data
		}
		return parts
	}
	plain := draw(Init{})
	const bound = 0.2236068 // 1/√20
	for name, data := range plain {
		for _, x := range data {
			if math.Abs(float64(x)) > bound {
				t.Fatalf("%s has %v, beyond ±1/√H", name, x)
			}
		}
	}
	in := Init{Gain: 2, InputGain: 3, Memory: 50}
	got := draw(in)
	for name, data := range got {
		features := 0
		if name == "lstm1/w" {
			features = 4 * 80
		}
		for i, x := range data {
			want := plain[name][i]
			switch {
			case name == "readout/w" || name == "readout/b":
			case i < features:
				want *= 6
			case len(data) == 80 && i >= 20 && i < 40: // forget biases
				if x < 0 || float64(x) > math.Log(49) {
					t.Fatalf("%s: forget bias %v for a memory of 50 steps", name, x)
				}
				continue
			default:
				want *= 2
			}
			if x != want {
				t.Fatalf("%s[%d] is %v, want %v", name, i, x, want)
			}
		}
	}
	// u is uniform: half of the units of many remember for less than T/2 steps.
	short := 0
	net, _ := Init{Memory: 50}.Random(Config{Hidden: 500, Layers: 1}, rand.New(rand.NewPCG(6, 6)))
	for _, b := range net.Tensors()[1].Data[500:1000] {
		if math.Exp(float64(b)) < 25 {
			short++
		}
	}
	if short < 200 || short > 300 {
		t.Errorf("%d of 500 units forget within half the longest memory", short)
	}
	for _, bad := range []Init{{Gain: -1}, {InputGain: math.NaN()}, {Memory: 1}, {Memory: math.Inf(1)}} {
		if _, err := bad.Random(cfg, rand.New(rand.NewPCG(5, 5))); err == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
}

// Without LSTM layers the bound of all parameters is 1/√features. With 4,000 parameters the largest comes near it.
func TestInitWithoutLSTM(t *testing.T) {
	for _, c := range []struct {
		cfg   Config
		bound float64
	}{
		{Config{NoLSTM: true, Inputs: LogAndSign | Clock, Dense: 800}, 0.5}, {Config{NoLSTM: true, Inputs: RNNProp, Dense: 1000}, math.Sqrt(0.5)},
		{Config{NoLSTM: true, Inputs: Raw, Dense: 1000}, 1},
	} {
		net, err := Init{}.Random(c.cfg, rand.New(rand.NewPCG(5, 5)))
		if err != nil {
			t.Fatal(err)
		}
		largest := 0.0
		for _, tensor := range net.Tensors() {
			for _, x := range tensor.Data {
				largest = max(largest, math.Abs(float64(x)))
			}
		}
		if largest > c.bound || largest < 0.99*c.bound {
			t.Errorf("%v: the largest parameter is %v, want one just below %v", c.cfg.Inputs, largest, c.bound)
		}
	}
}
