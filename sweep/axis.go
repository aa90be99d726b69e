package sweep

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"learnedopt/internal/nearest"
	"learnedopt/tasks"
)

// DataAxis is the axis that is the task itself, by its name: the data set of classifiers. It and StepsAxis are no
// options of a task.
const DataAxis = "data"

// An axisKind is what an axis' values are and what they do to a cell's task.
type axisKind struct {
	key   string
	parse func(text string) (canonical string, err error)
	set   func(c *tasks.Choices, value string) // nil where it is no option of tasks
}

func axisKinds() []axisKind {
	ints := func(key string, field func(c *tasks.Choices) *[]int) axisKind {
		return axisKind{key, whole, func(c *tasks.Choices, value string) {
			n, _ := strconv.Atoi(value)
			*field(c) = []int{n}
		}}
	}
	floats := func(key string, from float64, field func(c *tasks.Choices) *[]float64) axisKind {
		return axisKind{key, number(from), func(c *tasks.Choices, value string) {
			x, _ := strconv.ParseFloat(value, 64)
			*field(c) = []float64{x}
		}}
	}
	return []axisKind{
		{DataAxis, oneOf(tasks.Names()), nil},
		ints("units", func(c *tasks.Choices) *[]int { return &c.Units }),
		ints("layers", func(c *tasks.Choices) *[]int { return &c.Layers }),
		{"activation", oneOf(tasks.Activations()), func(c *tasks.Choices, value string) { c.Activation = []string{value} }},
		ints("batch", func(c *tasks.Choices) *[]int { return &c.Batch }),
		floats("init-scale", math.SmallestNonzeroFloat64, func(c *tasks.Choices) *[]float64 { return &c.InitScale }),
		{StepsAxis, whole, nil},
		ints("dims", func(c *tasks.Choices) *[]int { return &c.Dims }),
		floats("condition", 1, func(c *tasks.Choices) *[]float64 { return &c.Condition }),
		floats("loss-scale", math.SmallestNonzeroFloat64, func(c *tasks.Choices) *[]float64 { return &c.LossScale }),
		floats("gradient-noise", 0, func(c *tasks.Choices) *[]float64 { return &c.GradientNoise }),
	}
}

// AxisKeys returns the keys of all axes.
func AxisKeys() []string {
	var keys []string
	for _, k := range axisKinds() {
		keys = append(keys, k.key)
	}
	return keys
}

// NewAxis checks an axis and returns it with its values in canonical text. An unknown key or
// value is an error that names the nearest one.
func NewAxis(key string, values []string) (Axis, error) {
	kind, err := kindOf(key)
	if err != nil {
		return Axis{}, err
	}
	a := Axis{Key: key}
	for _, text := range values {
		value, err := kind.parse(text)
		if err != nil {
			return Axis{}, fmt.Errorf("sweep: axis %s: %q: %w", key, text, err)
		}
		if slices.Contains(a.Values, value) {
			return Axis{}, fmt.Errorf("sweep: axis %s has the value %s twice; name it once", key, value)
		}
		a.Values = append(a.Values, value)
	}
	if len(a.Values) == 0 {
		return Axis{}, fmt.Errorf("sweep: axis %s has no value; name one at least", key)
	}
	return a, nil
}

// ParseAxis is NewAxis of "KEY=V,V…".
func ParseAxis(text string) (Axis, error) {
	key, values, ok := strings.Cut(text, "=")
	if !ok || values == "" {
		if _, err := kindOf(key); err != nil {
			return Axis{}, err
		}
		return Axis{}, fmt.Errorf("sweep: axis %q has no values; write KEY=V,V as in units=5,10,20", text)
	}
	return NewAxis(key, strings.Split(values, ","))
}

func kindOf(key string) (axisKind, error) {
	kinds := axisKinds()
	i := slices.IndexFunc(kinds, func(k axisKind) bool { return k.key == key })
	if i < 0 {
		keys := AxisKeys()
		return axisKind{}, fmt.Errorf("sweep: no axis %q, did you mean %q? The axes are %s", key, nearest.Name(key, keys), strings.Join(keys, ", "))
	}
	return kinds[i], nil
}

func whole(text string) (string, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return "", fmt.Errorf("it must be a whole number of at least 1")
	}
	return strconv.Itoa(n), nil
}

// number returns the parser of finite numbers of at least from.
func number(from float64) func(string) (string, error) {
	return func(text string) (string, error) {
		x, err := strconv.ParseFloat(text, 64)
		if err == nil && x >= from && !math.IsInf(x, 0) {
			return strconv.FormatFloat(x+0, 'g', -1, 64), nil // +0: and not -0
		}
		if from == math.SmallestNonzeroFloat64 {
			return "", fmt.Errorf("it must be a positive number")
		}
		return "", fmt.Errorf("it must be a number of at least %v", from)
	}
}

func oneOf(names []string) func(string) (string, error) {
	return func(text string) (string, error) {
		if slices.Contains(names, text) {
			return text, nil
		}
		return "", fmt.Errorf("there is no such value, did you mean %q? There are %s", nearest.Name(text, names), strings.Join(names, ", "))
	}
}
