package tasks

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"learnedopt/internal/nearest"
)

// Options are the settings of New, with one value each. Each task reads some of
// them. The zero value of a field means the task's documented default.
type Options struct {
	// Units, Layers and Activation shape classifiers: see ClassifierConfig. Units also shapes recurrent networks: see CharRNNConfig.
	Units, Layers int
	Activation    string
	// Channels are the output channels of the layers of a convolutional classifier, as "8-16"; "" means a multilayer
	// perceptron. See ClassifierConfig.
	Channels string
	// InitScale is the standard deviation of a network's initial weights and biases. WeightInit
	// is their distribution. See ClassifierConfig and CharRNNConfig.
	InitScale  float64
	WeightInit string
	// ImageSize is the side in pixels to which images are averaged down; 0 means the data's own size. See
	// Dataset.Resized.
	ImageSize int
	// Target and Columns say how a table is read: see TableConfig. Columns is "standard" or "raw"; "" means "standard".
	Target, Columns string
	// LabelNoise is the probability that an example's label is replaced by another class. See ClassifierConfig.
	LabelNoise float64
	// Examples is the number of training examples of one problem; 0 means all. See ClassifierConfig.
	Examples int
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

	// numbers are the values of Number as "length=1 mass=2.5", in the order of keys.
	numbers string
}

// table is the one table of the options of tasks. Flags with their help and completion, axes of
// sweeps, mixtures, canonical names, JSON and errors all follow from it. To add an option, add a
// row here and a field to Options, and use the field in the tasks that read it.
//
// The order of the rows is the order in help texts. It is also the order in which a mixture counts its
// combinations; the last row changes fastest. Two rows that one task reads must therefore not change places:
// the seeds of old files would draw other problems.
var table = []Option{
	{"units", "units of each hidden layer, or a list, of which each instance draws one", 1, of(perceptrons|textTasks, "20"),
		wholeNumber(func(o *Options) *int { return &o.Units })},
	{"layers", "hidden layers, 0 for a linear model, or a list", 2, of(perceptrons, "1"),
		numberOrNone(func(o *Options) *int { return &o.Layers })},
	{channelsKey, "channels of convolutional layers in place of hidden layers, as 8-16, or a list", 0, of(imageTasks, noChannels),
		channelNumbers(func(o *Options) *string { return &o.Channels })},
	{"activation", anyOf(Activations()) + ", or a list", 3, append(of(networks, "sigmoid"), of(sinusoids, "tanh")...),
		oneOf(Activations(), func(o *Options) *string { return &o.Activation })},
	{"batch", "size of a minibatch, or functions optimized side by side, or a list", 5,
		append(of(everything&^(layerTasks|chains), "128"), defaultOf{layerTasks&^signals | chains, "32"}, defaultOf{signals, "8"}),
		wholeNumber(func(o *Options) *int { return &o.Batch })},
	{"init-scale", "standard deviation of the initial weights, or a list", 0, of(networks|textTasks|sinusoids, "0.01"),
		positive(func(o *Options) *float64 { return &o.InitScale })},
	{"weight-init", "distribution of each layer's initial weights, " + anyOf(WeightInits()) + ", or a list", 0, append(of(networks|textTasks, "normal"), of(sinusoids, "glorot")...),
		oneOf(WeightInits(), func(o *Options) *string { return &o.WeightInit })},
	{"image-size", "side in pixels that images are averaged down to, or a list", 0,
		[]defaultOf{{images28, "28"}, {images32, "32"}, {images, ownSize}}, wholeNumber(func(o *Options) *int { return &o.ImageSize })},
	{"target", "column to predict, its name in the header or its number from 1, or a list", 0, of(tables|regressions, lastColumn),
		escaped("2", func(o *Options) *string { return &o.Target })},
	{"columns", standardColumns + ": to mean 0 and variance 1; or " + rawColumns + ", or a list", 0, of(tables|regressions, standardColumns),
		oneOf([]string{standardColumns, rawColumns}, func(o *Options) *string { return &o.Columns })},
	{"label-noise", "probability that an example's label is replaced by another class, or a list", 0, of(classifiers, "0"),
		atLeast(0, func(o *Options) *float64 { return &o.LabelNoise })},
	{"examples", "training examples that an instance draws from the data's, or a list", 0, of(networks, allExamples),
		wholeNumber(func(o *Options) *int { return &o.Examples })},
	{"dims", "dimensions of a function, or a list", 4,
		slices.Concat(of(quadratics|equilibria, "10"), of(rosenbrocks, "2"), of(factorizations, "100"), of(sinusoids, "1"), of(signals, "20"), of(entropies, "6"), of(chains, "8")),
		wholeNumber(func(o *Options) *int { return &o.Dims })},
	{"condition", "condition number of the Hessians, or a list", 0, of(quadratics, asDrawn),
		atLeast(1, func(o *Options) *float64 { return &o.Condition })},
	{"loss-scale", "what losses are multiplied by, as gradients show it, or a list", 0, of(losses, "1"),
		positive(func(o *Options) *float64 { return &o.LossScale })},
	{"gradient-noise", "standard deviation of noise on each coordinate of gradients, or a list", 0, of(losses, "0"),
		atLeast(0, func(o *Options) *float64 { return &o.GradientNoise })},
}

