package studies

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

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
