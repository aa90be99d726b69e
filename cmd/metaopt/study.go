package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

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

// study runs a study, prints its tables and writes its files.
func (f *reproduceFlags) study(ctx context.Context, a *app, name string) error {
	dir, err := tasks.DataDir(f.dataDir)
	if err != nil {
		return err
	}
	c := studies.Config{Seed: f.seed, Quick: f.quick, DataDir: dir, Sizes: f.sizes}
	optimizers, err := loadAll(f.optimizers)
	if err != nil {
		return err
	}
	for i, name := range distinctNames(f.optimizers, optimizers, []string{"adam", "nesterov", "trpo"}) {
		c.Rules = append(c.Rules, studies.Rule{Name: name, Rule: optimizers[i].Rule()})
	}
	result, err := studies.Run(ctx, name, c, func(text string) { a.note("%s", text) })
	if errors.Is(err, context.Canceled) {
		return &interruptedError{"interrupted; nothing was written"}
	}
	if err != nil {
		return err
	}
	if err := result.Write(a.stdout, report.Table); err != nil {
		return err
	}
	out := filepath.Join(cmp.Or(f.out, reproduce.DefaultOut()), name)
	files, err := result.Save(out)
	if err != nil {
		return fmt.Errorf("%w with --out", &reproduce.FolderError{Err: err})
	}
	fmt.Fprintf(a.stdout, "\nWritten to %s: %s\n", out, strings.Join(files, ", "))
	return nil
}
