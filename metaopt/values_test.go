package metaopt_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"learnedopt/baselines"
	"learnedopt/internal/stream"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
)

// valuesLayout has weights and a bias, which "general" sees.
var valuesLayout = func() optimizer.Layout {
	l, err := optimizer.NewLayout(optimizer.Tensor{Name: "w", Shape: []int{4, 3}, Kind: optimizer.Matrix, OutputAxis: 1}, optimizer.Tensor{Name: "b", Shape: []int{3}, Kind: optimizer.Bias})
	if err != nil {
		panic(err)
	}
	return l
}()

// valuesSteps takes steps of a run with fixed gradients, and returns θ after each.
func valuesSteps(t *testing.T, run *metaopt.Run, theta []float32, from, to int) (all [][]float32) {
	t.Helper()
	for k := from; k < to; k++ {
		rng := stream.New(1, "values", uint64(k))
		grad := make([]float32, len(theta))
		for i := range grad {
			grad[i] = float32(rng.NormFloat64())
		}
		if err := run.Step(theta, grad); err != nil {
			t.Fatal(err)
		}
		all = append(all, slices.Clone(theta))
	}
	return all
}

// A fresh run that gets the values of another goes on as that one does, bit for bit.
func TestValuesOfARunContinueIt(t *testing.T) {
	for _, name := range []string{"mlp", "general"} {
		o, err := metaopt.Pretrained(name)
		if err != nil {
			t.Fatal(err)
		}
		run, theta := o.Start(valuesLayout), make([]float32, valuesLayout.Len())
		valuesSteps(t, run, theta, 0, 5)
		steps, values := run.Values()
		if steps != 5 || len(values) == 0 {
			t.Fatalf("%s: %d values after %d steps", name, len(values), steps)
		}
		kept := slices.Clone(values)
		again, same := o.Start(valuesLayout), slices.Clone(theta)
		if err := again.SetValues(steps, values); err != nil {
			t.Fatal(name, err)
		}
		want := valuesSteps(t, run, theta, 5, 9)
		for k, got := range valuesSteps(t, again, same, 5, 9) {
			if !slices.Equal(got, want[k]) {
				t.Fatalf("%s: step %d goes to %v, want %v", name, 5+k, got, want[k])
			}
		}
		if !slices.Equal(values, kept) {
			t.Errorf("%s: the steps of the two runs changed the caller's values", name)
		}
		if steps, now := again.Values(); steps != 9 || slices.Equal(now, kept) {
			t.Errorf("%s: after 4 more steps the run is at step %d, with the values of before: %v", name, steps, slices.Equal(now, kept))
		}
	}
}

// Values that do not fit are refused with the number, the index or the reason, and the run stays as it is.
func TestValuesThatDoNotFit(t *testing.T) {
	o, err := metaopt.Pretrained("mlp")
	if err != nil {
		t.Fatal(err)
	}
	run, theta := o.Start(valuesLayout), make([]float32, valuesLayout.Len())
	valuesSteps(t, run, theta, 0, 3)
	_, values := run.Values()
	with := func(i int, x float64) []float32 {
		changed := slices.Clone(values)
		changed[i] = float32(x)
		return changed
	}
	n := len(values)
	for _, c := range []struct {
		steps  int
		values []float32
		want   string
	}{
		{3, values[1:], fmt.Sprintf("%d values, want %d", n-1, n)}, {3, append(slices.Clone(values), 0), fmt.Sprintf("%d values, want %d", n+1, n)},
		{3, nil, fmt.Sprintf("0 values, want %d", n)}, {-1, values, "-1 steps"},
		{3, with(7, math.NaN()), "value 7 is NaN"}, {3, with(n-1, math.Inf(-1)), fmt.Sprintf("value %d is -Inf", n-1)},
	} {
		if err := run.SetValues(c.steps, c.values); !errors.Is(err, metaopt.ErrState) || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%d values after %d steps: error %v, want %q", len(c.values), c.steps, err, c.want)
		}
	}
	if steps, now := run.Values(); steps != 3 || !slices.Equal(now, values) {
		t.Errorf("values that were refused moved the run to step %d", steps)
	}

	adam, err := metaopt.StartRule(&baselines.Adam{LearningRate: 0.1}, valuesLayout, optimizer.Needs{})
	if err != nil {
		t.Fatal(err)
	}
	valuesSteps(t, adam, theta, 0, 2)
	if steps, values := adam.Values(); steps != 2 || values != nil {
		t.Errorf("Adam has %d values after %d steps, want none after 2", len(values), steps)
	}
	if err := adam.SetValues(0, nil); !errors.Is(err, metaopt.ErrState) || !strings.Contains(err.Error(), "not a learned one alone; use UnmarshalBinary") {
		t.Errorf("Adam takes values: %v", err)
	}
}
