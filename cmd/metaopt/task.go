package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"learnedopt/optimizer"
	"learnedopt/tasks"
)

// taskFlags are a task's name and options as flags. Options that are not set
// stay zero.
type taskFlags struct {
	name    string
	options tasks.Options
}

// add adds the flags to cmd; name is the default task.
func (t *taskFlags) add(cmd *cobra.Command, name, usage string) {
	t.name = name
	fs, o := cmd.Flags(), &t.options
	fs.Var(text{&t.name, "NAME"}, "task", usage+": "+oneOf(tasks.Names()))
	fs.Var(count{&o.Units, 1}, "units", "classifiers: units of each hidden layer (20 unless set)")
	fs.Var(count{&o.Layers, 1}, "layers", "classifiers: hidden layers (1 unless set)")
	activations := []string{"sigmoid", "relu", "tanh", "elu"}
	fs.Var(choice{&o.Activation, activations}, "activation", "classifiers: "+oneOf(activations)+" (sigmoid unless set)")
	fs.Var(count{&o.Batch, 1}, "batch", "size of a minibatch, or functions optimized side by side (128 unless set)")
	fs.Var(count{&o.Dims, 1}, "dims", "quadratics, Rosenbrock: dimensions of a function (10, 2 unless set)")
	fs.Var(text{&o.DataDir, "DIR"}, "data-dir", "folder of the data sets; else $"+tasks.DataDirEnv+", else the user's cache folder")
	complete(cmd, "task", tasks.Names()...)
	complete(cmd, "activation", activations...)
}

// family returns the task that the flags name.
func (t *taskFlags) family() (optimizer.Family, error) { return newFamily(t.name, t.options) }

// familyOf returns the task whose canonical name a file carries, with the
// options that are set in place of the file's. It must be a task of this program, exactly.
func (t *taskFlags) familyOf(canonical string) (optimizer.Family, error) {
	name, o, err := parseTask(canonical)
	if err != nil {
		return nil, err
	}
	o.DataDir = t.options.DataDir
	family, err := newFamily(name, o)
	if err != nil {
		return nil, err
	}
	if family.Name() != canonical {
		return nil, usagef("the task %q is not the %q that this program knows", canonical, family.Name())
	}
	return newFamily(name, overlay(o, t.options))
}

// overlay returns o with the options that are set in over.
func overlay(o, over tasks.Options) tasks.Options {
	for _, field := range []struct{ to, from *int }{
		{&o.Units, &over.Units}, {&o.Layers, &over.Layers}, {&o.Batch, &over.Batch}, {&o.Dims, &over.Dims},
	} {
		if *field.from != 0 {
			*field.to = *field.from
		}
	}
	if over.Activation != "" {
		o.Activation = over.Activation
	}
	return o
}

// parseTask is the inverse of a family's name: "mnist units=20 … batch=128".
func parseTask(canonical string) (name string, o tasks.Options, err error) {
	words := strings.Fields(canonical)
	if len(words) == 0 {
		return "", o, usagef("no task is named")
	}
	ints := map[string]*int{"units": &o.Units, "layers": &o.Layers, "batch": &o.Batch, "dims": &o.Dims}
	for _, word := range words[1:] {
		key, value, _ := strings.Cut(word, "=")
		switch {
		case key == "activation":
			o.Activation = value
		case ints[key] != nil:
			if *ints[key], err = strconv.Atoi(value); err != nil {
				return "", o, usagef("the task %q has no readable %s", canonical, key)
			}
		default:
			return "", o, usagef("%q is not a task of this program", canonical)
		}
	}
	return words[0], o, nil
}

// taskArgs is a family's canonical name as flags: "--task mnist --units 20 …".
func taskArgs(canonical string) []string {
	words := strings.Fields(canonical)
	args := []string{"--task", words[0]}
	for _, word := range words[1:] {
		key, value, _ := strings.Cut(word, "=")
		args = append(args, "--"+key, value)
	}
	return args
}

// optionFlags are the names of tasks.Options as flags.
var optionFlags = strings.NewReplacer("Units", "--units", "Layers", "--layers", "Activation", "--activation",
	"Batch", "--batch", "Dims", "--dims", "DataDir", "--data-dir")

// newFamily is tasks.New, with errors that speak of flags. Missing or broken
// data are a failure, all else is the command line's fault.
func newFamily(name string, o tasks.Options) (optimizer.Family, error) {
	family, err := tasks.New(name, o)
	if err == nil {
		return family, nil
	}
	var (
		format *tasks.FormatError
		path   *fs.PathError
	)
	if errors.Is(err, fs.ErrNotExist) || errors.As(err, &format) || errors.As(err, &path) {
		return nil, err
	}
	if strings.Contains(err.Error(), "does not apply") {
		err = fmt.Errorf("%s", optionFlags.Replace(err.Error()))
	}
	return nil, asUsage(err)
}
