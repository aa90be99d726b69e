package sweep

import (
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"learnedopt/baselines"
	"learnedopt/sweep/results"
	"learnedopt/tasks"
)

// bench/usual.toml holds the cells of the comparison with what people run: every value is a task, every rule is known, and every
// tuning tries at least nine learning rates.
func TestUsualGrid(t *testing.T) {
	keys := []string{"rules", "tune", "grid", "tune-runs", "runs", "reach"}
	file, err := ReadFile(filepath.Join("..", "bench", "usual.toml"), keys)
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string][]string{}
	for _, s := range file.Settings {
		settings[s.Key] = s.Values
	}
	for _, name := range settings["rules"] {
		if err := baselines.CheckName(name); err != nil {
			t.Error(err)
		}
		if grid := baselines.GridFor(name, baselines.GridOf(int(settings["grid"][0][0]-'0'))); len(grid) < 9 && !baselines.Untuned(name) {
			t.Errorf("%s is tuned over %d learning rates", name, len(grid))
		}
	}
	if want := []string{"adam", "nesterov", "nadamw", "schedule-free", "muon", "prodigy"}; !slices.Equal(settings["rules"], want) || settings["runs"][0] < "6" {
		t.Errorf("rules %v on %v instances", settings["rules"], settings["runs"])
	}
	count, cells, canonical := map[string]int{}, 0, map[string]bool{}
	for _, values := range combinations(file.Axes) {
		cells++
		spec, err := tasks.Parse(values[TaskAxis])
		if err != nil {
			t.Fatal(err)
		}
		canonical[values[StepsAxis]+" "+spec.String()] = true
		count[spec.Task()]++
		count[values[StepsAxis]]++
	}
	if cells != 32 || count["mnist"] != 18 || count["cifar10"] != 14 || count["200"] != 16 || count["1000"] != 16 {
		t.Errorf("%d cells: %v", cells, count)
	}
	// The learning rates that stand beside it are those of its cells, with keys by which a sweep finds them.
	tuned, err := results.ReadLines(filepath.Join("..", "bench", "usual-tuning.jsonl"), func(t Tuning) string { return t.Key })
	if err != nil {
		t.Fatal(err)
	}
	for key, line := range tuned {
		if key != keyOf(&line.tuningDefinition) || !canonical[strconv.Itoa(line.Steps)+" "+line.Task] ||
			!slices.Contains(settings["rules"], line.Rule) || strconv.Itoa(line.Grid) != settings["grid"][0] || strconv.Itoa(line.Runs) != settings["tune-runs"][0] {
			t.Errorf("usual-tuning.jsonl: a sweep over usual.toml does not ask for %+v", line)
		}
	}
	if len(tuned)%6 != 0 || len(tuned) < 16*6 {
		t.Errorf("usual-tuning.jsonl has %d learning rates, want those of all rules in whole cells, and at least the cells of 200 steps", len(tuned))
	}
}
