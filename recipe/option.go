package recipe

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"learnedopt/compare"
	"learnedopt/internal/nearest"
	"learnedopt/metatrain"
	"learnedopt/tasks"
)

// An Option is one option of a recipe: a flag of the command line and a key of the JSON.
type Option struct {
	// Name is the name of the flag without leading dashes: "input-gain". The JSON key has _ instead of -.
	Name string

	usage string
	kind
}

// options returns all options, in the order of help and of Args: the task, its options, and those of the training. The first two
// are those that package tasks has by now. The caller must not change them.
func options() []Option {
	names := tasks.Names()
	if known := kept.Load(); known != nil && known.tasks == len(names) {
		return known.options
	}
	all := slices.Concat([]Option{
		{"task", "task to train on: " + anyOf(names) + "; or several classifiers joined by commas, of which each instance draws one", taskName()},
	}, ofTasks(), ofTraining)
	kept.Store(&keptOptions{len(names), all})
	return all
}

// kept are the options for a number of tasks, which only grows.
var kept atomic.Pointer[keptOptions]

type keptOptions struct {
	tasks   int
	options []Option
}

// ofTraining are the options that do not belong to tasks. An option is named in only four places: its row here, its
// field of Recipe, its default in defaults.go, and its use in config.go.
var ofTraining = []Option{
	{"time", "limit of training time, as 90s or 10m", span(func(r *Recipe) *Duration { return &r.Time })},
	{"meta-steps", "limit of meta-steps, in place of --time", whole(1, func(r *Recipe) *int { return &r.MetaSteps })},

	{"inputs", "what the network reads of a gradient: logsign, rnnprop, raw, clock, momenta, joined with +", words("NAMES", checkInputs, func(r *Recipe) *string { return &r.Inputs })},
	{"context", "what the network reads of a tensor and the run: shape, norms, feedback, time, joined with +", words("NAMES", checkContext, func(r *Recipe) *string { return &r.Context })},
	{"orthogonal", "add the orthogonalized momentum to the directions that the read-out mix combines", truth(func(r *Recipe) *bool { return &r.Orthogonal })},
	{"orthogonal-mean", "give the orthogonalized momentum one weight a tensor, the mean over its coordinates", truth(func(r *Recipe) *bool { return &r.OrthogonalMean })},
	{"hyper", "hidden units of a network that reads the context of a tensor and multiplies its directions (none unless set)", whole(1, func(r *Recipe) *int { return &r.Hyper })},
	{"fan-in", "divide the updates of a layer by the number of its inputs and their size", truth(func(r *Recipe) *bool { return &r.FanIn })},
	{"readout", "function that ends the network: linear, tanh, exp or mix (tanh for rnnprop alone, mix with momenta, else linear, unless set)", oneOf([]string{"linear", "tanh", "exp", "mix"}, func(r *Recipe) *string { return &r.Readout })},
	{"scale", "factor of the read-out", positive(func(r *Recipe) *float64 { return &r.Scale })},
	{"p", "p of logsign: gradients below exp(-p) count as small", positive(func(r *Recipe) *float64 { return &r.P })},
	{"sign-p", "p of logsign's sign (that of --p unless set)", positive(func(r *Recipe) *float64 { return &r.SignP })},
	{"anneal", "step after which updates shrink with 1/√t (0 is never)", zeroOr(func(r *Recipe) **int { return &r.Anneal })},
	{"hidden", "units of each LSTM layer", whole(1, func(r *Recipe) *int { return &r.Hidden })},
	{"lstm-layers", "LSTM layers", whole(1, func(r *Recipe) *int { return &r.LSTMLayers })},
	{"gain", "factor of the LSTM layers' initial weights", positive(func(r *Recipe) *float64 { return &r.Gain })},
	{"input-gain", "factor of the initial weights of what the network reads, beside --gain", positive(func(r *Recipe) *float64 { return &r.InputGain })},
	{"memory", "longest initial memory of the LSTM's units, in steps (0: forget biases like the others)", zeroOrPositive(func(r *Recipe) **float64 { return &r.Memory })},
	{"init", "start from the network in a .mopt file, or from pretrained:NAME", words("FILE", nil, func(r *Recipe) *string { return &r.Init })},

	{"steps", "inner steps of an episode", whole(1, func(r *Recipe) *int { return &r.Steps })},
	{"unroll", "inner steps of a window, which is one meta-step; it divides --steps", whole(1, func(r *Recipe) *int { return &r.Unroll })},
	{"horizons", "curriculum in place of --steps: inner steps of an episode, stage by stage, as 100,200,500", ascending(func(r *Recipe) *[]int { return &r.Horizons })},
	{"stage-patience", "validations without a new best that end a stage of --horizons, after 3 or more", whole(1, func(r *Recipe) *int { return &r.StagePatience })},
	{"random-steps", "draw every episode's length log-uniformly from --unroll to --steps", truth(func(r *Recipe) *bool { return &r.RandomSteps })},
	{"hide-length", "fraction of the episodes whose number of steps the network is not told (0 unless set)", probability(func(r *Recipe) *float64 { return &r.HideLength })},
	{"meta-batch", "episodes that run side by side; a meta-step follows their mean", whole(1, func(r *Recipe) *int { return &r.MetaBatch })},
	{"random-scaling", "scale every training episode's coordinates at random, by exp(-R) to exp(R) (Lv et al. 2017: 3; 0 for none)", atLeastZero("R", func(r *Recipe) *float64 { return &r.RandomScaling })},
	{"tensor-scaling", "scale the tensors of every second training episode at random, by exp(-R) to exp(R) (0 for none)", atLeastZero("R", func(r *Recipe) *float64 { return &r.TensorScaling })},
	{"also", "further tasks, of which and of --task each episode draws one, as \"mnist channels=8 | digits units=5,10\"", words("TASKS", checkTasks, func(r *Recipe) *string { return &r.Also })},
	{"valid-task", "tasks of validations, in the form of --also (those of training unless set)", words("TASKS", checkTasks, func(r *Recipe) *string { return &r.ValidTask })},
	{"convex", "train beside every episode on a small convex problem (Lv et al. 2017)", truth(func(r *Recipe) *bool { return &r.Convex })},

	{"meta-lr", "meta learning rate (Adam's)", positive(func(r *Recipe) *float64 { return &r.MetaLR })},
	{"warm-up", "meta-steps over which the meta learning rate rises to --meta-lr", zeroOr(func(r *Recipe) **int { return &r.WarmUp })},
	{"meta-lr-decay", "fraction of --meta-lr that it ends at, along a cosine (1 is none)", zeroOrPositive(func(r *Recipe) **float64 { return &r.MetaLRDecay })},
	{"decay-steps", "meta-step at which the decay ends (the last one unless set)", whole(1, func(r *Recipe) *int { return &r.DecaySteps })},
	{"clip", "largest norm of the meta-gradient, inf for any", bound(func(r *Recipe) *Bound { return &r.Clip })},

	{"estimator", "how meta-gradients are computed: backprop through each window, or from perturbed unrolls by es, or by pes, which truncation does not bias", oneOf(Estimators(), func(r *Recipe) *string { return &r.Estimator })},
	{"perturbation", "standard deviation of es and pes (0.01 unless set)", positive(func(r *Recipe) *float64 { return &r.Perturbation })},
	{"pairs", "perturbations of es and pes, each used with both signs (1 unless set)", whole(1, func(r *Recipe) *int { return &r.Pairs })},
	{"second-derivatives", "differentiate through the gradients that the network reads, too", falseOr(func(r *Recipe) **bool { return &r.SecondDerivatives })},
	{"hessian", "how --second-derivatives are computed: exact where the task offers it, or by differences of gradients", oneOf([]string{Exact, Differences}, func(r *Recipe) *string { return &r.Hessian })},
	{"adjoint-clip", "bound of what --second-derivatives add to the adjoint at each step, in norms of the window's own gradients (none unless set)", positive(func(r *Recipe) *float64 { return &r.AdjointClip })},
	{"adjoint-coordinates", "coordinates, drawn at random, that the meta-gradient is estimated from (all unless set)", whole(0, func(r *Recipe) *int { return &r.AdjointCoordinates })},
	{"objective", "what a window's losses are worth: their sum, the last one, the sum of their logs, a ramp of weights over the episode, or the sum relative to --reference", oneOf(Objectives(), func(r *Recipe) *string { return &r.Objective })},
	{"reference", "hand-designed rule of --objective relative and its learning rate (" + handDesigned + " unless set)", ruleAtRate(func(r *Recipe) *string { return &r.Reference })},
	{"imitate", "probability of an episode in which the network imitates --teacher (0 unless set)", probability(func(r *Recipe) *float64 { return &r.Imitate })},
	{"teacher", "hand-designed rule to imitate and its learning rate (" + handDesigned + " unless set)", ruleAtRate(func(r *Recipe) *string { return &r.Teacher })},

	{"valid-every", "meta-steps between validations", whole(1, func(r *Recipe) *int { return &r.ValidEvery })},
	{"valid-runs", "instances of a validation", whole(1, func(r *Recipe) *int { return &r.ValidRuns })},
	{"valid-steps", "horizons of a validation, as 100,200,1000 (--steps unless set)", ascending(func(r *Recipe) *[]int { return &r.ValidSteps })},
	{"selection", "which score of a validation is the best: the mean loss over instances and horizons, the geometric mean, or the geometric mean of mean and final losses", oneOf(compare.Selections(), func(r *Recipe) *string { return &r.Selection })},
	{"patience", "end after so many validations without a new best (never unless set)", whole(0, func(r *Recipe) *int { return &r.Patience })},
	{"on-non-finite", "what to do where a window is not finite: skip it, stop, or rollback to the last validation", oneOf(metatrain.NonFinitePolicies(), func(r *Recipe) *string { return &r.OnNonFinite })},
	{"skip-limit", "meta-steps in a row without a finite window, or returns by rollback to one validation, that end the training", whole(1, func(r *Recipe) *int { return &r.SkipLimit })},

	{"defaults", fmt.Sprintf("version of the defaults of what is not set, 1 to %d", Latest), version()},
	{"seeds", "train from so many seeds, --seed and those that follow, and keep the best network", whole(1, func(r *Recipe) *int { return &r.Seeds })},
	{"seed", "seed of everything random", seed(func(r *Recipe) *uint64 { return &r.Seed })},
	{"name", "name that the optimizer carries in tables (learned unless set)", words("NAME", nil, func(r *Recipe) *string { return &r.Name })},
}

