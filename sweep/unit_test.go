package sweep

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"learnedopt/sweep/results"
)

// elsewhere computes units in a random order, passes them and their results on as JSON, and ends with an error after some.
type elsewhere struct {
	*Plan
	rng  *rand.Rand
	left int // units until the error
	done int // units whose results were taken
}

var errElsewhere = errors.New("the machine is gone")

func (x *elsewhere) Compute(ctx context.Context, units []Unit, take func(...Result) error) error {
	for _, i := range x.rng.Perm(len(units)) {
		if x.left--; x.left < 0 {
			return errElsewhere
		}
		text, err := json.Marshal(units[i])
		if err != nil {
			return err
		}
		var u Unit
		if err := json.Unmarshal(text, &u); err != nil {
			return err
		}
		res, err := x.Plan.Compute(ctx, u)
		if err != nil {
			return err
		}
		plain, measured := res.Unmeasured()
		if text, err = json.Marshal(plain); err != nil {
			return err
		}
		var back Result
		if err := json.Unmarshal(text, &back); err != nil {
			return err
		}
		if back, err = back.Measured(measured); err != nil {
			return err
		}
		if err := x.CheckResult(units[i], back); err != nil {
			return err
		}
		back.Unit, back.Ended = i, true
		if err := take(back); err != nil {
			return err
		}
		x.done++
	}
	return nil
}

var measuredOf = regexp.MustCompile(`"time":"[^"]*",|,"seconds":[0-9.e+-]+(,"step_time":\{[^}]*\})?`)

// filesOf returns the records and tunings of a folder, without what is measured.
func filesOf(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	for _, name := range []string{results.CellsFile, TuningFile} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, strings.Split(measuredOf.ReplaceAllString(string(data), ""), "\n")...)
	}
	return all
}

// Units that are computed elsewhere, in any order and with interruptions, leave the files and the remarks of a sweep in one process. What came
// is not computed again, and a sweep in one process goes on with it.
func TestUnitsComputedElsewhere(t *testing.T) {
	c := small(t)
	c.TuneLearned, c.KLGuard, c.Axes = true, 0.01, []Axis{{Key: "dims", Values: []string{"2", "10"}}, {Key: "loss-scale", Values: []string{"1", "1e11"}}}
	for _, c.Tune = range Tunes() {
		p := plan(t, c)
		sweepInto := func(dir string, x Executor) (notes []string, last, total int64, err error) {
			s := open(t, dir)
			defer closeStore(t, s)
			err = p.Run(t.Context(), s, RunOptions{
				Executor: x, Note: func(format string, args ...any) { notes = append(notes, strings.TrimSpace(format)) },
				Progress: func(_ int, done, all int64) { last, total = done, all },
			})
			return notes, last, total, err
		}
		whole := t.TempDir()
		remarks, last, total, err := sweepInto(whole, nil)
		if err != nil || last > total {
			t.Fatalf("%d of %d steps, error %v", last, total, err)
		}
		want := filesOf(t, whole)
		undisturbed := 0
		for pass := range 4 {
			dir := t.TempDir()
			x := &elsewhere{Plan: p, rng: rand.New(rand.NewPCG(uint64(pass), 1)), left: 1000}
			if pass > 0 {
				x.left = pass
				if _, _, _, err := sweepInto(dir, x); !errors.Is(err, errElsewhere) {
					t.Fatalf("error %v", err)
				}
			}
			x.left = 1000
			var next Executor = x
			if pass == 3 {
				next = nil
			}
			notes, last, total, err := sweepInto(dir, next)
			if err != nil || next != nil && last != total {
				t.Fatalf("%d of %d steps, error %v", last, total, err)
			}
			if got := filesOf(t, dir); !slices.Equal(got, want) {
				t.Errorf("tune %s, pass %d: other files: %d lines, want %d", c.Tune, pass, len(got), len(want))
			}
			if pass == 0 && !slices.Equal(notes, remarks) {
				t.Errorf("remarks %q, want %q", notes, remarks)
			}
			if pass == 0 {
				undisturbed = x.done
			} else if next != nil && x.done != undisturbed {
				t.Errorf("tune %s, pass %d: %d units were computed, want %d", c.Tune, pass, x.done, undisturbed)
			}
			if _, err := os.Stat(filepath.Join(dir, AheadFile)); err == nil {
				t.Errorf("%s is still there", AheadFile)
			}
		}
	}
}
