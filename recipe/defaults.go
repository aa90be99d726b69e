package recipe

import (
	"cmp"
	"slices"
	"strconv"

	"learnedopt/lstm"
)

// Latest is the latest version of the defaults.
//
// Version 1 is the plain network of Andrychowicz et al. 2016 with first-order meta-gradients: what the zero
// metatrain.TrainConfig is, too. Version 2 is what trains best in a minute (docs/training.md).
const Latest = 2

// A row has an option's default in every version, for tasks that do not classify and for classifiers.
type row struct {
	name string
	// said says that Args writes the option even where it is the default of all versions.
	said bool
	v1   [2]string
	v2   [2]string
}

// both is a default that does not depend on the task.
func both(value string) [2]string { return [2]string{value, value} }

// unsaid and said name the column row.said.
const (
	unsaid = false
	said   = true
)

// defaults is the one table of defaults. Options that are not in it are off unless they are set. Some
// defaults depend on other options, too: see defaultOf.
var defaults = []row{
	// option, in Args, version 1, version 2: {others, classifiers}
	{"task", said, both("quadratic-uniform"), both("quadratic-uniform")},
	{"time", said, both("1m0s"), both("1m0s")},
	{"seeds", unsaid, both("1"), both("1")},
	{"inputs", said, both("logsign"), [2]string{"logsign", "logsign+rnnprop+clock"}},
	{"scale", said, both("0.1"), [2]string{"0.1", "0.01"}},
	{"p", said, both("5"), [2]string{"5", "10"}},
	{"sign-p", unsaid, both(""), [2]string{"", "5"}},
	{"hidden", said, both("20"), both("20")},
	{"lstm-layers", said, both("2"), both("2")},
	{"gain", unsaid, both("1"), [2]string{"1", "3"}},
	{"input-gain", unsaid, both("1"), both("4")},
	{"memory", unsaid, both("0"), both("100")},
	{"steps", said, both("100"), both("100")},
	{"unroll", said, both("20"), both("20")},
	{"stage-patience", said, both("1"), both("1")},
	{"meta-batch", unsaid, both("1"), both("1")},
	{"meta-lr", said, both("0.003"), both("0.003")},
	{"warm-up", unsaid, both("0"), both("50")},
	{"meta-lr-decay", unsaid, both("1"), [2]string{"1", "0.1"}},
	{"clip", said, both("1"), both("10")},
	{"estimator", unsaid, both(Backprop), both(Backprop)},
	{"perturbation", said, both("0.01"), both("0.01")},
	{"pairs", said, both("1"), both("1")},
	{"second-derivatives", unsaid, both("false"), both("true")},
	{"hessian", unsaid, [2]string{Exact, Differences}, both(Exact)},
	{"objective", unsaid, both(Sum), both(Sum)},
	{"reference", said, both(handDesigned), both(handDesigned)},
	{"teacher", said, both(handDesigned), both(handDesigned)},
	{"valid-every", said, both("50"), both("50")},
	{"valid-runs", said, both("8"), both("8")},
	{"selection", unsaid, both("mean"), both("mean")},
	{"on-non-finite", unsaid, both("skip"), both("skip")},
	{"skip-limit", unsaid, both("20"), both("20")},
}

func rowOf(name string) *row {
	if i := slices.IndexFunc(defaults, func(d row) bool { return d.name == name }); i >= 0 {
		return &defaults[i]
	}
	return nil
}

// of returns the default of a version.
func (d row) of(version int, classifies bool) string {
	column := d.v2
	if version == 1 {
		column = d.v1
	}
	if classifies {
		return column[1]
	}
	return column[0]
}

// shown says whether the default stands by itself: others depend on an option that says so.
func (d row) shown() bool {
	return !slices.Contains([]string{"perturbation", "pairs", "reference", "teacher"}, d.name)
}

// WithDefaults returns r with every option set that has a default, among them the version. What does not
// apply, as the length of an episode in a curriculum, stays unset.
func (r Recipe) WithDefaults() Recipe {
	if r.Defaults == 0 {
		r.Defaults = Latest
	}
	for _, o := range options { // an option comes after those that its default depends on
		if o.text(&r) != "" {
			continue
		}
		if value := r.defaultOf(o.Name); value != "" {
			if err := o.set(&r, value); err != nil {
				panic("recipe: the default of --" + o.Name + ": " + err.Error()) // the table's fault
			}
		}
	}
	return r
}

// defaultOf returns the default of an option, "" where it does not apply. Options that come before it are set.
func (r Recipe) defaultOf(name string) string {
	value := ""
	if d := rowOf(name); d != nil {
		value = d.of(r.Defaults, r.Task.Classifies())
	}
	backprop := r.Estimator == Backprop
	switch name {
	case "time":
		return only(r.MetaSteps == 0, value)
	case "inputs", "hidden", "lstm-layers", "gain", "input-gain", "memory":
		return only(r.Init == "", value)
	case "readout":
		inputs, _ := lstm.ParseInputs(r.Inputs)
		if inputs == lstm.RNNProp {
			value = lstm.Tanh.String()
		} else {
			value = lstm.Linear.String()
		}
		return only(r.Init == "", value)
	case "scale":
		if r.Readout == lstm.Tanh.String() {
			value = "0.1" // of Lv et al. 2017
		}
		return only(r.Init == "", value)
	case "p", "sign-p":
		inputs, _ := lstm.ParseInputs(r.Inputs)
		return only(r.Init == "" && inputs&lstm.LogAndSign != 0, value)
	case "steps":
		return only(len(r.Horizons) == 0, value)
	case "stage-patience":
		return only(len(r.Horizons) > 0, value)
	case "warm-up":
		// Short trainings have a short one, which leaves something for a decay.
		if end := r.end(); value != "0" && end > 0 && end < longWarmUp {
			return strconv.Itoa(end / 10)
		}
	case "meta-lr-decay":
		// A decay needs an end, and time has none.
		if r.end() == 0 {
			return "1"
		}
	case "decay-steps":
		if *r.MetaLRDecay != 1 && r.MetaSteps > 0 {
			return options[stepsAt].text(&r)
		}
	case "perturbation", "pairs":
		return only(!backprop, value)
	case "second-derivatives":
		return only(backprop && r.AdjointCoordinates == 0 && r.Imitate != 1, value)
	case "hessian":
		return only(r.second(), value)
	case "reference":
		return only(r.Objective == Relative, value)
	case "teacher":
		return only(r.Imitate > 0, value)
	}
	return value
}

// longWarmUp is from how many meta-steps on a warm-up is not shortened to a tenth of them.
const longWarmUp = 500

// end is the meta-step at which the schedule of the meta learning rate ends, 0 if only time ends the training.
func (r Recipe) end() int { return cmp.Or(r.DecaySteps, r.MetaSteps) }

// stepsAt is the index of meta-steps among the options.
var stepsAt = slices.IndexFunc(options, func(o Option) bool { return o.Name == "meta-steps" })

func only(applies bool, value string) string {
	if applies {
		return value
	}
	return ""
}