// taskName is the kind of the option task.
func taskName() kind {
	return kind{
		placeholder: "NAME",
		names:       tasks.Names(),
		set: func(r *Recipe, text string) error {
			t, err := r.Task.WithTask(text)
			if err == nil {
				r.Task = t
			}
			return err
		},
		text: func(r *Recipe) string { return r.Task.Task() },
	}
}

// ofTasks returns the options that belong to tasks.
func ofTasks() []Option {
	var all []Option
	for _, o := range tasks.OptionTable() {
		k := kind{
			placeholder: o.Placeholder() + "[," + o.Placeholder() + "]",
			names:       o.Values(),
			set: func(r *Recipe, text string) error {
				values := strings.Split(text, ",")
				for _, v := range values {
					if _, err := o.Parse(v); err != nil {
						return err // the caller adds the name of the option
					}
				}
				t, err := r.Task.With(o.Key, values...)
				if err == nil {
					r.Task = t
				}
				return err
			},
			text: func(r *Recipe) string { return strings.Join(r.Task.Values(o.Key), ",") },
		}
		all = append(all, Option{o.Key, o.Usage(), k})
	}
	return all
}

// version is the kind of the option defaults.
func version() kind {
	k := whole(1, func(r *Recipe) *int { return &r.Defaults })
	set := k.set
	k.set = func(r *Recipe, text string) error {
		read := Recipe{}
		if err := set(&read, text); err != nil {
			return err
		}
		if read.Defaults > Latest {
			return fmt.Errorf("this program knows the defaults of versions 1 to %d", Latest)
		}
		r.Defaults = read.Defaults
		return nil
	}
	return k
}

