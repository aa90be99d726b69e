package baselines

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"

	"learnedopt/optimizer"
)

// fromOptions returns the rule that a case of the fixture describes. For options that the case leaves out it uses
// torch.optim's defaults: DefaultLearningRate, and the Alpha in RMSProp's doc. Momentum is 0.9 instead.
func fromOptions(t *testing.T, name string, options json.RawMessage) optimizer.Rule {
	t.Helper()
	decode := func(rule any) {
		d := json.NewDecoder(bytes.NewReader(options))
		d.DisallowUnknownFields()
		if err := d.Decode(rule); err != nil {
			t.Fatal(err)
		}
	}
	rate := DefaultLearningRate(name)
	switch name {
	case "sgd":
		r := SGD{}
		decode(&r)
		return r
	case "momentum":
		r := Momentum{Momentum: 0.9}
		decode(&r)
		return r
	case "nesterov":
		r := Nesterov{Momentum: 0.9}
		decode(&r)
		return r
	case "adagrad":
		r := AdaGrad{LearningRate: rate}
		decode(&r)
		return r
	case "rmsprop":
		r := RMSProp{LearningRate: rate, Alpha: 0.99}
		decode(&r)
		return r
	case "adam":
		r := Adam{LearningRate: rate}
		decode(&r)
		return r
	}
	t.Fatalf("the fixture has an unknown rule %q", name)
	return nil
}

// ulps is the number of float32 values from a to b; ±0 are one value.
func ulps(a, b float32) int64 {
	order := func(x float32) int64 {
		bits := int64(math.Float32bits(x))
		if bits&(1<<31) != 0 {
			return (1 << 31) - bits
		}
		return bits
	}
	return max(order(a)-order(b), order(b)-order(a))
}

// The updates equal torch.optim's, bit for bit. The rules round every operation
// separately and in PyTorch's order, like the kernels that computed the fixture.
// PyTorch's AVX2 kernels fuse some operations. They differ from the fixture by up to
// 97 ULP where Adam's m cancels: PyTorch's own kernels agree no better than that.
func TestTorch(t *testing.T) {
	const tolerance = 0
	data, err := os.ReadFile("testdata/torch_optim.json")
	if err != nil {
		t.Fatal(err)
	}
	var fixture struct {
		Gradients [][]float32
		Cases     []struct {
			Rule    string
			Options json.RawMessage
			Updates [][]float32
		}
	}
	if err := json.Unmarshal(data, &fixture); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, c := range fixture.Cases {
		seen[c.Rule]++
		t.Run(fmt.Sprintf("%s/%s", c.Rule, c.Options), func(t *testing.T) {
			if len(c.Updates) < 25 || len(c.Updates) != len(fixture.Gradients) {
				t.Fatalf("%d steps in the fixture", len(c.Updates))
			}
			state := fromOptions(t, c.Rule, c.Options).Start(optimizer.Flat(len(c.Updates[0])))
			got := make([]float32, len(c.Updates[0]))
			for step, want := range c.Updates {
				state.Update(got, optimizer.Point{Grad: fixture.Gradients[step]})
				for i := range want {
					if d := ulps(got[i], want[i]); d > tolerance {
						t.Errorf("step %d, coordinate %d: update %v, PyTorch's %v: %d ULP apart", step, i, got[i], want[i], d)
					}
				}
			}
		})
	}
	for _, name := range ofGradients() {
		if slices.Contains(modern, name) {
			continue // TestReferences has it
		}
		if seen[name] < 2 {
			t.Errorf("the fixture has %d cases of %s, want at least 2", seen[name], name)
		}
	}
}
