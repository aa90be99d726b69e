package command

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"learnedopt/tasks"
	"learnedopt/tasks/fetch"
)

func newData(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "data",
		Short: "Data sets of the tasks",
		Example: `  metaopt data fetch mnist
  metaopt data fetch fashion-mnist --data-dir data`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return usagef("%s needs a command; to download a data set: metaopt data fetch mnist", cmd.CommandPath())
		},
		RunE: func(*cobra.Command, []string) error { return nil }, // never called: Args always returns an error
	}
	cmd.AddCommand(newFetch(a))
	return cmd
}

func newFetch(a *app) *cobra.Command {
	var (
		dir   string
		quiet bool
	)
	cmd := &cobra.Command{
		Use:   "fetch NAME",
		Short: "Download a data set: " + oneOf(fetch.Names()),
		Long: `Download a data set into a folder of its name: from several mirrors, continued where
it broke off, and checked before it is put in place. Files that are there already and
right are left alone.`,
		Example: `  metaopt data fetch mnist
  metaopt data fetch cifar10 --data-dir data`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("%s needs the name of one data set: %s", cmd.CommandPath(), oneOf(fetch.Names()))
			}
			_, err := fetch.Lookup(args[0])
			return asUsage(err)
		},
		ValidArgs: fetch.Names(),
		RunE: func(cmd *cobra.Command, args []string) error {
			a.quiet = quiet
			dir, err := tasks.DataDir(dir)
			if err != nil {
				return err
			}
			return fetchData(cmd.Context(), a, args[0], dir)
		},
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.Var(textFlag{&dir, "DIR"}, "data-dir", "folder of the data sets; else $"+tasks.DataDirEnv+", else the user's cache folder")
	fs.BoolVarP(&quiet, "quiet", "q", false, "no progress")
	return cmd
}

func fetchData(ctx context.Context, a *app, name, dir string) error {
	d, err := fetch.Lookup(name)
	if err != nil {
		return asUsage(err)
	}
	var total, before, last int64
	for _, f := range d.Files {
		total += f.Size
	}
	folder := filepath.Join(dir, d.Name)
	a.note("fetching %s into %s", d.Name, folder)
	m := a.bytes(total, d.Name)
	file := ""
	fetcher := fetch.Fetcher{Progress: func(name string, done, size int64) {
		if name != file {
			file, before = name, before+last
			m.describe(d.Name + ": " + name)
		}
		last = done
		m.set(before + done)
	}}
	err = fetcher.Fetch(ctx, dir, d)
	m.close()
	switch {
	case err == nil:
		fmt.Fprintf(a.stdout, "%s is in %s\n", d.Name, folder)
		return nil
	case errors.Is(err, context.Canceled):
		return &interruptedError{"interrupted; run the same command again to continue the download"}
	}
	return err
}
