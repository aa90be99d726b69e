package main

import (
	"fmt"
	"math"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"learnedopt/optimizer"
	"learnedopt/tasks"
)

// augmentFlags are what training episodes add to their task; validation does not.
type augmentFlags struct{ augmentRecord }

// augmentRecord is the same in log.jsonl and result.json.
type augmentRecord struct {
	// RandomScaling is the range R of the coordinates' factors exp(±R); 0 is none.
	RandomScaling float64 `json:"random_scaling,omitempty"`
	// Convex says that a small convex problem is trained beside.
	Convex bool `json:"convex,omitempty"`
}

func (f *augmentFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.Var(width{&f.RandomScaling}, "random-scaling", "scale every training episode's coordinates at random, by exp(-R) to exp(R) (Lv et al. 2017: 3; 0 for none)")
	fs.BoolVar(&f.Convex, "convex", false, "train beside every episode on a small convex problem (Lv et al. 2017)")
}

// family is what episodes are drawn from for a task.
func (r augmentRecord) family(task optimizer.Family) (optimizer.Family, error) {
	family := task
	if r.RandomScaling > 0 {
		scaling := tasks.RandomScaling{Family: family, Range: r.RandomScaling}
		if err := scaling.Validate(); err != nil {
			return nil, asUsage(err)
		}
		family = scaling
	}
	if r.Convex {
		family = tasks.Joint{Families: []optimizer.Family{family, tasks.RandomScaling{Family: tasks.Convex{}, Range: 1}}}
	}
	return family, nil
}

// args are the flags that make the same episodes again.
func (r augmentRecord) args() (args []string) {
	if r.RandomScaling > 0 {
		args = append(args, "--random-scaling", float(r.RandomScaling))
	}
	if r.Convex {
		args = append(args, "--convex")
	}
	return args
}

// width is a flag's number of at least 0.
type width struct{ p *float64 }

var _ pflag.Value = width{}

func (w width) String() string {
	if w.p == nil {
		return ""
	}
	return strconv.FormatFloat(*w.p, 'g', -1, 64)
}

func (w width) Set(s string) error {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v >= 0) || math.IsInf(v, 0) {
		return fmt.Errorf("it must be a number of at least 0")
	}
	*w.p = v
	return nil
}

func (w width) Type() string { return "R" }
