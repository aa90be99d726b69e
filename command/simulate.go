package command

import (
	"context"
	"fmt"

	"learnedopt/distributed/simulation"
	"learnedopt/report"
)

// simulated are the rows of metaopt worker --simulate.
type simulated struct {
	Synchronous  []simulation.Row `json:"synchronous"`
	Asynchronous []simulation.Row `json:"asynchronous"`
}

// simulate prints how many units a second 1 to 1,000 workers compute in a model of them.
func (f *workerFlags) simulate(ctx context.Context, a *app) error {
	figures := simulation.Measured()
	if f.unitTime > 0 {
		figures.Unit = f.unitTime.Seconds()
	}
	var s simulated
	var err error
	if s.Synchronous, err = simulation.Synchronous(ctx, figures, f.windows, 0); err != nil {
		return err
	}
	if s.Asynchronous, err = simulation.Asynchronous(ctx, figures, f.windows, 0); err != nil {
		return err
	}
	if f.json {
		return a.writeJSON("-", s)
	}
	a.note("a model of workers, each of one unit at a time, with a unit of %.3g s and episodes of %d windows; docs/many-machines.md has its figures", figures.Unit, f.windows)
	percent := func(x float64) string { return fmt.Sprintf("%.0f %%", 100*x) }
	var rows [][]string
	for _, r := range s.Synchronous {
		rows = append(rows, []string{fmt.Sprint(r.Workers), fmt.Sprint(r.Batch), fmt.Sprintf("%.4g", r.Rate()), fmt.Sprintf("%.3g", float64(r.MetaSteps)/r.Seconds),
			percent(r.Busy), percent(r.Queue), percent(r.Link), percent(r.Paused), fmt.Sprintf("%.2g s", r.Save)})
	}
	fmt.Fprintln(a.stdout, "synchronous meta-steps")
	if err := report.Table(a.stdout, []string{"workers", "meta-batch", "units/s", "meta-steps/s", "workers busy", "queue busy", "link busy", "validating", "a saved state"}, rows); err != nil {
		return err
	}
	rows = nil
	for _, r := range s.Asynchronous {
		age := "synchronous"
		switch {
		case r.Stale > 0 && r.Mode == simulation.Bounded:
			age = fmt.Sprintf("at most %d old", r.Stale)
		case r.Stale > 0:
			age = fmt.Sprintf("exactly %d old", r.Stale)
		}
		rows = append(rows, []string{fmt.Sprint(r.Workers), fmt.Sprint(r.Batch), age, fmt.Sprintf("%.4g", r.Rate()), percent(r.Busy), fmt.Sprintf("%.2f", r.MeanStale), fmt.Sprintf("%.2f ×", r.Gain)})
	}
	fmt.Fprintln(a.stdout, "\ngradients of older parameters")
	return report.Table(a.stdout, []string{"workers", "meta-batch", "parameters", "units/s", "workers busy", "mean age", "gain"}, rows)
}
