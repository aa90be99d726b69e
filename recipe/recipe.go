package recipe

import (
	"errors"
	"math"
	"strconv"
	"time"

	"learnedopt/tasks"
)

// A Recipe describes a meta-training. The zero value is the default training, one minute on random quadratics, in the
// latest version of the defaults. A zero field stands for its default. A field for which zero is a real value is a pointer,
// and nil stands for its default. Validate refuses options that exclude each other.
type Recipe struct {
	// Defaults is the version of the defaults for which the recipe was written, 1 to Latest. In Go, 0 means Latest. A
	// JSON text must state it.
	Defaults int `json:"defaults"`
	// Name is the optimizer's name in tables; "" if it has none.
	Name string `json:"name,omitzero"`

	// Task is the task on which the optimizer is trained.
	Task tasks.Spec `json:"task,omitzero"`
	// RandomScaling is R: it scales the coordinates of training episodes by factors from exp(-R) to exp(R)
	// (tasks.RandomScaling). Convex adds a small convex problem to every training episode (tasks.Convex). Neither
	// changes validation.
	RandomScaling float64 `json:"random_scaling,omitzero"`
	Convex        bool    `json:"convex,omitzero"`
	// TensorScaling is R of tasks.RandomScaling with ByTensor, applied to a half of the training episodes.
	TensorScaling float64 `json:"tensor_scaling,omitzero"`
	// Also are further tasks of training episodes, as text of tasks.Parse, separated by " | ". An episode draws Task or
	// one of them, all with the same probability. ValidTask, of the same form, are the tasks of validations instead of Task
	// and Also.
	Also      string `json:"also,omitzero"`
	ValidTask string `json:"valid_task,omitzero"`

	// Init is the file of the network from which training starts, or pretrained:NAME; "" means a random network. The
	// file determines the network's shape. So in the next two groups only Anneal may be set, OrthogonalMean, Hyper if the
	// file has no hypernetwork, and Inputs, which may only add inputs to the file's inputs.
	Init string `json:"init,omitzero"`
	// Inputs to Anneal describe the network's shape: see lstm.Config.
	Inputs         string  `json:"inputs,omitzero"`
	Context        string  `json:"context,omitzero"`
	FanIn          bool    `json:"fan_in,omitzero"`
	Orthogonal     bool    `json:"orthogonal,omitzero"`
	OrthogonalMean bool    `json:"orthogonal_mean,omitzero"`
	Hyper          int     `json:"hyper,omitzero"`
	P              float64 `json:"p,omitzero"`
	SignP          float64 `json:"sign_p,omitzero"`
	Hidden         int     `json:"hidden,omitzero"`
	LSTMLayers     int     `json:"lstm_layers,omitzero"`
	Readout        string  `json:"readout,omitzero"`
	Scale          float64 `json:"scale,omitzero"`
	// Anneal 0 means that updates never shrink. Default: 0, or the value in the file of Init.
	Anneal *int `json:"anneal,omitempty"`
	// Gain to Memory say how a random network is drawn: see lstm.Init.
	Gain      float64  `json:"gain,omitzero"`
	InputGain float64  `json:"input_gain,omitzero"`
	Memory    *float64 `json:"memory,omitempty"`

	// Steps is the length of an episode. Horizons, if set, are the lengths in the stages of a curriculum. See
	// metatrain.TrainConfig for all fields of this group.
	Steps         int     `json:"steps,omitzero"`
	Horizons      []int   `json:"horizons,omitempty"`
	StagePatience int     `json:"stage_patience,omitzero"`
	RandomSteps   bool    `json:"random_steps,omitzero"`
	HideLength    float64 `json:"hide_length,omitzero"`
	Unroll        int     `json:"unroll,omitzero"`
	MetaBatch     int     `json:"meta_batch,omitzero"`

	// MetaSteps or Time limits the training. Only one of them may be set.
	MetaSteps int      `json:"meta_steps,omitzero"`
	Time      Duration `json:"time,omitzero"`

	// MetaLR to DecaySteps are the schedule of the meta learning rate. It rises to MetaLR over WarmUp meta-steps, then
	// decays to MetaLRDecay times MetaLR at meta-step DecaySteps, by default the last one.
	MetaLR      float64  `json:"meta_lr,omitzero"`
	WarmUp      *int     `json:"warm_up,omitempty"`
	MetaLRDecay *float64 `json:"meta_lr_decay,omitempty"`
	DecaySteps  int      `json:"decay_steps,omitzero"`
	// Clip bounds the norm of an episode's meta-gradient; +Inf means no bound.
	Clip Bound `json:"clip,omitzero"`

	// Estimator says how meta-gradients are computed: one of Estimators.
	Estimator string `json:"estimator,omitzero"`
	// SecondDerivatives to AdjointCoordinates are settings of backprop: see metatrain.TruncatedBackprop. Hessian says
	// how second derivatives are computed: Exact, if the task offers exact products, or by Differences of gradients.
	SecondDerivatives  *bool   `json:"second_derivatives,omitempty"`
	Hessian            string  `json:"hessian,omitzero"`
	AdjointClip        float64 `json:"adjoint_clip,omitzero"`
	AdjointCoordinates int     `json:"adjoint_coordinates,omitzero"`
	// Perturbation and Pairs are settings of es and pes: see metatrain.ES.
	Perturbation float64 `json:"perturbation,omitzero"`
	Pairs        int     `json:"pairs,omitzero"`
	// Objective says which function of a window's losses is minimized: one of Objectives. Reference is the rule whose
	// losses the objective relative divides by, such as adam@0.01.
	Objective string `json:"objective,omitzero"`
	Reference string `json:"reference,omitzero"`
	// Imitate is the probability of an episode in which the network imitates Teacher, a rule such as adam@0.01
	// (metatrain.Imitation).
	Imitate float64 `json:"imitate,omitzero"`
	Teacher string  `json:"teacher,omitzero"`

	// ValidEvery to Patience say how to validate and which network to keep: see metatrain.TrainConfig.
	ValidEvery int    `json:"valid_every,omitzero"`
	ValidRuns  int    `json:"valid_runs,omitzero"`
	ValidSteps []int  `json:"valid_steps,omitempty"`
	Selection  string `json:"selection,omitzero"`
	Patience   int    `json:"patience,omitzero"`

	// Seed determines everything random. Seeds is the number of trainings, with the seeds Seed, Seed+1 and so on; the
	// best network of all is kept (compare.Select).
	Seed  uint64 `json:"seed,omitzero"`
	Seeds int    `json:"seeds,omitzero"`

	// OnNonFinite says what to do after a window with a non-finite value: one of metatrain.NonFinitePolicies. SkipLimit
	// is the number of failures in a row that ends the training.
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

// A Duration is a time that is text in JSON: "1m30s".
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

// A Bound is a positive number or +Inf. In JSON, +Inf is the text "inf".
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