// Options returns all options, in the order of help.
func Options() []Option { return slices.Clone(options()) }

// Usage returns the option's help text, in one line. If the option's default for classifiers differs from Default in the
// given version of the defaults, the text includes it.
func (o Option) Usage(version int) string {
	row := rowOf(o.Name)
	if row == nil || row.of(version, true) == row.of(version, false) {
		return o.usage
	}
	return fmt.Sprintf("%s (classifiers: %s)", o.usage, row.of(version, true))
}

// Default returns the option's default in a version of the defaults, for tasks that are not classifiers. It returns "" if
// there is none, or if the default applies only together with another option.
func (o Option) Default(version int) string {
	if row := rowOf(o.Name); row != nil && row.shown() {
		return row.of(version, false)
	}
	return ""
}

// Placeholder returns the name of the option's value in help: "N", "F" or "NAME", or "bool" for yes or no.
func (o Option) Placeholder() string { return o.placeholder }

// Bool says whether the option is yes or no, so that its flag needs no value.
func (o Option) Bool() bool { return o.placeholder == boolean }

// Values returns all values that the option can have, or nil if it is not a choice of a few names.
func (o Option) Values() []string { return slices.Clone(o.names) }

// Set sets the option from a text. If the text is no valid value, the error says what a value must be, and r is unchanged.
func (o Option) Set(r *Recipe, text string) error { return o.set(r, text) }

// Text returns the option's value as text, or "" if it is not set.
func (o Option) Text(r Recipe) string { return o.text(&r) }

// Lookup returns the option of a name, such as "input-gain". If there is none, the error says the nearest name.
func Lookup(name string) (Option, error) {
	all := options()
	if i := slices.IndexFunc(all, func(o Option) bool { return o.Name == name }); i >= 0 {
		return all[i], nil
	}
	var names []string
	for _, o := range all {
		names = append(names, o.Name)
	}
	return Option{}, fmt.Errorf("recipe: no option %q%s `metaopt meta-train --help` shows the options", name, nearest.DidYouMean(name, names))
}
