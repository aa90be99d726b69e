package runfolder

import (
	"context"
	"errors"
	"runtime"
	"strings"

	"learnedopt/baselines"
	"learnedopt/compare"
	"learnedopt/internal/simd"
	"learnedopt/lstm"
	"learnedopt/metaopt"
	"learnedopt/metatrain"
	"learnedopt/recipe"
)

// A Record is a training's full configuration, as written to log.jsonl and result.json. It is made from the recipe and is
// only for readers of these files: a resumed training reads the recipe.
type Record struct {
	Task    string  `json:"task"`
	Seed    uint64  `json:"seed"`
	Network Network `json:"network"`
	// Init is the file from which training started.
	Init string `json:"init,omitempty"`
	// Start says how the network was drawn, if training did not start from a file.
	Start            Start   `json:"start"`
	Steps            int     `json:"steps"`
	Unroll           int     `json:"unroll"`
	MetaSteps        int     `json:"meta_steps_limit,omitempty"`
	Seconds          float64 `json:"seconds_limit,omitempty"`
	MetaLearningRate float64 `json:"meta_learning_rate"`
	WarmUp           int     `json:"warm_up"`
	FinalFraction    float64 `json:"meta_learning_rate_decay"`
	DecaySteps       int     `json:"decay_steps,omitempty"`
	// ValidSteps is empty if validation uses the episodes' horizon.
	ValidSteps []int  `json:"valid_steps,omitempty"`
	Selection  string `json:"selection"`
	// Horizons and StagePatience describe a curriculum. Steps is then the longest horizon.
	Horizons      []int `json:"horizons,omitempty"`
	StagePatience int   `json:"stage_patience,omitempty"`
	RandomSteps   bool  `json:"random_steps,omitempty"`
	// BestOf is the number of seeds, if there are several; the best network was chosen from them.
	BestOf int `json:"best_of,omitempty"`
	// OnNonFinite is the policy for non-finite values, if it is not to skip.
	OnNonFinite       string  `json:"on_non_finite,omitempty"`
	Estimator         string  `json:"estimator"`
	Perturbation      float64 `json:"perturbation,omitempty"`
	Pairs             int     `json:"pairs,omitempty"`
	SecondDerivatives bool    `json:"second_derivatives"`
	Hessian           string  `json:"hessian,omitempty"` // how second derivatives are computed, if they are used
	AdjointClip       float64 `json:"adjoint_clip,omitempty"`
	// AdjointCoordinates is 0 if all coordinates are used.
	AdjointCoordinates int    `json:"adjoint_coordinates"`
	Objective          string `json:"objective"`
	// Reference is the rule of a relative objective, and Teacher the rule to imitate, as rule@learning rate. Imitate is
	// the probability of imitation.
	Reference string  `json:"reference,omitempty"`
	Imitate   float64 `json:"imitate,omitempty"`
	Teacher   string  `json:"teacher,omitempty"`
	// RandomScaling is the range R of the coordinates' factors, exp(-R) to exp(R); 0 means no scaling.
	RandomScaling float64 `json:"random_scaling,omitempty"`
	// Convex says that every episode includes a small convex problem.
	Convex    bool `json:"convex,omitempty"`
	MetaBatch int  `json:"meta_batch"`
	// Clip is null if there is no bound.
	Clip       compare.Number `json:"clip"`
	ValidEvery int            `json:"valid_every"`
	ValidRuns  int            `json:"valid_runs"`
	Patience   int            `json:"patience"`
	SkipLimit  int            `json:"skip_limit"`
}

// A Start is an lstm.Init in the record.
type Start struct {
	Gain      float64 `json:"gain"`
	InputGain float64 `json:"input_gain"`
	Memory    float64 `json:"memory,omitempty"`
}

// A Network is an lstm.Config in the record.
type Network struct {
	Inputs         string  `json:"inputs"`
	Context        string  `json:"context,omitempty"`
	FanIn          bool    `json:"fan_in,omitempty"`
	Orthogonal     bool    `json:"orthogonal,omitempty"`
	OrthogonalMean bool    `json:"orthogonal_mean,omitempty"`
	Hyper          int     `json:"hyper,omitempty"`
	P              float64 `json:"p"`
	SignP          float64 `json:"sign_p"`
	Dense          int     `json:"dense"`
	Hidden         int     `json:"hidden"`
	Layers         int     `json:"layers"`
	Readout        string  `json:"readout"`
	Scale          float64 `json:"scale"`
	Anneal         int     `json:"anneal,omitempty"`
}

// RecordNetwork returns the record of a network's shape.
func RecordNetwork(cfg lstm.Config) Network {
	return Network{
		Inputs: cfg.Inputs.String(), Context: cfg.Context.String(), FanIn: cfg.FanIn, Orthogonal: cfg.Orthogonal, OrthogonalMean: cfg.OrthogonalMean, Hyper: cfg.Hyper, P: cfg.P, SignP: cfg.SignP, Dense: cfg.Dense, Hidden: cfg.Hidden, Layers: cfg.Layers,
		Readout: cfg.Readout.String(), Scale: cfg.Scale, Anneal: cfg.Anneal,
	}
}

