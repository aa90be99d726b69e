package command

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReproduceStudy runs the cheapest study with a learned optimizer beside Adam.
func TestReproduceStudy(t *testing.T) {
	out := t.TempDir()
	a := succeed(t, "reproduce", "maxent", "--quick", "--optimizer", "pretrained:quadratic", "--out", out)
	for _, want := range []string{"Jaynes' die", "-0.371049", "quadratic", "result.json"} {
		if !strings.Contains(a.stdout, want) {
			t.Errorf("no %q in\n%s", want, a.stdout)
		}
	}
	for _, name := range []string{"result.json", "p-6.svg", "p-15.png"} {
		if info, err := os.Stat(filepath.Join(out, "maxent", name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	fail(t, exitUsage, []string{"reproduce", "maxent", "--runs", "3"}, "--runs")
	fail(t, exitUsage, []string{"reproduce", "maxent", "--steps", "3"}, "--steps")
	fail(t, exitUsage, []string{"reproduce", "mnist", "--steps", "3"}, "--steps", "natural-gradient")
	fail(t, exitUsage, []string{"reproduce", "natural-gradient", "--grid", "1"}, "--grid")
	fail(t, exitUsage, []string{"reproduce", "natural-gradient", "--optimizer", "pretrained:mlp"}, "--optimizer")
	fail(t, exitUsage, []string{"reproduce", "natural-gradient", "--rows", "kfak"}, "did you mean", "kfac")
	fail(t, exitUsage, []string{"reproduce", "maxent", "--sizes", "64"}, "--sizes")
	fail(t, exitUsage, []string{"reproduce", "mnist", "--sizes", "64"}, "--sizes")
	if list := succeed(t, "reproduce").stdout; !strings.Contains(list, "sudoku") {
		t.Errorf("the list lacks sudoku:\n%s", list)
	}
}

// TestReproduceNaturalGradient makes one row on the digits, which need no files.
func TestReproduceNaturalGradient(t *testing.T) {
	if testing.Short() {
		t.Skip("renders the digits; not with -short")
	}
	out := t.TempDir()
	a := succeed(t, "reproduce", "natural-gradient", "--data", "digits", "--steps", "3", "--runs", "2", "--rows", "kfac,document-adam", "--out", out)
	for _, want := range []string{"3 steps, 2 instances", "kfac", "adam at 0.001", "94.2 %", "events/kfac"} {
		if !strings.Contains(a.stdout, want) {
			t.Errorf("no %q in\n%s", want, a.stdout)
		}
	}
	if info, err := os.Stat(filepath.Join(out, "natural-gradient", "loss.png")); err != nil || info.Size() == 0 {
		t.Errorf("loss.png: %v", err)
	}
}
