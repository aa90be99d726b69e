package htmlreport

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"

	"learnedopt/compare"
	"learnedopt/report"
)

// A Comparison compares rules on fresh instances.
type Comparison struct {
	Task  string `json:"task"`
	Steps int    `json:"steps"`
	Runs  int    `json:"runs"`
	Seed  string `json:"seed"`
	Rules []Rule `json:"rules"` // the best mean loss first
	// Styles holds the rules' places in the lists of colours, by name; see report.Places.
	Styles map[string]int `json:"styles"`
}

// A Rule says how one rule did in a comparison.
type Rule struct {
	Name         string `json:"name"`
	Learned      bool   `json:"learned,omitempty"`
	LearningRate *Num   `json:"learning_rate,omitempty"`
	Multiplier   *Num   `json:"multiplier,omitempty"`
	Tuned        string `json:"tuned,omitempty"`
	Source       string `json:"source,omitempty"`
	Digest       string `json:"digest,omitempty"`
	MeanLoss     Num    `json:"mean_loss"`
	MeanLossCI   [2]Num `json:"mean_loss_ci95"`
	FinalLoss    Num    `json:"final_loss"`
	Diverged     int    `json:"diverged"`
	Runs         int    `json:"runs"`
	ValidLoss    *Num   `json:"valid_loss,omitempty"`
	TestAccuracy *Num   `json:"test_accuracy,omitempty"`
	Gradient     *Num   `json:"gradient_seconds,omitempty"` // of a step
	Update       *Num   `json:"update_seconds,omitempty"`
	Curve        *Curve `json:"curve,omitempty"`
}

// A Curve is a learning curve with its interval, at some of the steps.
type Curve struct {
	Steps []int `json:"steps"`
	Mean  []Num `json:"mean"`
	Lo    []Num `json:"lo,omitempty"`
	Hi    []Num `json:"hi,omitempty"`
}

// maxRules is the largest number of rules in a comparison or a cell.
const maxRules = 100

// resultDocument holds the parts of result.json that a page needs.
type resultDocument struct {
	Comparison *compare.Comparison `json:"comparison"`
	Tuning     []struct {
		Name         string  `json:"name"`
		LearningRate float64 `json:"learning_rate"`
		AtEdge       bool    `json:"at_edge"`
	} `json:"tuning"`
	Train struct {
		Command string `json:"command"`
	} `json:"train"`
}

// result is the content of result.json, prepared for a page.
type result struct {
	comparison *Comparison
	command    string
	findings   []Finding
	problems   problems
}

func decodeResult(data []byte) (*result, error) {
	var doc resultDocument
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	r := &result{command: clean(doc.Train.Command, maxText)}
	c := doc.Comparison
	if c == nil {
		return r, nil
	}
	if len(c.Rules) > maxRules {
		return nil, fmt.Errorf("%d rules are too many", len(c.Rules))
	}
	r.comparison = &Comparison{Task: clean(c.Task, maxName), Steps: c.Steps, Runs: c.Runs, Seed: fmt.Sprint(c.Seed)}
	for _, rule := range c.Rules {
		r.comparison.Rules = append(r.comparison.Rules, newRule(rule, c.Runs))
		if rule.Diverged > 0 {
			r.problems.add(clean(rule.Name, maxName), fmt.Sprintf("diverged in %d of %d runs of the comparison", rule.Diverged, c.Runs))
		}
	}
	r.comparison.Styles = stylesOf(r.comparison.Rules)
	slices.SortStableFunc(r.comparison.Rules, func(a, b Rule) int {
		return cmp.Or(cmp.Compare(a.Diverged, b.Diverged), cmp.Compare(a.MeanLoss, b.MeanLoss))
	})
	for _, t := range doc.Tuning {
		if t.AtEdge {
			r.problems.add(clean(t.Name, maxName), fmt.Sprintf("does best at learning rate %.3g, the end of the grid: a better one may lie beyond", t.LearningRate))
		}
	}
	for _, p := range c.Paired {
		r.findings = append(r.findings, pairedFinding(p, c))
		if f, ok := timeFinding(p, r.comparison.Rules); ok {
			r.findings = append(r.findings, f)
		}
	}
	return r, nil
}

