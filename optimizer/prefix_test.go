package optimizer_test

import (
	"math"
	"reflect"
	"testing"

	"learnedopt/optimizer"
)

// The prefix of a run equals the shorter run, whichever value diverges, and wherever.
func TestPrefixIsTheShorterRun(t *testing.T) {
	const longest = 6
	inf := math.Inf(1)
	for name, c := range map[string]struct {
		problem func() *bowl
		rate    float32
	}{
		"sound":    {func() *bowl { return sound(3) }, 0.5},
		"loss":     {func() *bowl { return &bowl{n: 3, fault: 3, where: -1, value: -inf} }, 0.5},
		"gradient": {func() *bowl { return &bowl{n: 3, fault: 3, where: 1, value: inf} }, 0.5},
		"update":   {func() *bowl { return sound(3) }, 3e38},
		"growing":  {func() *bowl { return sound(2) }, 1e13},
	} {
		run := func(steps int) optimizer.Outcome {
			out, err := optimizer.Run(t.Context(), descent{rate: c.rate}, c.problem(), steps)
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		long := run(longest)
		for steps := range longest + 3 {
			got, want := long.Prefix(steps), run(steps)
			if len(long.Losses) > steps+1 { // an Outcome does not know its earlier points
				if got.Theta != nil {
					t.Errorf("%s: the prefix of %d steps has the last point of the whole run", name, steps)
				}
				got.Theta = want.Theta
			}
			if steps <= longest && !reflect.DeepEqual(got, want) {
				t.Errorf("%s: the prefix of %d steps is %+v, want %+v", name, steps, got, want)
			}
			if steps > longest && !reflect.DeepEqual(got, long) {
				t.Errorf("%s: the prefix of %d steps of %d is %+v", name, steps, longest, got)
			}
		}
	}
}

// A run under a guard goes on after a non-finite loss. A run that ended at that loss would have diverged.
func TestPrefixEndsAtALossThatWasSurvived(t *testing.T) {
	out := optimizer.Outcome{Losses: []float64{3, math.Inf(1), 2}}
	want := &optimizer.DivergedError{Step: 1, What: "loss", Coordinate: -1, Value: math.Inf(1)}
	if got := out.Prefix(1); !reflect.DeepEqual(got.Diverged, want) || len(got.Losses) != 2 {
		t.Errorf("one step: %+v", got)
	}
	if got := out.Prefix(2); got.Diverged != nil {
		t.Errorf("two steps: %+v", got)
	}
}

func TestPrefixKeepsWhatFollowsApart(t *testing.T) {
	out := optimizer.Outcome{Losses: []float64{3, 2, 1}}
	_ = append(out.Prefix(0).Losses, 9)
	if out.Losses[1] != 2 {
		t.Error("appending to a prefix changed the run")
	}
	mustPanic(t, "optimizer: negative number of steps", func() { out.Prefix(-1) })
}
