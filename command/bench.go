package command

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"learnedopt/bench"
	"learnedopt/report"
)

func newBench(a *app) *cobra.Command {
	var (
		each  = 2 * time.Second
		path  string
		quiet bool
	)
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure how fast this machine meta-trains",
		Long: `Measure meta-steps, updates and gradients, and hold the network's arithmetic to what
this machine's multiply-adds make at most. Needs no data: images are drawn from fonts,
of the size of MNIST's. Nothing else should run meanwhile.

docs/performance.md says what each figure is.`,
		Example: `  metaopt bench
  metaopt bench --each 5s --json figures.json`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.quiet = quiet
			if err := checkTarget("json", path); err != nil {
				return err
			}
			var bar *meter
			r, err := bench.Run(cmd.Context(), each, func(what string, done, total int) {
				if bar == nil {
					bar = a.count(int64(total), "measuring")
				}
				bar.describe("measuring: " + what)
				bar.set(int64(done))
			})
			if bar != nil {
				bar.close()
			}
			if err != nil {
				return err
			}
			return a.benchOutput(r, path)
		},
	}
	fs := cmd.Flags()
	fs.Var(spanFlag{&each}, "each", "time that each measurement goes on for")
	fs.Var(textFlag{&path, "FILE"}, "json", "write the figures as JSON, - for standard output in place of the table")
	fs.BoolVarP(&quiet, "quiet", "q", false, "no progress")
	return cmd
}

func (a *app) benchOutput(r *bench.Report, path string) error {
	if path != "" {
		if err := a.writeJSON(path, r); err != nil || path == "-" {
			return err
		}
	}
	ms := func(s float64) string { return fmt.Sprintf("%.3g ms", 1e3*s) }
	gflops := func(f float64) string { return fmt.Sprintf("%.0f GFLOP/s", f) }
	share := func(f float64) string { return fmt.Sprintf("%.0f GFLOP/s, %.0f %% of that", f, 100*f/r.FMAPeak) }
	megabytes := func(b uint64) string { return fmt.Sprintf("%.0f MB", float64(b)/1e6) }
	fmt.Fprintf(a.stdout, "%d cores, kernels %s\n\n", r.Cores, r.SIMD)
	return report.Table(a.stdout, []string{"what", "figure"}, [][]string{
		{"meta-step, quadratics (1,280 coordinates, 20 steps)", ms(r.MetaStep.Quadratic)},
		{"the same on one core", ms(r.MetaStepOneCore.Quadratic)},
		{"meta-step, MLP 784-20-10 (15,910 coordinates, 20 steps)", ms(r.MetaStep.MNIST)},
		{"the same on one core", ms(r.MetaStepOneCore.MNIST)},
		{"the same with second derivatives, on all cores", ms(r.SecondDerivatives.MNIST)},
		{"meta-step, convnet on 14×14 pixels (2,698 coordinates, 20 steps)", ms(r.MetaStep.Convnet)},
		{"the same with second derivatives", ms(r.SecondDerivatives.Convnet)},
		{"loss and gradient of the MLP, batch 128", ms(r.LossGrad.MNIST)},
		{"loss and gradient of the convnet, batch 32", ms(r.LossGrad.Convnet)},
		{"update of 1,000,000 coordinates", fmt.Sprintf("%s, %.3g million a second", ms(1e6/r.UpdateRate), r.UpdateRate/1e6)},
		{"the same with a state of float16", fmt.Sprintf("%s, %s of state", ms(1e6/r.HalfStateRate), megabytes(r.Memory.HalfState))},
		{"the same by Adam", fmt.Sprintf("%s, the learned one is %.3g times that", ms(1e6/r.AdamRate), r.AdamRate/r.UpdateRate)},
		{"the learned update's state", megabytes(r.Memory.Update)},
		{"what it moves at least", fmt.Sprintf("%.0f bytes a coordinate, %.3g GB/s", r.UpdateBytes, r.UpdateBytes*r.UpdateRate/1e9)},
		{"heap of the MLP's meta-step with 100 steps", megabytes(r.Memory.Unroll100)},
		{"multiply-adds at most, all cores", gflops(r.FMAPeak)},
		{"network, forward", share(r.Forward)},
		{"network, whole meta-step", share(r.LSTM)},
	})
}
