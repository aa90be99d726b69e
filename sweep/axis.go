package sweep

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"learnedopt/internal/nearest"
	"learnedopt/sweep/results"
	"learnedopt/tasks"
)

// DataAxis is the key of the axis whose values are names of tasks; for classifiers the task names the data set. TaskAxis is
// the key of the axis whose values are tasks with all their options, as "mnist units=64 batch=32": they take the place of
// the base task, and other axes change them. These two and StepsAxis are not options of a task.
const (
	DataAxis = "data"
	TaskAxis = results.TaskAxis
)

// AxisKeys returns the keys of all axes: TaskAxis, DataAxis and StepsAxis, then every option of a task.
func AxisKeys() []string {
	keys := []string{TaskAxis, DataAxis, StepsAxis}
	for _, o := range tasks.OptionTable() {
		keys = append(keys, o.Key)
	}
	return keys
}

// parserOf returns the function that turns a value of an axis into canonical text.
func parserOf(key string) (func(text string) (string, error), error) {
	switch key {
	case TaskAxis:
		return wholeTask, nil
	case DataAxis:
		return taskName, nil
	case StepsAxis:
		return steps, nil
	}
	options := tasks.OptionTable()
	i := slices.IndexFunc(options, func(o tasks.Option) bool { return o.Key == key })
	if i < 0 {
		keys := AxisKeys()
		return nil, fmt.Errorf("sweep: no axis %q%s The axes are %s", key, nearest.DidYouMean(key, keys), strings.Join(keys, ", "))
	}
	return options[i].Parse, nil
}

// apply sets one value of an axis in a cell's task or horizon.
func apply(a Axis, task *tasks.Spec, horizon *int, value string) (err error) {
	switch a.Key {
	case TaskAxis:
		*task, err = tasks.Parse(value)
	case DataAxis:
		*task, err = task.WithTask(value)
	case StepsAxis:
		*horizon, err = strconv.Atoi(value)
	default:
		*task, err = task.With(a.Key, value)
	}
	return err
}

// NewAxis checks an axis and returns it with its values in canonical text. An unknown key or
// value is an error that names the nearest known one.
func NewAxis(key string, values []string) (Axis, error) {
	parse, err := parserOf(key)
	if err != nil {
		return Axis{}, err
	}
	a := Axis{Key: key}
	for _, text := range values {
		value, err := parse(text)
		if err != nil {
			return Axis{}, fmt.Errorf("sweep: axis %s: %q: %w", key, text, err)
		}
		if slices.Contains(a.Values, value) {
			return Axis{}, fmt.Errorf("sweep: axis %s has the value %s twice; name it once", key, value)
		}
		a.Values = append(a.Values, value)
	}
	if len(a.Values) == 0 {
		return Axis{}, fmt.Errorf("sweep: axis %s has no value; give it at least one", key)
	}
	return a, nil
}

// ParseAxis reads an axis from text of the form "KEY=V,V…" and checks it as NewAxis does.
func ParseAxis(text string) (Axis, error) {
	key, values, ok := strings.Cut(text, "=")
	if !ok || values == "" {
		if _, err := parserOf(key); err != nil {
			return Axis{}, err
		}
		return Axis{}, fmt.Errorf("sweep: axis %q has no values; write KEY=V,V as in units=5,10,20", text)
	}
	return NewAxis(key, strings.Split(values, ","))
}

func steps(text string) (string, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return "", errors.New("it must be a whole number of at least 1")
	}
	return strconv.Itoa(n), nil
}

func wholeTask(text string) (string, error) {
	spec, err := tasks.Parse(text)
	return spec.String(), err
}

func taskName(text string) (string, error) {
	names := tasks.Names()
	if slices.Contains(names, text) {
		return text, nil
	}
	return "", fmt.Errorf("there is no such value%s There are %s", nearest.DidYouMean(text, names), strings.Join(names, ", "))
}
