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

// A referenceTensor describes a tensor of the fixture. Its matrices have their outputs along the first axis.
type referenceTensor struct {
	Name, Kind string
	Shape      []int
}

func (t referenceTensor) tensor() optimizer.Tensor {
	kinds := map[string]optimizer.Kind{"vector": optimizer.Vector, "bias": optimizer.Bias, "matrix": optimizer.Matrix, "convolution": optimizer.Convolution}
	return optimizer.Tensor{Name: t.Name, Shape: t.Shape, Kind: kinds[t.Kind]}
}

// A referenceCase is a run of a rule by its authors' code.
type referenceCase struct {
	Rule    string
	Options json.RawMessage
	Layout  []referenceTensor
	Average []float32
	Steps   []struct {
		Theta, Grad []float32
		Update      []float64
	}
}

func references(t *testing.T) []referenceCase {
	t.Helper()
	var all []referenceCase
	for _, name := range []string{"reference_rules.json", "reference_soap.json"} {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		var fixture struct{ Cases []referenceCase }
		if err := json.Unmarshal(data, &fixture); err != nil {
			t.Fatal(err)
		}
		all = append(all, fixture.Cases...)
	}
	return all
}

// rule returns the rule of the case, with zero fields for what the case leaves out.
func (c *referenceCase) rule(t *testing.T) optimizer.Rule {
	t.Helper()
	decode := func(rule any) {
		d := json.NewDecoder(bytes.NewReader(c.Options))
		d.DisallowUnknownFields()
		if err := d.Decode(rule); err != nil {
			t.Fatal(err)
		}
	}
	switch c.Rule {
	case "nadamw":
		var r NAdamW
		decode(&r)
		return r
	case "prodigy":
		var r Prodigy
		decode(&r)
		return r
	case "schedule-free":
		var r ScheduleFree
		decode(&r)
		return r
	case "soap":
		var r SOAP
		decode(&r)
		return r
	case "muon":
		var r Muon
		decode(&r)
		return r
	}
	t.Fatalf("the fixture has an unknown rule %q", c.Rule)
	return nil
}

func (c *referenceCase) layout(t *testing.T) optimizer.Layout {
	t.Helper()
	var tensors []optimizer.Tensor
	for _, tensor := range c.Layout {
		tensors = append(tensors, tensor.tensor())
	}
	layout, err := optimizer.NewLayout(tensors...)
	if err != nil {
		t.Fatal(err)
	}
	return layout
}

// tolerance is the error that an update may have, in units of the largest update so far of its coordinate, or of its
// matrix: terms may cancel, and their rounding errors of 6·10⁻⁸ remain. Some ten of them add up. Muon's iterations
// multiply small singular values, and the errors in them, by up to 3.4⁵ = 485. SOAP divides small numbers of a rotated matrix, each with the
// rounding error of the largest, by their own size, and its eigenvectors have errors that grow with the quotients of eigenvalues.
func (c *referenceCase) tolerance(t optimizer.Tensor) float64 {
	switch {
	case t.Outputs() > 0 && c.Rule == "soap":
		return 1e-4
	case t.Outputs() > 0:
		return 3e-5
	}
	return 1e-6
}

// The updates are those of the authors' code, which ran in float64 (testdata/reference_rules.py).
func TestReferences(t *testing.T) {
	seen := map[string]int{}
	for _, c := range references(t) {
		seen[c.Rule]++
		t.Run(fmt.Sprintf("%s/%s", c.Rule, c.Options), func(t *testing.T) {
			if len(c.Steps) < 30 {
				t.Fatalf("%d steps in the fixture", len(c.Steps))
			}
			layout := c.layout(t)
			state := c.rule(t).Start(layout)
			got, largest := make([]float32, layout.Len()), make([]float64, layout.Len())
			for step, want := range c.Steps {
				if _, err := state.Update(got, optimizer.Point{Grad: want.Grad, Theta: want.Theta, Total: len(c.Steps)}); err != nil {
					t.Fatal(err)
				}
				for i, w := range want.Update {
					largest[i] = max(largest[i], math.Abs(w))
				}
				for _, tensor := range layout.Tensors() {
					from, to := tensor.From, tensor.From+tensor.Len()
					if tensor.Outputs() > 0 {
						most := slices.Max(largest[from:to])
						for i := from; i < to; i++ {
							largest[i] = most
						}
					}
					for i := from; i < to; i++ {
						if w := want.Update[i]; !(math.Abs(float64(got[i])-w) <= c.tolerance(tensor)*largest[i]+1e-15) { // float64's own rounding of y
							t.Fatalf("step %d, %s, coordinate %d: update %v, the authors' %v", step, tensor.Name, i, got[i], w)
						}
					}
				}
			}
			averager, ok := state.(Averager)
			if ok != (c.Average != nil) {
				t.Fatalf("the fixture has the average %v, the state is an Averager: %v", c.Average, ok)
			}
			if !ok {
				return
			}
			last := c.Steps[len(c.Steps)-1]
			theta := slices.Clone(last.Theta)
			for i := range theta {
				theta[i] += float32(last.Update[i])
			}
			averager.Average(theta, theta)
			for i, want := range c.Average {
				if d := math.Abs(float64(theta[i] - want)); !(d <= 1e-6) { // four roundings of numbers about 2
					t.Errorf("coordinate %d: average %v, the authors' %v", i, theta[i], want)
				}
			}
		})
	}
	for _, name := range modern {
		if seen[name] < 2 {
			t.Errorf("the fixture has %d cases of %s, want at least 2", seen[name], name)
		}
	}
}
