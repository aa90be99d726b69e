package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"learnedopt/baselines"
	"learnedopt/metatrain"
	"learnedopt/optimizer"
	"learnedopt/tasks"
)

// The values of --estimator and --objective; the first is the default.
var (
	estimators = []string{"backprop", "es", "pes"}
	objectives = []string{"sum", "last", "log", "ramp", "relative"}
)

// handDesigned is the rule of --reference and --teacher.
const handDesigned = "adam@0.01"

// estimatorFlags are those of how meta-gradients are computed, and of what.
type estimatorFlags struct {
	estimator, objective string
	perturbation         float64
	pairs                int
	second               bool
	adjointClip          float64
	part                 int // of the coordinates, in the adjoint
	imitate              float64
	reference, teacher   string
}

func (f *estimatorFlags) add(cmd *cobra.Command) {
	*f = estimatorFlags{
		estimator: estimators[0], objective: objectives[0], perturbation: 0.01, pairs: 1,
		reference: handDesigned, teacher: handDesigned,
	}
	fs := cmd.Flags()
	fs.Var(choice{&f.estimator, estimators}, "estimator", "how meta-gradients are computed: backprop through each window, or from perturbed unrolls by es, or by pes, which truncation does not bias")
	fs.Var(factor{&f.perturbation, false}, "perturbation", "standard deviation of es and pes")
	fs.Var(count{&f.pairs, 1}, "pairs", "perturbations of es and pes, each used with both signs")
	fs.BoolVar(&f.second, "second-derivatives", false, "differentiate through the gradients that the network reads, too")
	fs.Var(optional{&f.adjointClip}, "adjoint-clip", "bound of what --second-derivatives add to the adjoint at each step, in norms of the window's own gradients (none unless set)")
	fs.Var(count{&f.part, 0}, "adjoint-coordinates", "coordinates, drawn at random, that the meta-gradient is estimated from (all unless set)")
	fs.Var(choice{&f.objective, objectives}, "objective", "what a window's losses are worth: their sum, the last one, the sum of their logs, a ramp of weights over the episode, or the sum relative to --reference")
	fs.Var(ruleRate{&f.reference}, "reference", "hand-designed rule of --objective relative and its learning rate")
	fs.Var(share{&f.imitate}, "imitate", "probability of an episode in which the network imitates --teacher (0 unless set)")
	fs.Var(ruleRate{&f.teacher}, "teacher", "hand-designed rule to imitate and its learning rate")
	complete(cmd, "estimator", estimators...)
	complete(cmd, "objective", objectives...)
}

// record checks the flags against each other. set says which ones the user set.
func (f *estimatorFlags) record(set func(string) bool) (estimatorRecord, error) {
	r := estimatorRecord{
		Estimator: f.estimator, SecondDerivatives: f.second, AdjointClip: f.adjointClip, AdjointCoordinates: f.part, Objective: f.objective, Imitate: f.imitate,
	}
	if f.estimator == "backprop" {
		for _, flag := range []string{"perturbation", "pairs"} {
			if set(flag) {
				return r, usagef("--%s belongs to --estimator es or pes; set that, or drop it", flag)
			}
		}
	} else {
		if f.second || f.part > 0 {
			return r, usagef("--second-derivatives and --adjoint-coordinates belong to --estimator backprop; drop them, or --estimator %s", f.estimator)
		}
		r.Perturbation, r.Pairs = f.perturbation, f.pairs
	}
	if f.second && f.part > 0 {
		return r, usagef("--adjoint-coordinates needs independent coordinates, which --second-derivatives does away with; set one of them")
	}
	if f.adjointClip > 0 && !f.second {
		return r, usagef("--adjoint-clip bounds what --second-derivatives add; set that, or drop it")
	}
	switch {
	case f.objective == "relative":
		r.Reference = f.reference
	case set("reference"):
		return r, usagef("--reference belongs to --objective relative; set that, or drop it")
	}
	switch {
	case f.imitate > 0:
		r.Teacher = f.teacher
	case set("teacher"):
		return r, usagef("--teacher belongs to --imitate; set its probability, or drop it")
	}
	if f.imitate == 1 {
		for _, flag := range []string{"estimator", "objective", "second-derivatives", "adjoint-coordinates"} {
			if set(flag) {
				return r, usagef("--imitate 1 leaves no episode to --%s; drop it, or lower the probability", flag)
			}
		}
	}
	return r, nil
}

