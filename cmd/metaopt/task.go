package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"learnedopt/optimizer"
	"learnedopt/tasks"
)

// taskFlags are a task's name and options as flags. Options that are not set
// stay empty.
type taskFlags struct {
	name    string
	choices tasks.Choices
}

// add adds the flags to cmd; name is the default task.
func (t *taskFlags) add(cmd *cobra.Command, name, usage string) {
	t.name = name
	fs, c := cmd.Flags(), &t.choices
	fs.Var(text{&t.name, "NAME"}, "task", usage+": "+oneOf(tasks.Names()))
	fs.Var(list[int]{&c.Units, positive}, "units", "classifiers: units of each hidden layer (20 unless set); of a list each instance draws one")
	fs.Var(list[int]{&c.Layers, positive}, "layers", "classifiers: hidden layers, or a list (1 unless set)")
	fs.Var(list[string]{&c.Activation, activation}, "activation", "classifiers: "+oneOf(tasks.Activations())+", or a list (sigmoid unless set)")
	fs.Var(list[float64]{&c.InitScale, scale}, "init-scale", "classifiers: standard deviation of the initial weights, or a list (0.01 unless set)")
	fs.Var(list[int]{&c.Batch, positive}, "batch", "size of a minibatch, or functions optimized side by side, or a list (128 unless set)")
	fs.Var(list[int]{&c.Dims, positive}, "dims", "quadratics, Rosenbrock: dimensions of a function, or a list (10, 2 unless set)")
	fs.Var(list[float64]{&c.Condition, scale}, "condition", "quadratics: condition number of the Hessians, or a list (as drawn unless set)")
	fs.Var(list[float64]{&c.LossScale, scale}, "loss-scale", "what losses are multiplied by, as gradients show it, or a list (1 unless set)")
	fs.Var(list[float64]{&c.GradientNoise, noise}, "gradient-noise", "standard deviation of noise on each coordinate of gradients, or a list (0 unless set)")
	fs.Var(text{&c.DataDir, "DIR"}, "data-dir", "folder of the data sets; else $"+tasks.DataDirEnv+", else the user's cache folder")
	complete(cmd, "task", tasks.Names()...)
	complete(cmd, "activation", tasks.Activations()...)
}

// A list is a flag of one value or several, joined by commas: a mixture.
type list[T any] struct {
	p     *[]T
	parse func(string) (T, error)
}

func (l list[T]) String() string {
	if l.p == nil {
		return ""
	}
	var words []string
	for _, v := range *l.p {
		words = append(words, fmt.Sprint(v))
	}
	return strings.Join(words, ",")
}

func (l list[T]) Set(s string) error {
	var values []T
	for word := range strings.SplitSeq(s, ",") {
		v, err := l.parse(word)
		if err != nil {
			return err
		}
		values = append(values, v)
	}
	*l.p = values
	return nil
}

func (l list[T]) Type() string {
	switch any(*new(T)).(type) {
	case int:
		return "N[,N]"
	case float64:
		return "F[,F]"
	}
	return "NAME[,NAME]"
}

func positive(s string) (n int, err error) {
	err = count{&n, 1}.Set(s)
	return n, err
}

func scale(s string) (x float64, err error) {
	err = factor{&x, false}.Set(s)
	return x, err
}

func noise(s string) (x float64, err error) {
	if x, err = strconv.ParseFloat(s, 64); err != nil || !(x >= 0) || math.IsInf(x, 0) {
		err = fmt.Errorf("it must be a number of at least 0")
	}
	return x, err
}

func activation(s string) (name string, err error) {
	err = choice{&name, tasks.Activations()}.Set(s)
	return name, err
}

// family returns the task that the flags name.
func (t *taskFlags) family() (optimizer.Family, error) { return newFamily(t.name, t.choices) }

// familyOf returns the task whose canonical name a file carries, with the
// options that are set in place of the file's. It must be a task of this program, exactly.
func (t *taskFlags) familyOf(canonical string) (optimizer.Family, error) {
	name, c, err := parseTask(canonical)
	if err != nil {
		return nil, err
	}
	c.DataDir = t.choices.DataDir
	family, err := newFamily(name, c)
	if err != nil {
		return nil, err
	}
	if family.Name() != canonical {
		return nil, usagef("the task %q is not the %q that this program knows", canonical, family.Name())
	}
	return newFamily(name, overlay(c, t.choices))
}

// overlay returns c with the options that are set in over.
func overlay(c, over tasks.Choices) tasks.Choices {
	for _, field := range []struct{ to, from *[]int }{
		{&c.Units, &over.Units}, {&c.Layers, &over.Layers}, {&c.Batch, &over.Batch}, {&c.Dims, &over.Dims},
	} {
		if len(*field.from) > 0 {
			*field.to = *field.from
		}
	}
	if len(over.Activation) > 0 {
		c.Activation = over.Activation
	}
	for _, field := range []struct{ to, from *[]float64 }{
		{&c.InitScale, &over.InitScale}, {&c.Condition, &over.Condition}, {&c.LossScale, &over.LossScale}, {&c.GradientNoise, &over.GradientNoise},
	} {
		if len(*field.from) > 0 {
			*field.to = *field.from
		}
	}
	return c
}

// parseTask is the inverse of a family's name: "mnist units=10,20 … batch=128".
func parseTask(canonical string) (name string, c tasks.Choices, err error) {
	words := strings.Fields(canonical)
	if len(words) == 0 {
		return "", c, usagef("no task is named")
	}
	lists := map[string]pflag.Value{
		"units": list[int]{&c.Units, positive}, "layers": list[int]{&c.Layers, positive},
		"activation": list[string]{&c.Activation, activation}, "init-scale": list[float64]{&c.InitScale, scale},
		"batch": list[int]{&c.Batch, positive}, "dims": list[int]{&c.Dims, positive},
		"condition": list[float64]{&c.Condition, scale}, "loss-scale": list[float64]{&c.LossScale, scale},
		"gradient-noise": list[float64]{&c.GradientNoise, noise},
	}
	for _, word := range words[1:] {
		key, value, _ := strings.Cut(word, "=")
		if lists[key] == nil {
			return "", c, usagef("%q is not a task of this program", canonical)
		}
		if lists[key].Set(value) != nil {
			return "", c, usagef("the task %q has no readable %s", canonical, key)
		}
	}
	return words[0], c, nil
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
	"InitScale", "--init-scale", "Batch", "--batch", "Dims", "--dims",
	"Condition", "--condition", "LossScale", "--loss-scale", "GradientNoise", "--gradient-noise", "DataDir", "--data-dir")

// newFamily is tasks.NewOf, with errors that speak of flags. Missing or broken
// data are a failure, all else is the command line's fault.
func newFamily(name string, c tasks.Choices) (optimizer.Family, error) {
	family, err := tasks.NewOf(name, c)
	return family, taskError(err)
}

// taskError is an error of package tasks as the command line's.
func taskError(err error) error {
	if err == nil {
		return nil
	}
	var (
		format *tasks.FormatError
		path   *fs.PathError
	)
	if errors.Is(err, fs.ErrNotExist) || errors.As(err, &format) || errors.As(err, &path) {
		return err
	}
	if strings.Contains(err.Error(), "does not apply") {
		err = fmt.Errorf("%s", optionFlags.Replace(err.Error()))
	}
	return asUsage(err)
}
