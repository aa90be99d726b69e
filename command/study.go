package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"learnedopt/internal/nearest"
	"learnedopt/report"
	"learnedopt/reproduce"
	"learnedopt/studies"
	"learnedopt/tasks"
)

func studyNames() []string {
	var names []string
	for _, s := range studies.All() {
		names = append(names, s.Name)
	}
	return names
}

// trainingNames returns the names of the studies that --runs, --steps, --data and --rows are for.
func trainingNames() []string {
	var names []string
	for _, s := range studies.All() {
		if s.Trains {
			names = append(names, s.Name)
		}
	}
	return names
}

// checkStudy returns an error about flags that are not for a study.
func (f *reproduceFlags) checkStudy(name string, set func(flag string) bool) error {
	wrong := []string{"tune-runs", "grid", "fresh"}
	if name != sizedStudy {
		wrong = append(wrong, "sizes")
	}
	if slices.Contains(trainingNames(), name) {
		wrong = append(wrong, "optimizer")
	} else {
		wrong = append(wrong, "runs", "steps", "data", "rows")
	}
	for _, flag := range wrong {
		if set(flag) {
			return usagef("--%s is not for the study %s", flag, name)
		}
	}
	for _, row := range f.rows {
		if names := studies.RowNames(); !slices.Contains(names, row) {
			return usagef("--rows: there is no row %q%s There are %s", row, nearest.DidYouMean(row, names), strings.Join(names, ", "))
		}
	}
	return nil
}

// study runs a study, prints its tables and writes its files.
func (f *reproduceFlags) study(ctx context.Context, a *app, name string, runs int) error {
	dir, err := tasks.DataDir(f.dataDir)
	if err != nil {
		return err
	}
	out := filepath.Join(cmp.Or(f.out, reproduce.DefaultOut()), name)
	c := studies.Config{Seed: f.seed, Quick: f.quick, DataDir: dir, Steps: f.steps, Runs: runs, Data: f.data, Rows: f.rows, Dir: out, Sizes: f.sizes}
	optimizers, err := loadAll(f.optimizers)
	if err != nil {
		return err
	}
	for i, name := range distinctNames(f.optimizers, optimizers, []string{"adam", "nesterov", "trpo"}) {
		c.Rules = append(c.Rules, studies.Rule{Name: name, Rule: optimizers[i].Rule()})
	}
	result, err := studies.Run(ctx, name, c, func(text string) { a.note("%s", text) })
	if errors.Is(err, context.Canceled) {
		return &interruptedError{"interrupted; no result was written"}
	}
	if err != nil {
		return taskError(err)
	}
	if err := result.Write(a.stdout, report.Table); err != nil {
		return err
	}
	files, err := result.Save(out)
	if err != nil {
		return fmt.Errorf("%w with --out", &reproduce.FolderError{Err: err})
	}
	fmt.Fprintf(a.stdout, "\nWritten to %s: %s\n", out, strings.Join(files, ", "))
	return nil
}
