package tasks

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"

	"learnedopt/internal/nearest"
)

// Options are the settings of New, with one value each. Each task reads some of
// them. The zero value of a field means the task's documented default.
type Options struct {
	// Units, Layers and Activation shape classifiers: see ClassifierConfig.
	Units, Layers int
	Activation    string
	// InitScale is the standard deviation of a classifier's initial weights and biases. WeightInit
	// is their distribution. See ClassifierConfig.
	InitScale  float64
	WeightInit string
	// Batch is the size of a minibatch, or the number of functions optimized
	// side by side.
	Batch int
	// Dims is the number of dimensions of one quadratic or Rosenbrock function.
	Dims int
	// Condition is the condition number of quadratics: see Quadratic.
	Condition float64
	// LossScale is the factor on losses, and GradientNoise the standard deviation of the noise
	// that is added to gradients. Every task has them: see Perturbed.
	LossScale, GradientNoise float64
	// DataDir is the folder of data sets in files; "" means the folder that the function DataDir
	// returns. It depends on the machine, so it is not part of a family's name.
	DataDir string
}

// table is the one table of the options of tasks. Flags with their help and completion, axes of
// sweeps, mixtures, canonical names, JSON and errors all follow from it. To add an option, add a
// row here and a field to Options, and use the field in the tasks that read it.
//
// The order of the rows is the order in help texts. It is also the order in which a mixture counts its
// combinations; the last row changes fastest. Two rows that one task reads must therefore not change places:
// the seeds of old files would draw other problems.
var table = []Option{
	{"units", "units of each hidden layer, or a list, of which each instance draws one", 1, of(classifiers, "20"),
		wholeNumber(func(o *Options) *int { return &o.Units })},
	{"layers", "hidden layers, or a list", 2, of(classifiers, "1"), wholeNumber(func(o *Options) *int { return &o.Layers })},
	{"activation", anyOf(Activations()) + ", or a list", 3, of(classifiers, "sigmoid"),
		oneOf(Activations(), func(o *Options) *string { return &o.Activation })},
	{"batch", "size of a minibatch, or functions optimized side by side, or a list", 5, of(classifiers|quadratics|rosenbrocks, "128"),
		wholeNumber(func(o *Options) *int { return &o.Batch })},
	{"init-scale", "standard deviation of the initial weights, or a list", 0, of(classifiers, "0.01"),
		positive(func(o *Options) *float64 { return &o.InitScale })},
	{"weight-init", "distribution of each layer's initial weights, " + anyOf(WeightInits()) + ", or a list", 0, of(classifiers, "normal"),
		oneOf(WeightInits(), func(o *Options) *string { return &o.WeightInit })},
	{"dims", "dimensions of a function, or a list", 4, append(of(quadratics, "10"), of(rosenbrocks, "2")...),
		wholeNumber(func(o *Options) *int { return &o.Dims })},
	{"condition", "condition number of the Hessians, or a list", 0, of(quadratics, asDrawn),
		atLeast(1, func(o *Options) *float64 { return &o.Condition })},
	{"loss-scale", "what losses are multiplied by, as gradients show it, or a list", 0, of(losses, "1"),
		positive(func(o *Options) *float64 { return &o.LossScale })},
	{"gradient-noise", "standard deviation of noise on each coordinate of gradients, or a list", 0, of(losses, "0"),
		atLeast(0, func(o *Options) *float64 { return &o.GradientNoise })},
}

// asDrawn is the text in help for a default that is none of the option's values.
const asDrawn = "as drawn"

// An Option is a row of the table of the options of tasks.
type Option struct {
	// Key is the option's name. The option "init-scale" has the flag --init-scale and stands in canonical
	// names as init-scale=0.1.
	Key string

	help string
	// place is the option's position in canonical names, from 1; such options are always named. 0 means that the
	// option comes after them, in the order of the table, and is named only if its value is not the default.
	place    int
	defaults []defaultOf
	kind
}

// OptionTable returns the options of all tasks, in the order of help.
func OptionTable() []Option { return slices.Clone(table) }