// The texts in help for defaults that are none of the option's values.
const (
	asDrawn     = "as drawn"
	ownSize     = "the data's own"
	noChannels  = "no convolution"
	lastColumn  = "the last"
	allExamples = "all"
)

// noValues are these texts.
var noValues = []string{asDrawn, ownSize, noChannels, lastColumn, allExamples}

// The values of the option columns.
const (
	standardColumns = "standard"
	rawColumns      = "raw"
)

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

// Values returns all values that the option can have, nil if its values are numbers or text.
func (o Option) Values() []string { return slices.Clone(o.names) }

// Placeholder returns the word for a value in help texts: "N", "F", "NAME" or "N-N".
func (o Option) Placeholder() string { return o.placeholder }

// Usage returns one line that says which tasks read the option, what it is, and its default.
func (o Option) Usage() string {
	var readers, defaults []string
	all := kindOfTask(0)
	for _, d := range o.defaults {
		all |= d.of
		if defaults = append(defaults, d.value); d.value == ownSize {
			defaults = []string{ownSize} // the other defaults say how large the data are
		}
	}
	if all&perceptrons != 0 {
		all = all&^perceptrons | networks | sinusoids
	}
	left := all
	for _, k := range taskKinds {
		if left&k.bits == k.bits {
			readers = append(readers, k.name)
			left &^= k.bits
		}
	}
	usage := fmt.Sprintf("%s (%s unless set)", o.help, strings.Join(defaults, ", "))
	if all&losses != 0 || all&everything == everything {
		return usage
	}
	return strings.Join(readers, ", ") + ": " + usage
}

// A kindOfTask is a set of kinds of tasks, one a bit. Tasks of one kind read the same options.
type kindOfTask uint64

const (
	images28 kindOfTask = 1 << iota // classifiers of images of 28×28
	images32                        // of 32×32
	images                          // of any other size
	tables                          // classifiers of the rows of a table
	regressions
	textTasks // networks that predict the next character of a text
	quadratics
	rosenbrocks
	factorizations
	sinusoids
	losses // every task
	equilibria
	signals
	entropies
	puzzles
	chains
	// perceptrons are the networks without convolutional layers, in addition to one of the kinds above: see lists.kinds.
	perceptrons

	imageTasks  = images28 | images32 | images
	classifiers = imageTasks | tables
	networks    = classifiers | regressions
	layerTasks  = equilibria | entropies | signals | puzzles
	everything  = networks | textTasks | quadratics | rosenbrocks | factorizations | sinusoids | layerTasks | chains
)

// taskKinds names sets of kinds in help. A set goes before its parts.
var taskKinds = []nameOfKind{{classifiers, "classifiers"}, {imageTasks, "images"}, {tables, "tables"}, {regressions, "regression"}, {textTasks, charRNNName}, {quadratics, "quadratics"}, {rosenbrocks, "Rosenbrock"}, {factorizations, "factorization"}, {sinusoids, "sinusoid"},
	{equilibria, "equilibrium"}, {signals, "denoising"}, {entropies, "maxent"}, {puzzles, "sudoku"}, {chains, "chain"}}

// A nameOfKind is what help calls a set of kinds.
type nameOfKind struct {
	bits kindOfTask
	name string
}

// A defaultOf says that tasks of some kinds read an option, and what its default is there.
type defaultOf struct {
	of    kindOfTask
	value string
}

func of(kinds kindOfTask, value string) []defaultOf { return []defaultOf{{kinds, value}} }

// readBy reports whether tasks of some kinds read the option, and returns its default for them: "" if the
// default is none of the option's values, or not the same for all of them.
func (o Option) readBy(kinds kindOfTask) (value string, reads bool) {
	for _, d := range o.defaults {
		if d.of&kinds == 0 {
			continue
		}
		if slices.Contains(noValues, d.value) || reads && d.value != value {
			return "", true
		}
		value, reads = d.value, true
	}
	return value, reads
}

// A kind describes the values of an option as canonical text, and accesses its field in Options.
type kind struct {
	placeholder string
	names       []string // nil for numbers and for text
	example     string   // a value, for options whose values are names or text; "" for numbers
	parse       func(text string) (string, error)
	get         func(o *Options) string // returns "" for the field's zero value
	set         func(o *Options, value string)
}

