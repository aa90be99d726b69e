package command

import (
	"context"
	"fmt"
	"math"
	"strconv"

	"github.com/spf13/cobra"

	"learnedopt/compare"
	"learnedopt/internal/stream"
	"learnedopt/lstm"
	"learnedopt/metatrain/adjoint"
	"learnedopt/recipe"
	"learnedopt/report"
)

type checkFlags struct {
	task    taskFlags
	network recipeFlags
	cfg     adjoint.CheckConfig
	json    string
	quiet   bool
}

func newCheckGradient(a *app) *cobra.Command {
	f := checkFlags{cfg: adjoint.CheckConfig{}.WithDefaults()}
	f.cfg.Unrolls = nil
	cmd := &cobra.Command{
		Use:   "check-gradient",
		Short: "Measure how far truncated meta-gradients are from the whole one",
		Long: `Compute the meta-gradient of whole episodes in four ways: in windows of several
lengths or in one, and without or with second derivatives. Print each one's norm, and
its cosine with the whole gradient: in one window, with second derivatives. 1 is no bias in
direction. The network is a random one, or the one of --init.

docs/truncation.md says how to read the table.`,
		Example: `  metaopt check-gradient --task quadratic-uniform
  metaopt check-gradient --init optimizer.mopt --unrolls 1,20,100 --episodes 4`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.quiet = f.quiet
			return f.run(cmd.Context(), a)
		},
	}
	f.task.add(cmd, defaultTask, "task to check on")
	f.network.add(cmd, plainDefaults, networkOptions)
	fs := cmd.Flags()
	fs.Var(countFlag{&f.cfg.Steps, 1}, "steps", "inner steps of an episode")
	fs.IntSliceVar(&f.cfg.Unrolls, "unrolls", nil, "window `LENGTHS` to compare; each divides --steps (1,5,10,20,50,100 where they do, unless set)")
	fs.Var(countFlag{&f.cfg.Episodes, 1}, "episodes", "episodes that the gradients are averaged over")
	fs.Var(seedFlag{&f.cfg.Seed}, "seed", "seed of everything random")
	fs.Var(textFlag{&f.json, "FILE"}, "json", "write the report as JSON, - for standard output in place of the table")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "no progress, no remarks")
	return cmd
}

// plainDefaults is the version of the defaults for the checked network: the plain network of version 1.
const plainDefaults = 1

// networkOptions are the options of a recipe that determine the network.
var networkOptions = []string{"inputs", "readout", "scale", "p", "sign-p", "anneal", "hidden", "lstm-layers", "gain", "input-gain", "memory", "init"}

// start returns the network to check.
func (f *checkFlags) start() (*lstm.Network, error) {
	r, err := recipe.Recipe{Defaults: plainDefaults}.With(f.network.settings...)
	if err == nil {
		err = r.Validate()
	}
	if err != nil {
		return nil, asUsage(err)
	}
	if r.Init != "" {
		o, err := load(r.Init)
		if err != nil {
			return nil, err
		}
		net, err := r.Start(o.Network)
		return net, asUsage(err)
	}
	shape, draw, err := r.Network()
	if err != nil {
		return nil, err
	}
	return draw.Random(shape, stream.New(f.cfg.Seed, "init", 0))
}

func (f *checkFlags) run(ctx context.Context, a *app) error {
	if err := checkTarget("json", f.json); err != nil {
		return err
	}
	cfg := f.cfg
	var err error
	if cfg.Network, err = f.start(); err != nil {
		return err
	}
	if cfg.Family, err = f.task.family(); err != nil {
		return err
	}
	if err := cfg.Validate(); err != nil {
		return asUsage(err)
	}
	cfg = cfg.WithDefaults()
	bar := a.count(int64((2*len(cfg.Unrolls)+1)*cfg.Episodes), "checking").of("gradients")
	cfg.Progress = bar.progress
	r, err := adjoint.Check(ctx, cfg)
	bar.close()
	if err != nil {
		return err
	}
	if f.json != "" {
		if err := a.writeJSON(f.json, r); err != nil || f.json == "-" {
			return err
		}
	}
	return a.printCheck(r)
}

func (a *app) printCheck(r *adjoint.Report) error {
	fmt.Fprintf(a.stdout, "%s: meta-gradients of %d parameters over %d steps, episodes averaged: %d\n\n",
		r.Task, r.Parameters, r.Steps, r.Episodes)
	number := func(x compare.Number, format string) string {
		if !x.Finite() {
			return "–"
		}
		return fmt.Sprintf(format, float64(x))
	}
	var rows [][]string
	for _, row := range r.Unrolls {
		first, second := row.FirstOrder, row.SecondDerivatives
		rows = append(rows, []string{
			strconv.Itoa(row.Unroll),
			number(first.Norm, "%.3g"), number(first.Cosine, "%.3f"), number(second.Norm, "%.3g"), number(second.Cosine, "%.3f"),
		})
	}
	header := []string{"unroll", "norm, first order", "cosine", "norm, second derivatives", "cosine"}
	if err := report.Table(a.stdout, header, rows); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "\nCosine: with the whole gradient, that of the last row with second derivatives.\n")
	if r.LeftOut > 0 {
		fmt.Fprintf(a.stdout, "%d episodes were not finite and are left out.\n", r.LeftOut)
	}
	if c := float64(r.Nudged.Cosine); !(math.Abs(c-1) < 0.01) {
		fmt.Fprintf(a.stdout, "Beware: a start moved by a millionth turns the whole gradient to a cosine of %s: rounding decides it.\n",
			number(r.Nudged.Cosine, "%.3f"))
	}
	return nil
}