// Parse returns a value in canonical text, for example "0.1" for "1e-1". Its error says what
// values are valid and does not name the option.
func (o Option) Parse(text string) (string, error) { return o.parse(text) }

// Values returns all values that the option can have, nil if its values are numbers.
func (o Option) Values() []string { return slices.Clone(o.names) }

// Placeholder returns the word for a value in help texts: "N", "F" or "NAME".
func (o Option) Placeholder() string { return o.placeholder }

// Usage returns one line that says which tasks read the option, what it is, and its default.
func (o Option) Usage() string {
	var readers, defaults []string
	all := kindOfTask(0)
	for _, d := range o.defaults {
		all |= d.of
		defaults = append(defaults, d.value)
		for _, k := range taskKinds {
			if d.of&k.bit != 0 {
				readers = append(readers, k.name)
			}
		}
	}
	usage := fmt.Sprintf("%s (%s unless set)", o.help, strings.Join(defaults, ", "))
	if all&losses != 0 || len(readers) == len(taskKinds) {
		return usage
	}
	return strings.Join(readers, ", ") + ": " + usage
}

// A kindOfTask is a set of kinds of tasks, one a bit. Tasks of one kind read the same options.
type kindOfTask uint8

const (
	classifiers kindOfTask = 1 << iota
	quadratics
	rosenbrocks
	losses // every task
)

var taskKinds = []struct {
	bit  kindOfTask
	name string
}{{classifiers, "classifiers"}, {quadratics, "quadratics"}, {rosenbrocks, "Rosenbrock"}}

// A defaultOf says that tasks of some kinds read an option, and what its default is there.
type defaultOf struct {
	of    kindOfTask
	value string
}

func of(kinds kindOfTask, value string) []defaultOf { return []defaultOf{{kinds, value}} }

// readBy reports whether tasks of some kinds read the option, and returns its default for them: "" if the
// default is none of the option's values.
func (o Option) readBy(kinds kindOfTask) (value string, reads bool) {
	for _, d := range o.defaults {
		if d.of&kinds == 0 {
			continue
		}
		if d.value == asDrawn {
			return "", true
		}
		return d.value, true
	}
	return "", false
}

// A kind describes the values of an option as canonical text, and accesses its field in Options.
type kind struct {
	placeholder string
	names       []string // nil for numbers
	parse       func(text string) (string, error)
	get         func(o *Options) string // returns "" for the field's zero value
	set         func(o *Options, value string)
}

// number reports whether the values are numbers rather than names.
func (k kind) number() bool { return k.names == nil }

// wholeNumber is the kind of whole numbers of at least 1.
func wholeNumber(field func(o *Options) *int) kind {
	return kind{
		placeholder: "N",
		parse: func(text string) (string, error) {
			n, err := strconv.Atoi(text)
			if err != nil || n < 1 {
				return "", errors.New("it must be a whole number of at least 1")
			}
			return strconv.Itoa(n), nil
		},
		get: func(o *Options) string {
			if n := *field(o); n != 0 {
				return strconv.Itoa(n)
			}
			return ""
		},
		set: func(o *Options, value string) { *field(o), _ = strconv.Atoi(value) }, // cannot fail: the value was parsed before
	}
}

// positive is the kind of finite numbers above 0.
func positive(field func(o *Options) *float64) kind {
	return float(math.SmallestNonzeroFloat64, "it must be a positive number", field)
}

// atLeast is the kind of finite numbers that are at least a bound.
func atLeast(bound float64, field func(o *Options) *float64) kind {
	return float(bound, fmt.Sprintf("it must be a number of at least %v", bound), field)
}

func float(bound float64, rule string, field func(o *Options) *float64) kind {
	return kind{
		placeholder: "F",
		parse: func(text string) (string, error) {
			x, err := strconv.ParseFloat(text, 64)
			if err != nil || !(x >= bound) || math.IsInf(x, 0) {
				return "", errors.New(rule)
			}
			return formatScale(x + 0), nil // x + 0 turns -0 into 0
		},
		get: func(o *Options) string {
			if x := *field(o); x != 0 {
				return formatScale(x)
			}
			return ""
		},
		set: func(o *Options, value string) { *field(o), _ = strconv.ParseFloat(value, 64) }, // cannot fail: the value was parsed before
	}
}