// number reports whether the values are numbers rather than names or text.
func (k kind) number() bool { return k.example == "" }

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

// numberOrNone is the kind of whole numbers of at least 0. The field is negative for 0, since its zero value means the default.
func numberOrNone(field func(o *Options) *int) kind {
	return kind{
		placeholder: "N",
		parse: func(text string) (string, error) {
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 {
				return "", errors.New("it must be a whole number of at least 0")
			}
			return strconv.Itoa(n), nil
		},
		get: func(o *Options) string {
			if n := *field(o); n != 0 {
				return strconv.Itoa(max(n, 0))
			}
			return ""
		},
		set: func(o *Options, value string) {
			if *field(o), _ = strconv.Atoi(value); *field(o) == 0 { // cannot fail: the value was parsed before
				*field(o) = NoLayers
			}
		},
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
		example:     names[0],
		parse: func(text string) (string, error) {
			if slices.Contains(names, text) {
				return text, nil
			}
			return "", fmt.Errorf("it must be %s%s", anyOf(names), strings.TrimSuffix(nearest.DidYouMean(text, names), "."))
		},
		get: func(o *Options) string { return *field(o) },
		set: func(o *Options, value string) { *field(o) = value },
	}
}

// escaped is the kind of any text. In canonical text, all bytes but letters, digits, dashes, dots and underscores are written as %XX, so
// that it can stand in names, flags and JSON. The field holds the text itself.
func escaped(example string, field func(o *Options) *string) kind {
	return kind{
		placeholder: "NAME",
		example:     example,
		parse: func(text string) (string, error) {
			if text = unescape(text); strings.TrimSpace(text) == "" || len(text) > 200 || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
				return "", errors.New("it must be a text of up to 200 bytes without control characters")
			}
			return escape(text), nil
		},
		get: func(o *Options) string { return escape(*field(o)) },
		set: func(o *Options, value string) { *field(o) = unescape(value) },
	}
}

func escape(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(text), "+", "%20"), "~", "%7E")
}

// unescape is the inverse of escape. A text that escape never writes, such as 50%, is itself.
func unescape(text string) string {
	if plain, err := url.PathUnescape(text); err == nil {
		return plain
	}
	return text
}

// naming holds the indices of the table's rows in the order of canonical names.
var naming = orderOfNames()

func orderOfNames() []int {
	var rows []int
	for i := range table {
		rows = append(rows, i)
	}
	place := func(o Option) int {
		last := len(table) + 1
		if o.defaults[0].of == losses {
			last++ // Perturbed adds them to a family's name, also to that of a Definition with Numbers
		}
		return cmp.Or(o.place, last)
	}
	slices.SortStableFunc(rows, func(i, j int) int { return cmp.Compare(place(table[i]), place(table[j])) })
	return rows
}

// channelsRow is the index of the option channels in the table.
var channelsRow = slices.IndexFunc(table, func(o Option) bool { return o.Key == channelsKey })

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
	kinds = o.lists().kinds(kinds)
	for _, row := range table {
		if value, reads := row.readBy(kinds); reads && value != "" && row.get(&o) == "" {
			row.set(&o, value)
		}
	}
	return o
}

// validateNames returns an error if an option has a value that is none of its names, or no canonical text.
func (o Options) validateNames() error {
	for _, row := range table {
		value := row.get(&o)
		switch {
		case row.number() || value == "":
		case row.names != nil && !slices.Contains(row.names, value):
			return fmt.Errorf("tasks: %s %q is none of %s", row.Key, value, strings.Join(row.names, ", "))
		case row.names == nil:
			canonical, err := row.parse(value)
			if err != nil {
				return fmt.Errorf("tasks: %s %q: %w", row.Key, value, err)
			}
			if canonical != value {
				return fmt.Errorf("tasks: %s %q: write it as %q", row.Key, value, canonical)
			}
		}
	}
	return nil
}

// kinds returns the kinds of a task whose options are set to l: networks without channels are also perceptrons, and so are sinusoids.
func (l lists) kinds(task kindOfTask) kindOfTask {
	if task&(networks|sinusoids) != 0 && (l[channelsRow] == nil || task&imageTasks == 0) {
		return task | perceptrons
	}
	return task
}

// named yields the options in the canonical names of tasks of some kinds, in the order of the names.
func (l lists) named(kinds kindOfTask) iter.Seq2[string, []string] {
	return func(yield func(string, []string) bool) {
		kinds := l.kinds(kinds)
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
		return 0, fmt.Errorf("tasks: no option %q%s The options are %s", key, nearest.DidYouMean(key, keys), strings.Join(keys, ", "))
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
