package recipe

import (
	"cmp"
	"slices"
	"strconv"

	"learnedopt/lstm"
)

// Latest is the latest version of the defaults.
//
// Version 1 is the plain network of Andrychowicz et al. 2016 with first-order meta-gradients, as in the zero
// metatrain.TrainConfig. Version 2 trains the best optimizers in a minute (docs/training.md).
const Latest = 2

// A row holds an option's default in every version, for tasks that are not classifiers and for classifiers.
type row struct {
	name string
	// explicit says that Args writes the option even if its value is the default in all versions.
	explicit bool
	v1       [2]string
	v2       [2]string
}

// both returns a default that does not depend on the task.
func both(value string) [2]string { return [2]string{value, value} }

// explicit and implicit are the values of row.explicit.
const (
	implicit = false
	explicit = true
)

// defaults is the one table of defaults. Options that are not in it are off unless they are set. Some defaults also depend
// on other options: see defaultOf.
var defaults = []row{
	// option, in Args, version 1, version 2: {others, classifiers}
	{"task", explicit, both("quadratic-uniform"), both("quadratic-uniform")},
	{"time", explicit, both("1m0s"), both("1m0s")},
	{"seeds", implicit, both("1"), both("1")},
	{"inputs", explicit, both("logsign"), [2]string{"logsign", "logsign+rnnprop+clock"}},
	{"scale", explicit, both("0.1"), [2]string{"0.1", "0.01"}},
	{"p", explicit, both("5"), [2]string{"5", "10"}},
	{"sign-p", implicit, both(""), [2]string{"", "5"}},
	{"hidden", explicit, both("20"), both("20")},
	{"lstm-layers", explicit, both("2"), both("2")},
	{"gain", implicit, both("1"), [2]string{"1", "3"}},
	{"input-gain", implicit, both("1"), both("4")},
	{"memory", implicit, both("0"), both("100")},
	{"steps", explicit, both("100"), both("100")},
	{"unroll", explicit, both("20"), both("20")},
	{"stage-patience", explicit, both("1"), both("1")},
	{"meta-batch", implicit, both("1"), both("1")},
	{"meta-lr", explicit, both("0.003"), both("0.003")},
	{"warm-up", implicit, both("0"), both("50")},
	{"meta-lr-decay", implicit, both("1"), [2]string{"1", "0.1"}},
	{"clip", explicit, both("1"), both("10")},
	{"estimator", implicit, both(Backprop), both(Backprop)},
	{"perturbation", explicit, both("0.01"), both("0.01")},
	{"pairs", explicit, both("1"), both("1")},
	{"second-derivatives", implicit, both("false"), both("true")},
	{"hessian", implicit, [2]string{Exact, Differences}, both(Exact)},
	{"objective", implicit, both(Sum), both(Sum)},
	{"reference", explicit, both(handDesigned), both(handDesigned)},
	{"teacher", explicit, both(handDesigned), both(handDesigned)},
	{"valid-every", explicit, both("50"), both("50")},
	{"valid-runs", explicit, both("8"), both("8")},
	{"selection", implicit, both("mean"), both("mean")},
	{"on-non-finite", implicit, both("skip"), both("skip")},
	{"skip-limit", implicit, both("20"), both("20")},
}

func rowOf(name string) *row {
	if i := slices.IndexFunc(defaults, func(d row) bool { return d.name == name }); i >= 0 {
		return &defaults[i]
	}
	return nil
}

// of returns the default in a version.
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

// shown says whether help shows the default as such. The other defaults apply only if another option is set, and their help
// texts say so.
func (d row) shown() bool {
	return !slices.Contains([]string{"perturbation", "pairs", "reference", "teacher"}, d.name)
}

// WithDefaults returns r with every option set that has a default, the version of the defaults included. Options that do
// not apply stay unset, such as the length of an episode in a curriculum.
func (r Recipe) WithDefaults() Recipe {
	if r.Defaults == 0 {
		r.Defaults = Latest
	}
	for _, o := range options() { // an option's default depends only on options before it
		if o.text(&r) != "" {
			continue
		}
		if value := r.defaultOf(o.Name); value != "" {
			if err := o.set(&r, value); err != nil {
				panic("recipe: the default of --" + o.Name + ": " + err.Error()) // a bug in the table
			}
		}
	}
	return r
}

// defaultOf returns the default of an option, or "" if the option does not apply. All options before it must be set.
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
		switch {
		case inputs == lstm.RNNProp:
			value = lstm.Tanh.String()
		case inputs&lstm.Momenta != 0:
			value = lstm.Mix.String()
		default:
			value = lstm.Linear.String()
		}
		return only(r.Init == "", value)
	case "scale":
		if r.Readout == lstm.Tanh.String() {
			value = "0.1" // Lv et al. 2017
		}
		if r.Readout == lstm.Mix.String() {
			value = "0.01" // a usual learning rate of Adam, at which a new network starts
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
		// A short training has a short warm-up, so that there is time left for the decay.
		if end := r.end(); value != "0" && end > 0 && end < longWarmUp {
			return strconv.Itoa(end / 10)
		}
	case "meta-lr-decay":
		// A decay needs a last meta-step, which a limit of time does not give.
		if r.end() == 0 {
			return "1"
		}
	case "decay-steps":
		if *r.MetaLRDecay != 1 && r.MetaSteps > 0 {
			return strconv.Itoa(r.MetaSteps)
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

// longWarmUp is the number of meta-steps from which the warm-up has its full length. In a shorter training the warm-up
// takes a tenth of the meta-steps.
const longWarmUp = 500

// end is the meta-step at which the schedule of the meta learning rate ends, or 0 if only time limits the training.
func (r Recipe) end() int { return cmp.Or(r.DecaySteps, r.MetaSteps) }

func only(applies bool, value string) string {
	if applies {
		return value
	}
	return ""
}