// stylesOf returns the places of the rules in the lists of colours: those of the pictures with the same rules in the same order.
func stylesOf(rules []Rule) map[string]int {
	names, learned := make([]string, len(rules)), make([]bool, len(rules))
	for i, r := range rules {
		names[i], learned[i] = r.Name, r.Learned
	}
	styles := map[string]int{}
	for i, place := range report.Places(names, learned) {
		if _, known := styles[names[i]]; !known {
			styles[names[i]] = place
		}
	}
	return styles
}

func newRule(r compare.Result, runs int) Rule {
	rule := Rule{
		Name: clean(r.Name, maxName), Learned: r.Kind == compare.Learned, LearningRate: (*Num)(r.LearningRate), Multiplier: (*Num)(r.Multiplier),
		MeanLoss: number(r.MeanLoss), MeanLossCI: [2]Num{number(r.MeanLossCI95[0]), number(r.MeanLossCI95[1])},
		FinalLoss: number(r.FinalLoss), Diverged: r.Diverged, Runs: runs,
		ValidLoss: (*Num)(r.ValidLoss), TestAccuracy: (*Num)(r.TestAccuracy),
		Curve: thin(nil, r.Curve, r.CurveCI95, curvePoints),
	}
	rule.setTime(r.StepTime)
	return rule
}

// setTime sets the time of a step. Times that no clock measures are left out.
func (r *Rule) setTime(s *compare.StepTime) {
	if s == nil || !(s.Gradient >= 0) || !(s.Update >= 0) || !(s.Seconds() > 0) || !compare.Number(s.Seconds()).Finite() {
		return
	}
	gradient, update := Num(s.Gradient), Num(s.Update)
	r.Gradient, r.Update = &gradient, &update
}

// stepTime is the time of a step, nil if it is not known.
func (r *Rule) stepTime() *compare.StepTime {
	if r.Gradient == nil || r.Update == nil {
		return nil
	}
	return &compare.StepTime{Gradient: float64(*r.Gradient), Update: float64(*r.Update)}
}

func number(x compare.Number) Num { return Num(x) }

// The number of points of a curve on a page: for a run, and for a cell of a sweep.
const (
	curvePoints = 400
	cellPoints  = 60
)

// spread returns at most about max of the indices 0 … n-1. Half of them are spread evenly and half evenly on a logarithmic
// scale, so that curves look smooth on both axes. The first and the last index are always included.
func spread(n, max int) (at []int) {
	if n <= max {
		for i := range n {
			at = append(at, i)
		}
		return at
	}
	keep := map[int]bool{}
	for k := range max / 2 {
		x := float64(k) / float64(max/2-1)
		keep[int(math.Round(x*float64(n-1)))] = true
		keep[int(math.Round(math.Pow(float64(n), x)))-1] = true
	}
	return slices.Sorted(maps.Keys(keep))
}

// pick returns the elements of x at the given indices.
func pick[T any](x []T, at []int) []T {
	y := make([]T, len(at))
	for k, i := range at {
		y[k] = x[i]
	}
	return y
}

// thin keeps at most about max points of a curve. If steps is nil, the steps are 0, 1, ….
func thin(steps []int, mean []compare.Number, ci [2][]compare.Number, max int) *Curve {
	n := len(mean)
	if n == 0 || steps != nil && len(steps) != n {
		return nil
	}
	c := &Curve{}
	for _, i := range spread(n, max) {
		step := i
		if steps != nil {
			step = steps[i]
		}
		c.Steps, c.Mean = append(c.Steps, step), append(c.Mean, number(mean[i]))
		if len(ci[0]) == n && len(ci[1]) == n {
			c.Lo, c.Hi = append(c.Lo, number(ci[0][i])), append(c.Hi, number(ci[1][i]))
		}
	}
	return c
}
