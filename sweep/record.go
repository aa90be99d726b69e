package sweep

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"learnedopt/compare"
)

// A Record is how one optimizer did in one cell, on all instances: a line of cells.jsonl.
type Record struct {
	// Key is a hash of all that defines the record: the same key, the same numbers.
	Key string `json:"key"`
	// Version is that of the program, Time (RFC 3339) when the record was finished.
	Version string `json:"version"`
	Time    string `json:"time"`
	// Task is the canonical name of the cell's task, Cell the value of every axis.
	Task  string            `json:"task"`
	Cell  map[string]string `json:"cell"`
	Steps int               `json:"steps"`
	Runs  int               `json:"runs"`
	Seed  uint64            `json:"seed"`
	Rule  Rule              `json:"rule"`
	// MeanLosses and FinalLosses have an entry for each instance, +Inf, null in JSON, where the run
	// diverged: the means of f(θ_0) … f(θ_T) and of the last five.
	MeanLosses  []compare.Number `json:"mean_losses"`
	FinalLosses []compare.Number `json:"final_losses"`
	Diverged    int              `json:"diverged"`
	// DivergedAt says of each divergence which instance it was and where.
	DivergedAt []string `json:"diverged_at,omitempty"`
	// Curve is the mean over instances of f(θ_t) at CurveSteps, at most 201 of 0 … T, 0 and T
	// among them; CurveCI95 is its bootstrap interval.
	CurveSteps []int               `json:"curve_steps"`
	Curve      []compare.Number    `json:"curve"`
	CurveCI95  [2][]compare.Number `json:"curve_ci95"`
	// Reach, of the rule that speed-ups are measured by, is the least that the mean curve, averaged
	// over five steps, has been at steps 0, ReachEvery, 2·ReachEvery, …
	Reach      []compare.Number `json:"reach,omitempty"`
	ReachEvery int              `json:"reach_every,omitempty"`
	// SpeedUp and Paired, of learned rules, compare with each tuned rule of the cell by its
	// name. They depend on other records: Results fills them in, a Store does not hold them.
	SpeedUp map[string]SpeedUp `json:"speed_up,omitempty"`
	Paired  map[string]Ratio   `json:"paired,omitempty"`
	// Seconds is how long the cell's runs took that the record is of, all rules that ran with
	// this one together; tuning does not count.
	Seconds float64 `json:"seconds"`
}

// sound is whether a record that was read can be one that was written: as many numbers as it says.
func (r *Record) sound() bool {
	points := len(r.CurveSteps)
	return r.Key != "" && r.Steps >= 1 && r.Runs >= 1 && len(r.MeanLosses) == r.Runs && len(r.FinalLosses) == r.Runs &&
		len(r.Curve) == points && len(r.CurveCI95[0]) == points && len(r.CurveCI95[1]) == points && (len(r.Reach) == 0 || r.ReachEvery >= 1)
}

// A Rule is an optimizer of a sweep.
type Rule struct {
	// Name is shown; it is unique among a sweep's rules.
	Name string `json:"name"`
	// Kind is compare.Learned or compare.Baseline.
	Kind string `json:"kind"`
	// Source is a learned rule's file or pretrained:NAME, Digest the SHA-256 of its
	// parameters and configuration.
	Source string `json:"source,omitempty"`
	Digest string `json:"digest,omitempty"`
	// Baseline is a hand-designed rule's plain name, Tuned TuneBase or TuneCell, LearningRate what it
	// was tuned to: nil before that.
	Baseline     string   `json:"baseline,omitempty"`
	Tuned        string   `json:"tuned,omitempty"`
	LearningRate *float64 `json:"learning_rate,omitempty"`
}

// A SpeedUp says how long a tuned rule takes to get where a learned one is after T steps.
type SpeedUp struct {
	// Steps is the first step at which the tuned rule's mean curve, averaged over five steps, is no
	// higher than the learned rule's final loss; Factor is Steps/T.
	Steps  float64 `json:"steps"`
	Factor float64 `json:"factor"`
	// Censored says that it did not get there in the longest run that it was given, or in
	// all of it that no instance diverged in: Steps and Factor are that run's, a lower bound.
	Censored bool `json:"censored"`
}

// Open is the verdict that nothing is decided.
const Open = "open"

// A Ratio compares the mean losses of a learned and a tuned rule on the same instances.
type Ratio struct {
	// Ratio is of the mean losses, CI95 its bootstrap interval over pairs: infinite, null in JSON,
	// where one of the two diverged.
	Ratio compare.Number    `json:"ratio"`
	CI95  [2]compare.Number `json:"ci95"`
	// Verdict is compare.Won or compare.Lost where the interval of the difference excludes 0, or
	// where one of the two diverged less often; else Open.
	Verdict string `json:"verdict"`
}

// format is the version of what a record's key stands for: to be raised when the same definition
// gives other numbers.
const format = 1

// A definition is what a record's numbers depend on. Names that are only shown do not enter.
type definition struct {
	Format int    `json:"format"`
	Task   string `json:"task"`
	Steps  int    `json:"steps"`
	Runs   int    `json:"runs"`
	Seed   uint64 `json:"seed"`
	// Of a learned rule.
	Digest string `json:"digest,omitempty"`
	// Of a hand-designed one; Reach is how many times T it runs.
	Baseline string `json:"baseline,omitempty"`
	Tuned    string `json:"tuned,omitempty"`
	Tuning   string `json:"tuning,omitempty"` // key
	Reach    int    `json:"reach,omitempty"`
}

// A Tuning is a line of tuning.jsonl: the learning rate of one rule on one task.
type Tuning struct {
	Key string `json:"key"`
	tuningDefinition
	// LearningRate is 0 if every one diverged.
	LearningRate float64 `json:"learning_rate"`
	AtEdge       bool    `json:"at_edge,omitempty"`
}

type tuningDefinition struct {
	Format int    `json:"format"`
	Rule   string `json:"rule"`
	Task   string `json:"task"`
	Steps  int    `json:"steps"`
	Runs   int    `json:"runs"`
	Grid   int    `json:"grid"` // learning rates a decade
	Seed   uint64 `json:"seed"`
}

// keyOf is the first 16 digits of the SHA-256 of a definition's JSON.
func keyOf(definition any) string {
	data, err := json.Marshal(definition)
	if err != nil {
		panic(fmt.Sprintf("sweep: %v", err)) // of plain fields: cannot be
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])[:16]
}
