package recipe

import (
	"errors"
	"math"
	"strconv"
	"time"

	"learnedopt/tasks"
)

// A Recipe is a meta-training. The zero value is the default training, a minute of
// random quadratics, in the latest version of the defaults. A field that is zero, or nil where zero means
// something else, stands for its default; options that exclude each other are an error of Validate.
type Recipe struct {
	// Defaults is the version of the defaults that the recipe was written for, 1 to Latest. Go: 0 is
	// Latest. A JSON text must say it.
	Defaults int `json:"defaults"`
	// Name is what tables call the optimizer; "" for none.
	Name string `json:"name,omitzero"`

	// Task is what the optimizer is trained on.
	Task tasks.Spec `json:"task,omitzero"`
	// RandomScaling scales the coordinates of training episodes by factors from exp(-R) to exp(R)
	// (tasks.RandomScaling), and Convex trains beside every episode on a small convex problem
	// (tasks.Convex). Neither changes validation.
	RandomScaling float64 `json:"random_scaling,omitzero"`
	Convex        bool    `json:"convex,omitzero"`

	// Init is the file of the network that training starts from, or pretrained:NAME; "" for a random
	// network. The file fixes the network's shape: of the next two groups only Inputs may be
	// set, to more than the file has, and Anneal.
	Init string `json:"init,omitzero"`
	// Inputs to Anneal are the network's shape: see lstm.Config.
	Inputs     string  `json:"inputs,omitzero"`
	P          float64 `json:"p,omitzero"`
	SignP      float64 `json:"sign_p,omitzero"`
	Hidden     int     `json:"hidden,omitzero"`
	LSTMLayers int     `json:"lstm_layers,omitzero"`
	Readout    string  `json:"readout,omitzero"`
	Scale      float64 `json:"scale,omitzero"`
	// Anneal is 0 for updates that never shrink; nil is 0, or what the file of Init has.
	Anneal *int `json:"anneal,omitempty"`
	// Gain to Memory say how a random network is drawn: see lstm.Init.
	Gain      float64  `json:"gain,omitzero"`
	InputGain float64  `json:"input_gain,omitzero"`
	Memory    *float64 `json:"memory,omitempty"`

	// Steps is the length of an episode, or Horizons those of a curriculum's stages: see
	// metatrain.TrainConfig, which has all of this group.
	Steps         int   `json:"steps,omitzero"`
	Horizons      []int `json:"horizons,omitempty"`
	StagePatience int   `json:"stage_patience,omitzero"`
	RandomSteps   bool  `json:"random_steps,omitzero"`
	Unroll        int   `json:"unroll,omitzero"`
	MetaBatch     int   `json:"meta_batch,omitzero"`

	// MetaSteps or Time is the limit, a number of meta-steps or a time.
	MetaSteps int      `json:"meta_steps,omitzero"`
	Time      Duration `json:"time,omitzero"`

	// MetaLR to DecaySteps are the schedule of the meta learning rate: it rises to MetaLR over
	// WarmUp meta-steps, then decays to MetaLRDecay times MetaLR at meta-step DecaySteps,
	// the last one by default.
	MetaLR      float64  `json:"meta_lr,omitzero"`
	WarmUp      *int     `json:"warm_up,omitempty"`
	MetaLRDecay *float64 `json:"meta_lr_decay,omitempty"`
	DecaySteps  int      `json:"decay_steps,omitzero"`
	// Clip bounds the norm of an episode's meta-gradient; +Inf does not.
	Clip Bound `json:"clip,omitzero"`

	// Estimator is how meta-gradients are computed: one of Estimators.
	Estimator string `json:"estimator,omitzero"`
	// SecondDerivatives to AdjointCoordinates are of backprop: see metatrain.TruncatedBackprop. Hessian is how
	// second derivatives are computed: Exact where a task offers that, or by Differences of gradients.
	SecondDerivatives  *bool   `json:"second_derivatives,omitempty"`
	Hessian            string  `json:"hessian,omitzero"`
	AdjointClip        float64 `json:"adjoint_clip,omitzero"`
	AdjointCoordinates int     `json:"adjoint_coordinates,omitzero"`
	// Perturbation and Pairs are of es and pes: see metatrain.ES.
	Perturbation float64 `json:"perturbation,omitzero"`
	Pairs        int     `json:"pairs,omitzero"`
	// Objective is what a window's losses are worth: one of Objectives. Reference is the
	// rule that the objective relative divides by, as adam@0.01.
	Objective string `json:"objective,omitzero"`
	Reference string `json:"reference,omitzero"`
	// Imitate is the probability of an episode in which the network imitates Teacher, a rule as
	// adam@0.01 (metatrain.Imitation).
	Imitate float64 `json:"imitate,omitzero"`
	Teacher string  `json:"teacher,omitzero"`

	// ValidEvery to Patience are the validation and what is kept: see metatrain.TrainConfig.
	ValidEvery int    `json:"valid_every,omitzero"`
	ValidRuns  int    `json:"valid_runs,omitzero"`
	ValidSteps []int  `json:"valid_steps,omitempty"`
	Selection  string `json:"selection,omitzero"`
	Patience   int    `json:"patience,omitzero"`

	// Seed fixes everything random. Seeds is the number of trainings, from Seed and the seeds that
	// follow, of which the best network is kept (compare.Select).
	Seed  uint64 `json:"seed,omitzero"`
	Seeds int    `json:"seeds,omitzero"`

	// OnNonFinite is what follows a window that is not finite, one of metatrain.NonFinitePolicies,
	// and SkipLimit the number of failures in a row that ends the training.
	OnNonFinite string `json:"on_non_finite,omitzero"`
	SkipLimit   int    `json:"skip_limit,omitzero"`
}

// The values of Hessian, Estimator and Objective.
const (
	Exact       = "exact"
	Differences = "differences"

	Backprop = "backprop"
	ES       = "es"
	PES      = "pes"

	Sum      = "sum"
	Last     = "last"
	Log      = "log"
	Ramp     = "ramp"
	Relative = "relative"
)

// Estimators returns the values of Recipe.Estimator.
func Estimators() []string { return []string{Backprop, ES, PES} }

// Objectives returns the values of Recipe.Objective.
func Objectives() []string { return []string{Sum, Last, Log, Ramp, Relative} }

// A Duration is a time that JSON has as text: "1m30s".
type Duration time.Duration

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return errors.New("it must be a time, as 90s or 10m")
	}
	*d = Duration(v)
	return nil
}

// A Bound is a positive number or +Inf, which JSON has as the text "inf".
type Bound float64

// MarshalJSON implements json.Marshaler.
func (b Bound) MarshalJSON() ([]byte, error) {
	if math.IsInf(float64(b), 1) {
		return []byte(`"inf"`), nil
	}
	if math.IsNaN(float64(b)) || math.IsInf(float64(b), 0) {
		return nil, errors.New("recipe: a bound is not a number")
	}
	return strconv.AppendFloat(nil, float64(b), 'g', -1, 64), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (b *Bound) UnmarshalJSON(data []byte) error {
	if string(data) == `"inf"` {
		*b = Bound(math.Inf(1))
		return nil
	}
	v, err := strconv.ParseFloat(string(data), 64)
	if err != nil || math.IsInf(v, 0) || math.IsNaN(v) {
		return errors.New(`it must be a number, or "inf"`)
	}
	*b = Bound(v)
	return nil
}