// recordTraining returns the record of a recipe with its defaults, whose configuration is cfg.
func recordTraining(r recipe.Recipe, cfg metatrain.TrainConfig) Record {
	record := Record{
		Task: cfg.Valid.Name(), Seed: r.Seed, Network: RecordNetwork(shapeOf(cfg)), Init: r.Init, Start: Start(cfg.Init.WithDefaults()),
		Steps: cfg.Steps, Unroll: r.Unroll, MetaSteps: r.MetaSteps, Seconds: cfg.Time.Seconds(),
		MetaLearningRate: r.MetaLR, WarmUp: cfg.WarmUp, FinalFraction: cfg.FinalFraction, DecaySteps: r.DecaySteps,
		ValidSteps: r.ValidSteps, Selection: r.Selection, Horizons: r.Horizons, StagePatience: r.StagePatience, RandomSteps: r.RandomSteps,
		Estimator: r.Estimator, Perturbation: r.Perturbation, Pairs: r.Pairs, SecondDerivatives: r.SecondDerivatives != nil && *r.SecondDerivatives,
		Hessian: r.Hessian, AdjointClip: r.AdjointClip, AdjointCoordinates: r.AdjointCoordinates, Objective: r.Objective, Reference: r.Reference,
		Imitate: r.Imitate, Teacher: r.Teacher, RandomScaling: r.RandomScaling, Convex: r.Convex,
		MetaBatch: r.MetaBatch, Clip: compare.Number(r.Clip),
		ValidEvery: r.ValidEvery, ValidRuns: r.ValidRuns, Patience: r.Patience, SkipLimit: r.SkipLimit,
	}
	if r.OnNonFinite != metatrain.SkipNonFinite {
		record.OnNonFinite = r.OnNonFinite
	}
	return record
}

// shapeOf returns the shape of the network from which training starts.
func shapeOf(cfg metatrain.TrainConfig) lstm.Config {
	if cfg.Initial != nil {
		return cfg.Initial.Config()
	}
	return cfg.Network
}

// startEvent is the first line of a log.
type startEvent struct {
	Event   string `json:"event"`
	Version string `json:"version"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	Kernels string `json:"kernels"`
	Record
}

func newStartEvent(r Record) startEvent {
	return startEvent{
		Event: "start", Version: metaopt.Version(), Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH,
		Kernels: simd.Float32().Path, Record: r,
	}
}

// endEvent is the last line of a log.
type endEvent struct {
	Event string `json:"event"`
	Outcome
}

// An Outcome says how a training ended, or how it is going.
type Outcome struct {
	// Reason is "time", "meta-steps", "patience", "curriculum", "interrupted", "diverged" or "error".
	Reason  string  `json:"reason"`
	Error   string  `json:"error,omitempty"`
	Seconds float64 `json:"seconds"`
	// MetaSteps is the number of meta-steps taken. The network at BestMetaStep was kept, because its validation loss,
	// ValidLoss, was the best.
	MetaSteps    int            `json:"meta_steps"`
	BestMetaStep int            `json:"best_meta_step"`
	ValidLoss    compare.Number `json:"valid_loss"`
	// StartLoss is the validation loss before the first meta-step.
	StartLoss compare.Number `json:"start_valid_loss"`
	// Skipped is the number of windows with non-finite values.
	Skipped int `json:"skipped"`
	// KeptSteps is the horizon of the stage that found the kept network, in a curriculum.
	KeptSteps int `json:"kept_steps,omitempty"`

	validated   int                    // meta-step of the last validation, -1 before the first
	lastLoss    compare.Number         // loss of the last validation
	stale       int                    // number of validations since the best
	diagnostics *metatrain.Diagnostics // diagnostics of the last validation
}

// Diagnostics returns the diagnostics of the last validation, or nil if there was none.
func (out Outcome) Diagnostics() *metatrain.Diagnostics { return out.diagnostics }

// LastLoss returns the loss of the last validation.
func (out Outcome) LastLoss() compare.Number { return out.lastLoss }

// Stalled says whether a training stopped improving: patience ended it, or the second half of its meta-steps had at least
// three validations and none was a new best.
func (out Outcome) Stalled() bool {
	return out.Reason == "patience" || out.stale >= 3 && 2*out.BestMetaStep <= out.validated
}

// observe takes up an event of the trainer.
func (out *Outcome) observe(e metatrain.Event) {
	switch e.Kind {
	case metatrain.EventDiverged:
		out.Skipped++
	case metatrain.EventValidation:
		if out.validated < 0 {
			out.StartLoss = e.Valid.Loss()
		}
		out.validated = e.MetaStep
		out.diagnostics = e.Diagnostics
		out.stale++
		if e.Best {
			out.stale = 0
			out.BestMetaStep, out.ValidLoss = e.MetaStep, e.Valid.Loss()
		}
		out.lastLoss = e.Valid.Loss()
	}
}

// ended takes up how a training ended, with the error of Train.
func (out *Outcome) ended(ctx context.Context, cfg metatrain.TrainConfig, t *metatrain.Trainer, err error) {
	out.Seconds, out.MetaSteps = t.Elapsed().Seconds(), t.MetaSteps()
	var diverged *metatrain.MetaDivergedError
	switch {
	case err == nil && cfg.MetaSteps > 0 && out.MetaSteps >= cfg.MetaSteps:
		out.Reason = "meta-steps"
	case err == nil && cfg.Time > 0 && out.Seconds >= cfg.Time.Seconds():
		out.Reason = "time"
	case err == nil && len(cfg.Horizons) > 0:
		out.Reason = "curriculum"
	case err == nil:
		out.Reason = "patience"
	case ctx.Err() != nil:
		out.Reason = "interrupted"
	case errors.As(err, &diverged):
		out.Reason = "diverged"
	default:
		out.Reason = "error"
	}
	if err != nil && ctx.Err() == nil {
		out.Error = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
}

// A Result is the content of result.json.
type Result struct {
	Comparison *compare.Comparison `json:"comparison"`
	// Tuning holds each hand-designed rule's grid of learning rates.
	Tuning []baselines.Tuned `json:"tuning"`
	Train  Trained           `json:"train"`
}

// Trained describes the training in a Result.
type Trained struct {
	Command string `json:"command"`
	Version string `json:"version"`
	Record
	Outcome
	Seeds []SeedResult `json:"seeds,omitempty"`
}
