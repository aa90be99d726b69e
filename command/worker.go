package command

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"learnedopt/distributed"
	"learnedopt/report"
	"learnedopt/tasks"
)

// workerFlags are the flags of metaopt worker.
type workerFlags struct {
	serverFlags
	units     int
	dataDir   string
	status    bool
	json      bool
	simulated bool
	unitTime  time.Duration
	windows   int
	quiet     bool
}

func newWorker(a *app) *cobra.Command {
	f := workerFlags{windows: 5}
	cmd := &cobra.Command{
		Use:   "worker --nats URL",
		Short: "Compute for the meta-trainings and sweeps of other machines",
		Long: `Compute what metaopt meta-train --nats and metaopt sweep --nats give out on a server of NATS.
Any number of workers may serve one server, started before or after, and they may come and go: a
result has the same bits with one worker, with forty, and in one process. Ctrl-C ends a worker
after the units that it is computing; what a killed one had is computed by others.

A cell of a sweep uses all cores by itself: a worker computes one at a time.
A worker needs the same version of the program and kernels as the coordinator, and the data sets
of the task. With --status it computes nothing and shows who does. With --simulate it needs no
server: it shows what 1 to 1,000 workers would do, in a model with measured figures.`,
		Example: `  metaopt worker --nats nats://trainer:4222
  metaopt worker --nats tls://trainer:4222 --nats-creds worker.creds --nats-ca ca.pem
  metaopt worker --nats nats://trainer:4222 --status
  metaopt worker --simulate --unit-time 300ms`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.quiet = f.quiet
			changed := cmd.Flags().Changed
			switch {
			case f.simulated && (f.URL != "" || f.status):
				return usagef("--simulate asks no server; drop --nats and --status, or drop it")
			case !f.simulated && (changed("unit-time") || changed("windows")):
				return usagef("--unit-time and --windows are about the model of --simulate; set it")
			case f.simulated:
				return f.simulate(cmd.Context(), a)
			}
			if f.URL == "" {
				return usagef("%s needs --nats URL, the server; see %[1]s --help", cmd.CommandPath())
			}
			if err := f.check(); err != nil {
				return err
			}
			if f.status {
				return f.show(cmd.Context(), a)
			}
			return f.run(cmd.Context(), a)
		},
	}
	f.add(cmd, "address of the server of NATS, as nats://host:4222")
	fs := cmd.Flags()
	fs.Var(countFlag{&f.units, 1}, "units", "units computed at a time (one for each core unless set)")
	fs.Lookup("units").DefValue = ""
	fs.Var(textFlag{&f.dataDir, "DIR"}, "data-dir", "folder of the data sets; else $"+tasks.DataDirEnv+", else the user's cache folder")
	fs.BoolVar(&f.status, "status", false, "show the jobs and workers of the server, and end")
	fs.BoolVar(&f.simulated, "simulate", false, "show what 1 to 1,000 workers would do, in a model, and end")
	fs.Var(spanFlag{&f.unitTime}, "unit-time", "time of a unit on one core for --simulate (300ms, that of MNIST, unless set)")
	fs.Lookup("unit-time").DefValue = ""
	fs.Var(countFlag{&f.windows, 1}, "windows", "windows of an episode for --simulate")
	fs.BoolVar(&f.json, "json", false, "print --status or --simulate in JSON")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "no remarks")
	return cmd
}

func (f *workerFlags) run(ctx context.Context, a *app) error {
	conn, err := distributed.Connect(ctx, f.Server, "worker")
	if err != nil {
		return err
	}
	defer conn.Close()
	w, err := distributed.NewWorker(conn, distributed.WorkerConfig{Slots: f.units, DataDir: f.dataDir, Note: a.note})
	if err != nil {
		return err
	}
	a.note("worker %s waits for work; Ctrl-C ends it", w.Name())
	return w.Run(ctx)
}

// statusSpan is how long --status listens: every worker speaks twice in it.
const statusSpan = time.Second

func (f *workerFlags) show(ctx context.Context, a *app) error {
	conn, err := distributed.Connect(ctx, f.Server, "status")
	if err != nil {
		return err
	}
	defer conn.Close()
	before, err := distributed.Listen(ctx, conn, statusSpan)
	if err != nil {
		return err
	}
	if f.json {
		return a.writeJSON("-", before)
	}
	after, err := distributed.Listen(ctx, conn, statusSpan)
	if err != nil {
		return err
	}
	return writeStatus(a, before, after)
}

// writeStatus writes two statuses, one statusSpan apart.
func writeStatus(a *app, before, s *distributed.Status) error {
	jobs := [][]string{}
	for _, j := range s.Jobs {
		jobs = append(jobs, []string{j.ID, j.Kind, j.Coordinator, fmt.Sprint(j.Waiting), fmt.Sprint(j.Taken), fmt.Sprint(j.Redelivered)})
	}
	if len(jobs) == 0 {
		fmt.Fprintln(a.stdout, "no job")
	} else if err := report.Table(a.stdout, []string{"job", "kind", "coordinator", "waiting", "taken", "redelivered"}, jobs); err != nil {
		return err
	}
	earlier := map[string]distributed.Presence{}
	for _, w := range before.Workers {
		earlier[w.Name] = w
	}
	workers := [][]string{}
	for _, w := range s.Workers {
		for id, j := range w.Jobs {
			rate, each := "", ""
			if was, ok := earlier[w.Name].Jobs[id]; ok {
				rate = fmt.Sprintf("%.3g", float64(j.Units-was.Units)/statusSpan.Seconds())
			}
			if j.Units > 0 {
				each = fmt.Sprintf("%.3g s", j.Seconds/float64(j.Units))
			}
			workers = append(workers, []string{w.Name, w.Process, id, fmt.Sprint(w.Slots), fmt.Sprint(j.Units), rate, each, fmt.Sprint(j.Replayed), j.Refused})
		}
		if len(w.Jobs) == 0 {
			workers = append(workers, []string{w.Name, w.Process, "", fmt.Sprint(w.Slots), "", "", "", "", ""})
		}
	}
	if len(workers) == 0 {
		fmt.Fprintln(a.stdout, "no worker")
		return nil
	}
	return report.Table(a.stdout, []string{"worker", "process", "job", "at a time", "units", "units/s", "time of a unit", "replayed", "refused"}, workers)
}
