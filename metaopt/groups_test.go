package metaopt_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"learnedopt/baselines"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
)

// A divergence names the slice, or the tensor if the layout has its name, and the element in it.
func TestDivergedErrorNamesTheGroup(t *testing.T) {
	named, err := optimizer.NewLayout(optimizer.InferTensor("dense/w", []int{2, 2}), optimizer.InferTensor("dense/b", []int{3}))
	if err != nil {
		t.Fatal(err)
	}
	rule := baselines.SGD{LearningRate: 1}
	nan := float32(math.NaN())
	for name, c := range map[string]struct {
		layout optimizer.Layout
		grad   [][]float32
		group  int
		at     int
		text   string
	}{
		"first slice":     {optimizer.Flat(7), [][]float32{{0, nan}, {0, 0, 0, 0, 0}}, 0, 1, "at coordinate 1, element 1 of slice 0 of 2"},
		"last slice":      {optimizer.Flat(7), [][]float32{{0, 0}, {0, 0, 0, 0, nan}}, 1, 4, "at coordinate 6, element 4 of slice 1 of 2"},
		"named":           {named, [][]float32{{0, 0, 0, 0}, {0, nan, 0}}, 1, 1, "at coordinate 5, element 1 of dense/b"},
		"one slice":       {named, [][]float32{{0, 0, nan, 0, 0, 0, 0}}, 0, 2, "at coordinate 2, element 2 of dense/w"},
		"other slices":    {named, [][]float32{{0}, {0, 0, 0, 0, 0, nan}}, 1, 5, "at coordinate 6, element 5 of slice 1 of 2"},
		"empty slices":    {optimizer.Flat(2), [][]float32{{}, {0, nan}, {}}, 1, 1, "element 1 of slice 1 of 3"},
		"nothing to name": {optimizer.Flat(2), [][]float32{{0, nan}}, 0, 1, "at coordinate 1;"},
	} {
		run, err := metaopt.StartRule(rule, c.layout, optimizer.Needs{})
		if err != nil {
			t.Fatal(err)
		}
		theta := make([][]float32, len(c.grad))
		for k, g := range c.grad {
			theta[k] = make([]float32, len(g))
		}
		var d *optimizer.DivergedError
		if err := run.StepGroups(theta, c.grad); !errors.As(err, &d) {
			t.Fatalf("%s: %v", name, err)
		}
		if d.Group != c.group || d.Element != c.at || !strings.Contains(d.Error(), c.text) {
			t.Errorf("%s: group %d, element %d: %v", name, d.Group, d.Element, d)
		}
	}
}
