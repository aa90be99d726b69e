package main

import (
	"fmt"
	"strconv"
	"strings"

	"learnedopt/compare"
	"learnedopt/metatrain"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// planFlags are those of how a meta-training goes on: the meta learning rate's
// schedule, the lengths of episodes, and what is kept.
type planFlags struct {
	seeds int // from the training's seed on
}

func (p *planFlags) add(cmd *cobra.Command, cfg *metatrain.TrainConfig) {
	fs := cmd.Flags()
	fs.Var(count{&cfg.WarmUp, 0}, "warm-up", "meta-steps over which the meta learning rate rises to --meta-lr")
	fs.Var(factor{&cfg.FinalFraction, false}, "meta-lr-decay", "fraction of --meta-lr that it ends at, along a cosine (1 is none)")
	fs.Var(count{&cfg.DecaySteps, 0}, "decay-steps", "meta-step at which the decay ends (the last one unless set)")
	fs.Var(counts{&cfg.ValidSteps}, "valid-steps", "horizons of a validation, as 100,200,1000 (--steps unless set)")
	fs.Var(choice{&cfg.Selection, compare.Selections()}, "selection", "which score of a validation is the best: the mean loss over instances and horizons, the geometric mean, or the geometric mean of mean and final losses")
	complete(cmd, "selection", compare.Selections()...)
	fs.Var(counts{&cfg.Horizons}, "horizons", "curriculum in place of --steps: inner steps of an episode, stage by stage, as 100,200,500")
	fs.Var(count{&cfg.StagePatience, 1}, "stage-patience", "validations without a new best that end a stage of --horizons, after 3 or more")
	fs.BoolVar(&cfg.RandomSteps, "random-steps", false, "draw every episode's length log-uniformly from --unroll to --steps")
	p.seeds = 1
	fs.Var(count{&p.seeds, 1}, "seeds", "train from so many seeds, --seed and those that follow, and keep the best network")
}

// check refuses flags that exclude each other. set says which the user set.
func (p *planFlags) check(set func(string) bool) error {
	switch {
	case set("horizons") && set("steps"):
		return usagef("--horizons says how long episodes are, as --steps does; set one of them")
	case set("stage-patience") && !set("horizons"):
		return usagef("--stage-patience is that of a stage of --horizons; set both, or --patience")
	case p.seeds > 1 && !set("meta-steps"):
		return usagef("--seeds needs --meta-steps, the limit of each: how far a time limit gets differs from run to run, and the command in the file could not train the same again")
	}
	return nil
}

// planRecord is the plan in log.jsonl and result.json.
type planRecord struct {
	WarmUp        int     `json:"warm_up"`
	FinalFraction float64 `json:"meta_learning_rate_decay"`
	DecaySteps    int     `json:"decay_steps,omitempty"`
	// ValidSteps is empty where validation has the episodes' horizon.
	ValidSteps []int  `json:"valid_steps,omitempty"`
	Selection  string `json:"selection"`
	// Horizons and StagePatience are those of a curriculum, whose longest is Steps.
	Horizons      []int `json:"horizons,omitempty"`
	StagePatience int   `json:"stage_patience,omitempty"`
	RandomSteps   bool  `json:"random_steps,omitempty"`
	// BestOf is the number of seeds that the network was chosen from, if more than one.
	BestOf int `json:"best_of,omitempty"`
	// OnNonFinite is the policy, if it is not to skip.
	OnNonFinite string `json:"on_non_finite,omitempty"`
}

func recordPlan(cfg metatrain.TrainConfig) planRecord {
	r := planRecord{
		WarmUp: cfg.WarmUp, FinalFraction: cfg.FinalFraction, DecaySteps: cfg.DecaySteps,
		ValidSteps: cfg.ValidSteps, Selection: cfg.Selection, Horizons: cfg.Horizons, RandomSteps: cfg.RandomSteps,
	}
	if len(r.Horizons) > 0 {
		r.StagePatience = cfg.StagePatience
	}
	if cfg.OnNonFinite != metatrain.SkipNonFinite {
		r.OnNonFinite = cfg.OnNonFinite
	}
	return r
}

// lengthArgs are the flags that make episodes as long again.
func (r trainRecord) lengthArgs() []string {
	if len(r.Horizons) == 0 {
		return []string{"--steps", strconv.Itoa(r.Steps)}
	}
	return []string{"--horizons", counts{&r.Horizons}.String(), "--stage-patience", strconv.Itoa(r.StagePatience)}
}

// args are the flags that make the plan again. The decay's end is one of them, as a
// training may have ended before it.
func (r planRecord) args() []string {
	var args []string
	if r.WarmUp > 0 {
		args = append(args, "--warm-up", strconv.Itoa(r.WarmUp))
	}
	if r.FinalFraction != 1 {
		args = append(args, "--meta-lr-decay", float(r.FinalFraction), "--decay-steps", strconv.Itoa(r.DecaySteps))
	}
	if len(r.ValidSteps) > 0 {
		args = append(args, "--valid-steps", counts{&r.ValidSteps}.String())
	}
	if r.Selection != compare.SelectMean {
		args = append(args, "--selection", r.Selection)
	}
	if r.RandomSteps {
		args = append(args, "--random-steps")
	}
	if r.BestOf > 1 {
		args = append(args, "--seeds", strconv.Itoa(r.BestOf))
	}
	if r.OnNonFinite != "" {
		args = append(args, "--on-non-finite", r.OnNonFinite)
	}
	return args
}

// counts is a flag's list of positive whole numbers that ascend.
type counts struct{ p *[]int }

var _ pflag.Value = counts{}

func (c counts) String() string {
	if c.p == nil {
		return ""
	}
	var words []string
	for _, n := range *c.p {
		words = append(words, strconv.Itoa(n))
	}
	return strings.Join(words, ",")
}

func (c counts) Set(s string) error {
	var all []int
	for word := range strings.SplitSeq(s, ",") {
		v, err := strconv.Atoi(word)
		if err != nil || v < 1 || len(all) > 0 && v <= all[len(all)-1] {
			return fmt.Errorf("it must be positive whole numbers that ascend, as 100,200,1000")
		}
		all = append(all, v)
	}
	*c.p = all
	return nil
}

func (c counts) Type() string { return "N,N" }
