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

// A Record says how one optimizer did in one cell, on all instances. It is a line of cells.jsonl.
type Record struct {
	// Key is a hash of everything that the record's numbers depend on: records with the same key have the same numbers.
	Key string `json:"key"`
	// Version is the version of the program. Time says when the record was finished, in RFC 3339.
	Version string `json:"version"`
	Time    string `json:"time"`
	// Task is the canonical name of the cell's task. Cell holds the value of every axis by the axis' key.
	Task  string            `json:"task"`
	Cell  map[string]string `json:"cell"`
	Steps int               `json:"steps"`
	Runs  int               `json:"runs"`
	Seed  uint64            `json:"seed"`
	Rule  Rule              `json:"rule"`
	// MeanLosses and FinalLosses have an entry for each instance: the mean of all losses f(θ_0) … f(θ_T), and the mean of
	// the last five. If the run diverged, the entry is +Inf, null in JSON.
	MeanLosses  []compare.Number `json:"mean_losses"`
	FinalLosses []compare.Number `json:"final_losses"`
	Diverged    int              `json:"diverged"`
	// DivergedAt has a text for each run that diverged: the instance and where the run diverged.
	DivergedAt []string `json:"diverged_at,omitempty"`
	// Curve is the mean over instances of f(θ_t) at each t in CurveSteps, which are at most 201 of the steps 0 … T, 0 and T
	// among them. CurveCI95 holds the lower and the upper end of its 95 % bootstrap interval.
	CurveSteps []int               `json:"curve_steps"`
	Curve      []compare.Number    `json:"curve"`
	CurveCI95  [2][]compare.Number `json:"curve_ci95"`
	// Reach is set for ReachRule only. Reach[i] is the lowest value up to step i·ReachEvery of the mean curve, averaged
	// over five steps.
	Reach      []compare.Number `json:"reach,omitempty"`
	ReachEvery int              `json:"reach_every,omitempty"`
	// SpeedUp and Paired compare a learned rule with each tuned rule of the cell, by the tuned rule's
	// name. They depend on other records: Compare fills them in, and files do not hold them.
	SpeedUp map[string]SpeedUp `json:"speed_up,omitempty"`
	Paired  map[string]Ratio   `json:"paired,omitempty"`
	// Seconds is the wall time of all rules that ran together with this one in the cell, tuning
	// excluded.
	Seconds float64 `json:"seconds"`
	// StepTime is the time of a step, nil if nobody measured it. It depends on the machine.
	StepTime *compare.StepTime `json:"step_time,omitempty"`
}

// Validate reports whether a record lacks its key, or has more or fewer numbers than it says.
func (r *Record) Validate() error {
	points := len(r.CurveSteps)
	if r.Key == "" || r.Steps < 1 || r.Runs < 1 || len(r.MeanLosses) != r.Runs || len(r.FinalLosses) != r.Runs ||
		len(r.Curve) != points || len(r.CurveCI95[0]) != points || len(r.CurveCI95[1]) != points || len(r.Reach) > 0 && r.ReachEvery < 1 {
		return errors.New("a record without a key, or with fewer or more numbers than it says")
	}
	return nil
}

// A SpeedUp says how long a tuned rule takes to get as low as a learned rule is after T steps.
type SpeedUp struct {
	// Steps is the first step at which the tuned rule's mean curve, averaged over five steps, is no
	// higher than the learned rule's final loss; Factor is Steps/T.
	Steps  float64 `json:"steps"`
	Factor float64 `json:"factor"`
	// Censored says that the tuned rule did not get that low in its whole run, or before it diverged on an
	// instance. Steps and Factor are then lower bounds: the length of the run up to there.
	Censored bool `json:"censored"`
}

// inTime returns the speed-up in wall time, where a step of the tuned rule takes the time tuned and one of the learned rule the
// time learned. It is nil if one of them is not known.
func (s SpeedUp) inTime(tuned, learned *compare.StepTime) *SpeedUp {
	if tuned == nil || learned == nil || !(learned.Seconds() > 0) {
		return nil
	}
	s.Factor *= tuned.Seconds() / learned.Seconds()
	return &s
}

// String returns the factor as "1.50×", or as "> 4×" if it is a lower bound.
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
	// AtLeast says that Factor is a lower bound. It is one if any of the speed-ups up to the median is a lower bound: the true
	// value of that speed-up may lie anywhere above it.
	AtLeast bool
}

// MedianOf returns the median of speed-ups by their factors; of two middle ones it is the lower. ok is false if there are none.
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

// Open is the verdict if the interval of the difference includes 0.
const Open = "open"

// A Ratio compares the mean losses of a learned and a tuned rule on the same instances.
type Ratio struct {
	// Ratio is the learned rule's mean loss over the tuned rule's. CI95 is its 95 % bootstrap interval over pairs. They are
	// infinite, null in JSON, if one of the two diverged.
	Ratio compare.Number    `json:"ratio"`
	CI95  [2]compare.Number `json:"ci95"`
	// Verdict is compare.Won or compare.Lost if the interval of the difference excludes 0, or
	// if one of the two diverged less often; else Open.
	Verdict string `json:"verdict"`
}

// ReadRecords reads the records of a sweep's folder by their keys, as ReadLines does. A record that is not valid is an error.
func ReadRecords(dir string) (map[string]Record, error) {
	return ReadLines(filepath.Join(dir, CellsFile), func(r Record) string {
		if r.Validate() != nil {
			return ""
		}
		return r.Key
	})
}

// ReadLines reads the finished lines of a file by their keys. If there is no file it returns an empty map. Of lines with
// the same key the last one counts. An unfinished last line is ignored. A finished line that is no JSON, or has no
// key, is an error: a crash does not leave such a line.
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
