package results

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

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
	// name. They depend on other records: Compare fills them in, a file does not hold them.
	SpeedUp map[string]SpeedUp `json:"speed_up,omitempty"`
	Paired  map[string]Ratio   `json:"paired,omitempty"`
	// Seconds is the wall time of all rules that ran together with this one in the cell, tuning
	// excluded.
	Seconds float64 `json:"seconds"`
}

// Validate says in what a record that was read contradicts itself.
func (r *Record) Validate() error {
	points := len(r.CurveSteps)
	if r.Key == "" || r.Steps < 1 || r.Runs < 1 || len(r.MeanLosses) != r.Runs || len(r.FinalLosses) != r.Runs ||
		len(r.Curve) != points || len(r.CurveCI95[0]) != points || len(r.CurveCI95[1]) != points || len(r.Reach) > 0 && r.ReachEvery < 1 {
		return errors.New("a record without a key, or with fewer or more numbers than it says")
	}
	return nil
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

// String returns "1.50×", or "> 4×" of a lower bound.
func (s SpeedUp) String() string {
	switch {
	case s.Censored:
		return fmt.Sprintf("> %.3g×", s.Factor)
	case s.Factor < 0.095:
		return fmt.Sprintf("%.1g×", s.Factor)
	}
	return fmt.Sprintf("%.2f×", s.Factor)
}

// sortSpeedUps sorts by the factor. A lower bound sorts after an exact value that equals it.
func sortSpeedUps(all []SpeedUp) {
	slices.SortStableFunc(all, func(a, b SpeedUp) int {
		censored := func(x SpeedUp) int {
			if x.Censored {
				return 1
			}
			return 0
		}
		return cmp.Or(cmp.Compare(a.Factor, b.Factor), censored(a)-censored(b))
	})
}

// A MedianSpeedUp is the median of some speed-ups.
type MedianSpeedUp struct {
	Factor float64
	// AtLeast says that Factor is a lower bound, since a lower bound is among the speed-ups up to it: what that one
	// stands for may lie anywhere above.
	AtLeast bool
}

// MedianOf returns the median of some speed-ups by their factors, the lower one of two; ok is false if there are none.
func MedianOf(all []SpeedUp) (m MedianSpeedUp, ok bool) {
	if len(all) == 0 {
		return m, false
	}
	sorted := slices.Clone(all)
	sortSpeedUps(sorted)
	middle := (len(sorted) - 1) / 2
	atLeast := slices.ContainsFunc(sorted[:middle+1], func(x SpeedUp) bool { return x.Censored })
	return MedianSpeedUp{sorted[middle].Factor, atLeast}, true
}

// String returns "1.50×", or "at least 4×".
func (m MedianSpeedUp) String() string {
	return strings.Replace(SpeedUp{Factor: m.Factor, Censored: m.AtLeast}.String(), ">", "at least", 1)
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

// ReadRecords reads the records of a sweep's folder by their keys. See ReadLines.
func ReadRecords(dir string) (map[string]Record, error) {
	return ReadLines(filepath.Join(dir, CellsFile), func(r Record) string {
		if r.Validate() != nil {
			return ""
		}
		return r.Key
	})
}

// ReadLines reads the finished lines of a file by their keys; there are none if there is no
// file. Of lines with the same key the last one counts. A line that is broken though it has an end, or has
// no key, is an error: a crash does not do that.
func ReadLines[T any](path string, key func(T) string) (map[string]T, error) {
	all := map[string]T{}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	} else if err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	for number := 1; ; number++ {
		line, rest, ok := bytes.Cut(data, []byte("\n"))
		if !ok {
			return all, nil
		}
		var v T
		if err := json.Unmarshal(line, &v); err != nil || key(v) == "" {
			return nil, fmt.Errorf("sweep: %s:%d is damaged; remove that line, and the same command computes it again", path, number)
		}
		all[key(v)] = v
		data = rest
	}
}
