package main

import (
	"runtime"
	"strconv"
	"strings"

	"learnedopt/compare"
	"learnedopt/internal/simd"
	"learnedopt/lstm"
	"learnedopt/metaopt"
	"learnedopt/metatrain"
)

// trainRecord is a training's full configuration in log.jsonl and result.json.
type trainRecord struct {
	Task    string        `json:"task"`
	Seed    uint64        `json:"seed"`
	Network networkRecord `json:"network"`
	// Init is the file that training started from.
	Init string `json:"init,omitempty"`
	// Start is how the network was drawn if there was no such file.
	Start            startRecord `json:"start"`
	Steps            int         `json:"steps"`
	Unroll           int         `json:"unroll"`
	MetaSteps        int         `json:"meta_steps_limit,omitempty"`
	Seconds          float64     `json:"seconds_limit,omitempty"`
	MetaLearningRate float64     `json:"meta_learning_rate"`
	planRecord
	estimatorRecord
	augmentRecord
	MetaBatch int `json:"meta_batch"`
	// Clip is null if there is no bound.
	Clip       compare.Number `json:"clip"`
	ValidEvery int            `json:"valid_every"`
	ValidRuns  int            `json:"valid_runs"`
	Patience   int            `json:"patience"`
	SkipLimit  int            `json:"skip_limit"`
}

// startRecord is an lstm.Init.
type startRecord struct {
	Gain      float64 `json:"gain"`
	InputGain float64 `json:"input_gain"`
	Memory    float64 `json:"memory,omitempty"`
}

type networkRecord struct {
	Inputs  string  `json:"inputs"`
	P       float64 `json:"p"`
	SignP   float64 `json:"sign_p"`
	Dense   int     `json:"dense"`
	Hidden  int     `json:"hidden"`
	Layers  int     `json:"layers"`
	Readout string  `json:"readout"`
	Scale   float64 `json:"scale"`
	Anneal  int     `json:"anneal,omitempty"`
}

func recordNetwork(cfg lstm.Config) networkRecord {
	return networkRecord{
		Inputs: cfg.Inputs.String(), P: cfg.P, SignP: cfg.SignP, Dense: cfg.Dense, Hidden: cfg.Hidden, Layers: cfg.Layers,
		Readout: cfg.Readout.String(), Scale: cfg.Scale, Anneal: cfg.Anneal,
	}
}

func recordTraining(cfg metatrain.TrainConfig, shape lstm.Config, init string, gradient estimatorRecord) trainRecord {
	return trainRecord{
		Task: cfg.Valid.Name(), Seed: cfg.Seed, Network: recordNetwork(shape), Init: init, Start: startRecord(cfg.Init.WithDefaults()),
		Steps: cfg.Steps, Unroll: cfg.Unroll, MetaSteps: cfg.MetaSteps, Seconds: cfg.Time.Seconds(),
		MetaLearningRate: cfg.MetaLearningRate, planRecord: recordPlan(cfg), estimatorRecord: gradient,
		MetaBatch: cfg.Batch, Clip: compare.Number(cfg.Clip),
		ValidEvery: cfg.ValidEvery, ValidRuns: cfg.ValidRuns, Patience: cfg.Patience, SkipLimit: cfg.SkipLimit,
	}
}

// startEvent is a log's first line.
type startEvent struct {
	Event   string `json:"event"`
	Version string `json:"version"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	Kernels string `json:"kernels"`
	trainRecord
}

func newStartEvent(r trainRecord) startEvent {
	return startEvent{
		Event: "start", Version: metaopt.Version(), Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH,
		Kernels: simd.Float32().Path, trainRecord: r,
	}
}

// endEvent is a log's last line.
type endEvent struct {
	Event string `json:"event"`
	outcome
}

// outcome is how a training ended.
type outcome struct {
	// Reason is "time", "meta-steps", "patience", "curriculum", "interrupted", "diverged" or "error".
	Reason  string  `json:"reason"`
	Error   string  `json:"error,omitempty"`
	Seconds float64 `json:"seconds"`
	// MetaSteps were taken; the one at BestMetaStep was kept, for its ValidLoss.
	MetaSteps    int            `json:"meta_steps"`
	BestMetaStep int            `json:"best_meta_step"`
	ValidLoss    compare.Number `json:"valid_loss"`
	// StartLoss is the validation loss before the first meta-step.
	StartLoss compare.Number `json:"start_valid_loss"`
	// Skipped windows were not finite.
	Skipped int `json:"skipped"`
	// KeptSteps is the horizon that the kept network was trained at, of a curriculum.
	KeptSteps int `json:"kept_steps,omitempty"`

	validated   int                    // meta-step of the last validation
	lastLoss    compare.Number         // its loss
	stale       int                    // validations since the best
	diagnostics *metatrain.Diagnostics // of the last validation
}

// command is the command line that trains the same optimizer again, whatever
// it was called by and wherever it writes: every setting that matters, as a
// flag. A training that something else than meta-steps ended is one of as
// many meta-steps as were validated.
func (r trainRecord) command(name string, validated int) string {
	args := append([]string{"metaopt", "meta-train"}, taskArgs(r.Task)...)
	if r.Init != "" {
		args = append(args, "--init", r.Init, "--inputs", r.Network.Inputs)
	} else {
		n := r.Network
		cfg := lstm.Config{P: n.P, SignP: n.SignP, Hidden: n.Hidden, Layers: n.Layers, Scale: n.Scale}
		cfg.Inputs, _ = lstm.ParseInputs(n.Inputs)
		cfg.Readout, _ = lstm.ParseReadout(n.Readout)
		args = append(args, networkArgs(cfg)...)
		args = append(args, initArgs(lstm.Init(r.Start))...)
	}
	if r.Network.Anneal > 0 || r.Init != "" { // the file may have another
		args = append(args, "--anneal", strconv.Itoa(r.Network.Anneal))
	}
	args = append(args, r.lengthArgs()...)
	args = append(args, "--unroll", strconv.Itoa(r.Unroll),
		"--meta-steps", strconv.Itoa(max(validated, 1)), "--meta-lr", float(r.MetaLearningRate), "--clip", clipText(r.Clip))
	args = append(args, r.planRecord.args()...)
	args = append(args, r.estimatorRecord.args()...)
	args = append(args, r.augmentRecord.args()...)
	if r.MetaBatch > 1 {
		args = append(args, "--meta-batch", strconv.Itoa(r.MetaBatch))
	}
	args = append(args, "--valid-every", strconv.Itoa(r.ValidEvery), "--valid-runs", strconv.Itoa(r.ValidRuns))
	if r.Patience > 0 {
		args = append(args, "--patience", strconv.Itoa(r.Patience))
	}
	if r.SkipLimit != library.SkipLimit {
		args = append(args, "--skip-limit", strconv.Itoa(r.SkipLimit))
	}
	args = append(args, "--seed", strconv.FormatUint(r.Seed, 10))
	if name != "" {
		args = append(args, "--name", name)
	}
	for i, arg := range args {
		args[i] = shellQuote(arg)
	}
	return strings.Join(args, " ")
}

func clipText(clip compare.Number) string {
	if !clip.Finite() {
		return "inf"
	}
	return float(float64(clip))
}

// shellQuote quotes an argument that a shell would take apart.
func shellQuote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_+=./:,@", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