// estimatorRecord is the estimator in log.jsonl and result.json.
type estimatorRecord struct {
	Estimator         string  `json:"estimator"`
	Perturbation      float64 `json:"perturbation,omitempty"`
	Pairs             int     `json:"pairs,omitempty"`
	SecondDerivatives bool    `json:"second_derivatives"`
	AdjointClip       float64 `json:"adjoint_clip,omitempty"`
	// AdjointCoordinates is 0 if all are used.
	AdjointCoordinates int    `json:"adjoint_coordinates"`
	Objective          string `json:"objective"`
	// Reference is that of a relative objective, and Teacher that of imitation: rule@learning rate.
	Reference string  `json:"reference,omitempty"`
	Imitate   float64 `json:"imitate,omitempty"`
	Teacher   string  `json:"teacher,omitempty"`
}

// build returns the estimator for a task.
func (r estimatorRecord) build(task optimizer.Family) (metatrain.Estimator, error) {
	var objective metatrain.Objective
	switch r.Objective {
	case "sum":
		objective = metatrain.Sum{}
	case "last":
		objective = metatrain.Last{}
	case "log":
		objective = metatrain.Log{}
	case "ramp":
		objective = metatrain.Ramp{}
	case "relative":
		rule, err := parseRule(r.Reference)
		if err != nil {
			return nil, err
		}
		objective = metatrain.Relative{Rule: rule}
	}
	var e metatrain.Estimator
	switch r.Estimator {
	case "backprop":
		e = &metatrain.TruncatedBackprop{
			SecondDerivatives: r.SecondDerivatives, AdjointClip: r.AdjointClip, Coordinates: r.AdjointCoordinates, Objective: objective,
			Differences: r.SecondDerivatives && classifies(task),
		}
	case "es":
		e = &metatrain.ES{Perturbation: r.Perturbation, Pairs: r.Pairs, Objective: objective}
	case "pes":
		e = &metatrain.PES{Perturbation: r.Perturbation, Pairs: r.Pairs, Objective: objective}
	}
	if r.Imitate == 0 {
		return e, nil
	}
	teacher, err := parseRule(r.Teacher)
	if err != nil {
		return nil, err
	}
	return &metatrain.Imitation{Teacher: teacher, Probability: r.Imitate, Estimator: e}, nil
}

// classifies reports whether a task is of classifiers. Trainings on those took second derivatives by differences
// before there were exact ones, and have to be repeated bit for bit.
func classifies(task optimizer.Family) bool {
	spec, err := tasks.Parse(task.Name())
	return err == nil && spec.Classifies()
}

// args are the flags that make the estimator again.
func (r estimatorRecord) args() []string {
	var args []string
	if r.Estimator != estimators[0] {
		args = append(args, "--estimator", r.Estimator, "--perturbation", float(r.Perturbation), "--pairs", strconv.Itoa(r.Pairs))
	}
	if r.SecondDerivatives {
		args = append(args, "--second-derivatives")
	}
	if r.AdjointClip > 0 {
		args = append(args, "--adjoint-clip", float(r.AdjointClip))
	}
	if r.AdjointCoordinates > 0 {
		args = append(args, "--adjoint-coordinates", strconv.Itoa(r.AdjointCoordinates))
	}
	if r.Objective != objectives[0] {
		args = append(args, "--objective", r.Objective)
	}
	if r.Reference != "" {
		args = append(args, "--reference", r.Reference)
	}
	if r.Imitate > 0 {
		args = append(args, "--imitate", float(r.Imitate), "--teacher", r.Teacher)
	}
	return args
}

// parseRule returns the rule of adam@0.01.
func parseRule(s string) (optimizer.Rule, error) {
	name, rate, _ := strings.Cut(s, "@")
	learningRate, err := strconv.ParseFloat(rate, 64)
	if err != nil || !slices.Contains(baselines.Names(), name) || learningRate == 0 {
		return nil, fmt.Errorf("it must be a rule and its learning rate, as %s; the rules are %s", handDesigned, strings.Join(baselines.Names(), ", "))
	}
	return baselines.New(name, learningRate)
}

// ruleRate is a flag's rule with its learning rate, as adam@0.01.
type ruleRate struct{ p *string }

var _ pflag.Value = ruleRate{}

func (r ruleRate) String() string {
	if r.p == nil {
		return ""
	}
	return *r.p
}

func (r ruleRate) Set(s string) error {
	if _, err := parseRule(s); err != nil {
		return err
	}
	*r.p = s
	return nil
}

func (r ruleRate) Type() string { return "RULE@F" }

// share is a flag's probability, above 0.
type share struct{ p *float64 }

var _ pflag.Value = share{}

func (s share) String() string {
	if s.p == nil || *s.p == 0 {
		return ""
	}
	return float(*s.p)
}

func (s share) Set(text string) error {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v > 0 && v <= 1) {
		return fmt.Errorf("it must be a probability above 0, at most 1")
	}
	*s.p = v
	return nil
}

func (s share) Type() string { return "P" }