// compareNumbers orders the values of a kind of numbers.
func compareNumbers(a, b string) int {
	x, _ := strconv.ParseFloat(a, 64)
	y, _ := strconv.ParseFloat(b, 64)
	return cmp.Compare(x, y)
}

// oneOf is the kind of values that are one of some names.
func oneOf(names []string, field func(o *Options) *string) kind {
	return kind{
		placeholder: "NAME",
		names:       names,
		parse: func(text string) (string, error) {
			if slices.Contains(names, text) {
				return text, nil
			}
			return "", fmt.Errorf("it must be %s; did you mean %q?", anyOf(names), nearest.Name(text, names))
		},
		get: func(o *Options) string { return *field(o) },
		set: func(o *Options, value string) { *field(o) = value },
	}
}

// naming holds the indices of the table's rows in the order of canonical names.
var naming = func() []int {
	var rows []int
	for i := range table {
		rows = append(rows, i)
	}
	last := len(table) + 1
	slices.SortStableFunc(rows, func(i, j int) int {
		return cmp.Compare(cmp.Or(table[i].place, last), cmp.Or(table[j].place, last))
	})
	return rows
}()

// lists holds the values of every option in the order of the table, nil for an option that is not set.
type lists [][]string

// lists returns the options that are set, each as a list of one value.
func (o Options) lists() lists {
	all := make(lists, len(table))
	for i, row := range table {
		if value := row.get(&o); value != "" {
			all[i] = []string{value}
		}
	}
	return all
}

// withDefaults returns the options with defaults for those that tasks of some kinds read and that are not set.
func (o Options) withDefaults(kinds kindOfTask) Options {
	for _, row := range table {
		if value, reads := row.readBy(kinds); reads && value != "" && row.get(&o) == "" {
			row.set(&o, value)
		}
	}
	return o
}

// validateNames returns an error if an option has a value that is none of its names.
func (o Options) validateNames() error {
	for _, row := range table {
		if value := row.get(&o); !row.number() && value != "" && !slices.Contains(row.names, value) {
			return fmt.Errorf("tasks: %s %q is none of %s", row.Key, value, strings.Join(row.names, ", "))
		}
	}
	return nil
}

// named yields the options in the canonical names of tasks of some kinds, in the order of the names.
func (l lists) named(kinds kindOfTask) iter.Seq2[string, []string] {
	return func(yield func(string, []string) bool) {
		for _, i := range naming {
			row, values := table[i], l[i]
			fallback, reads := row.readBy(kinds)
			if values == nil && reads && fallback != "" {
				values = []string{fallback}
			}
			if values == nil || row.place == 0 && reads && slices.Equal(values, []string{fallback}) {
				continue
			}
			if !yield(row.Key, values) {
				return
			}
		}
	}
}

// words returns a canonical name: its first word and then the options that it names.
func (l lists) words(name string, kinds kindOfTask) string {
	for key, values := range l.named(kinds) {
		name += " " + key + "=" + strings.Join(values, ",")
	}
	return name
}

// An OptionError says that the task does not read an option that is set.
type OptionError struct {
	// Option is the key of the option, Task the name of the task.
	Option, Task string
	// Options are the keys of the options that the task reads.
	Options []string
}

// Error implements error.
func (e *OptionError) Error() string {
	return fmt.Sprintf("tasks: %s does not apply to the task %s; its options are %s", e.Option, e.Task, strings.Join(e.Options, ", "))
}

// optionOf returns the index of an option's row in the table.
func optionOf(key string) (int, error) {
	i := slices.IndexFunc(table, func(o Option) bool { return o.Key == key })
	if i < 0 {
		keys := optionKeys()
		return 0, fmt.Errorf("tasks: no option %q, did you mean %q? The options are %s", key, nearest.Name(key, keys), strings.Join(keys, ", "))
	}
	return i, nil
}

func optionKeys() []string {
	var keys []string
	for _, row := range table {
		keys = append(keys, row.Key)
	}
	return keys
}

// anyOf returns the names as "a, b or c".
func anyOf(names []string) string {
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

func formatScale(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
