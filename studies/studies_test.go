package studies

import (
	"bytes"
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"learnedopt/baselines"
	"learnedopt/optimizer"
	"learnedopt/policy"
	"learnedopt/report"
)

// quick runs a study at a glance and checks its files.
func quick(t *testing.T, name string) *Result {
	t.Helper()
	r, err := Run(context.Background(), name, Config{Quick: true, Seed: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files, err := r.Save(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if info, err := os.Stat(filepath.Join(dir, f)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", f, err)
		}
	}
	var out bytes.Buffer
	if err := r.Write(&out, report.Table); err != nil {
		t.Fatal(err)
	}
	for _, table := range r.Tables {
		if !strings.Contains(out.String(), table.Title) {
			t.Errorf("no table %q in the text", table.Title)
		}
	}
	return r
}

func number(t *testing.T, text string) float64 {
	t.Helper()
	text, _, _ = strings.Cut(strings.Trim(text, "[]"), " ")
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestMaxent(t *testing.T) {
	r := quick(t, "maxent")
	rows := r.Tables[0].Rows
	if len(rows) != 3 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, row := range rows {
		if v := number(t, row[1]); v < -0.372 || v > -0.370 {
			t.Errorf("%s: multiplier %v, want −0.371", row[0], v)
		}
	}
}

// TestDenoising expects errors for validation that fall: what is trained is no worse than its start.
func TestDenoising(t *testing.T) {
	rows := quick(t, "denoising").Tables[0].Rows
	var errors []float64
	for _, row := range rows {
		errors = append(errors, number(t, row[1]))
	}
	if len(errors) != 5 {
		t.Fatalf("%d rows, want nothing, total variation, a map, a learned D and both", len(errors))
	}
	if nothing, variation, fitted, learned, both := errors[0], errors[1], errors[2], errors[3], errors[4]; !(variation < nothing/2 && learned <= variation && both <= fitted) {
		t.Errorf("errors %v", errors)
	}
}

func TestSudoku(t *testing.T) {
	if testing.Short() {
		t.Skip("some seconds")
	}
	r := quick(t, "sudoku")
	if got := r.Tables[0].Rows[0][1]; got != "100.0 %" {
		t.Errorf("the true rules solve %s", got)
	}
	// 100 training puzzles have too few grids for their hull.
	if n := len(r.Tables[0].Rows); n != 5 && n != 6 {
		t.Errorf("%d rows, want the rules, perhaps a hull, two layers and two networks", n)
	}
}

func TestLargeSudoku(t *testing.T) {
	rows := quick(t, "sudoku9").Tables[0].Rows
	if len(rows) != 5 || rows[0][2] != "100.0 %" {
		t.Errorf("rows %v, want five classes, the first solved", rows)
	}
}

// TestInnerSolver expects every solver's row for each size, and of those without learning that they get to the solution, with the interior point's gradient
// there. What 20 meta-steps taught means nothing.
func TestInnerSolver(t *testing.T) {
	r := quick(t, "inner-solver")
	if len(r.Tables) != 3 || len(r.Pictures) != 3 {
		t.Fatalf("%d tables and %d pictures, want times, crossover and Sudoku, and a picture for each of two sizes and Sudoku", len(r.Tables), len(r.Pictures))
	}
	rows := r.Tables[0].Rows
	if len(rows) != 2*5 {
		t.Fatalf("%d rows, want five solvers at two sizes", len(rows))
	}
	for _, row := range rows {
		if row[1] != "interior point" && row[1] != "ADMM" {
			continue
		}
		cell := row[2+slices.Index(levels, 1e-6)]
		time, rest, found := strings.Cut(cell, " (")
		if !found || !(number(t, time) > 0) || !(number(t, strings.TrimSuffix(rest, ")")) < 1e-3) {
			t.Errorf("%s, n = %s: %q at a residual of 1e-6, want a time and a gradient within 1e-3", row[1], row[0], cell)
		}
	}
	for _, row := range r.Tables[2].Rows {
		if last := row[len(row)-1]; (row[0] == "interior point" || row[0] == "ADMM") && last != "100.0 %" {
			t.Errorf("Sudoku: %s gets %s right", row[0], last)
		}
	}
	if _, err := Run(context.Background(), "inner-solver", Config{Sizes: []int{3}}, nil); err == nil {
		t.Error("no error for three variables")
	}
}

// TestTRPO expects all rules, curves within the bounds of returns, and chains on which TRPO and natural gradients improve.
func TestTRPO(t *testing.T) {
	r := quick(t, "trpo")
	chains, cart := r.Tables[0].Rows, r.Tables[1].Rows
	names := []string{"trpo", "natural gradient", "adam", "learned on chains"}
	if len(chains) != len(names) || len(cart) != len(names) {
		t.Fatalf("%d and %d rows, want %d", len(chains), len(cart), len(names))
	}
	for i, name := range names {
		if chains[i][0] != name || cart[i][0] != name || r.Pictures[1].Series[i].Name != name {
			t.Errorf("row %d: %v and %v, want %s", i, chains[i], cart[i], name)
		}
		if loss := number(t, chains[i][3]); !(loss > 0) || i < 2 && !(loss < 1) {
			t.Errorf("%s: the loss on chains is %v at last", name, loss)
		}
		if mean := number(t, cart[i][2]); !(mean > 8 && mean < 500) { // the shortest fall takes 8 steps
			t.Errorf("%s: mean return %v", name, mean)
		}
		for k, v := range r.Pictures[1].Series[i].Mean {
			if !(v > 8 && v <= 500) {
				t.Errorf("%s, iteration %d: mean return %v", name, k, v)
			}
		}
	}
}

func TestGrid(t *testing.T) {
	var got []float64
	for i := range 6 {
		got = append(got, grid{-4, 6}.at(i))
	}
	if want := []float64{0.01, 0.03, 0.1, 0.3, 1, 3}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := (grid{-5, 1}).at(0); got != 0.003 {
		t.Errorf("−5 halves: %v", got)
	}
}

// A value at an end of the grid is tuned only if the next one is no better, or if there is no next one. Of equal values the first that was tried is taken.
func TestTuneLeavesTheEnds(t *testing.T) {
	for _, c := range []struct {
		peak  float64
		extra int
		want  float64
		tried int // values
	}{
		{1, 12, 1, 4}, {10, 12, 10, 5}, {300, 12, 300, 8}, {0.3, 12, 0.3, 5}, {0.003, 12, 0.003, 9}, {300, 2, 100, 6}, {300, 0, 10, 4}, {math.Inf(1), 12, 1e7, 16},
	} {
		tried := map[float64]int{}
		var lock sync.Mutex
		x, err := contender{grid: grid{-1, 4}, rule: func(x float64) optimizer.Rule { return baselines.SGD{LearningRate: x} }}.tune(2, c.extra, func(rule optimizer.Rule, run int) (float64, error) {
			rate := rule.(baselines.SGD).LearningRate
			lock.Lock()
			defer lock.Unlock()
			tried[rate]++
			return -math.Abs(math.Log(rate / min(c.peak, 1e9))), nil
		})
		if err != nil || x != c.want || len(tried) != c.tried {
			t.Errorf("peak %v, %d more values: tuned to %v of %v (%v), want %v of %d", c.peak, c.extra, x, tried, err, c.want, c.tried)
		}
	}
	flat, err := contender{grid: grid{0, 3}, rule: func(x float64) optimizer.Rule { return baselines.SGD{LearningRate: x} }}.tune(1, 12, func(rule optimizer.Rule, _ int) (float64, error) {
		return min(rule.(baselines.SGD).LearningRate, 10), nil
	})
	if err != nil || flat != 10 {
		t.Errorf("tuned to %v, want 10, after which nothing changes (%v)", flat, err)
	}
}

func TestStepsToAGoal(t *testing.T) {
	r := &policy.Result{Returns: []float64{500, 100, 450, 500, 480}, Ended: []int{10, 20, 30, 40, 50}}
	if got := solved(r, 2, 475); got != 40 {
		t.Errorf("two episodes with mean 475 after %d steps", got)
	}
	if got := solved(r, 1, 475); got != 10 {
		t.Errorf("one after %d", got)
	}
	if got := solved(r, 6, 1); got != -1 {
		t.Errorf("six episodes of five after %d", got)
	}
	if got := reached(r.Returns, 501); got != -1 {
		t.Errorf("501 is reached at %d", got)
	}
	for want, all := range map[string][]float64{"0 of 2": {-1, -2}, "2 of 3: median 7, most 7": {-1, 7, 5}, "3 of 3: median 5, most 7": {1, 7, 5}} {
		if got := stepsTo(all); got != want {
			t.Errorf("%v: %q, want %q", all, got, want)
		}
	}
}

func TestUnknownAndInterrupted(t *testing.T) {
	if _, err := Run(context.Background(), "nothing", Config{}, nil); err == nil {
		t.Error("no error for an unknown study")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, s := range All() {
		if _, err := Run(ctx, s.Name, Config{Quick: true}, nil); err == nil {
			t.Errorf("%s: no error after a cancel", s.Name)
		}
	}
}
