package main

import (
	"strconv"

	"github.com/spf13/cobra"

	"learnedopt/metaopt"
)

// planFlags are those of how a meta-training goes on: the meta learning rate's
// schedule.
type planFlags struct{}

func (p *planFlags) add(cmd *cobra.Command, cfg *metaopt.TrainConfig) {
	fs := cmd.Flags()
	fs.Var(count{&cfg.WarmUp, 0}, "warm-up", "meta-steps over which the meta learning rate rises to --meta-lr")
	fs.Var(factor{&cfg.FinalFraction, false}, "meta-lr-decay", "fraction of --meta-lr that it ends at, along a cosine (1 is none)")
	fs.Var(count{&cfg.DecaySteps, 0}, "decay-steps", "meta-step at which the decay ends (the last one unless set)")
}

// planRecord is the plan in log.jsonl and result.json.
type planRecord struct {
	WarmUp        int     `json:"warm_up"`
	FinalFraction float64 `json:"meta_learning_rate_decay"`
	DecaySteps    int     `json:"decay_steps,omitempty"`
}

func recordPlan(cfg metaopt.TrainConfig) planRecord {
	return planRecord{WarmUp: cfg.WarmUp, FinalFraction: cfg.FinalFraction, DecaySteps: cfg.DecaySteps}
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
	return args
}
