// Command example trains a classifier of 784-64-10 units in GoMLX's training loop, on its pure-Go backend, with
// the pretrained optimizer "general" and with GoMLX's tuned Adam. It prints the losses of both, and of the
// learned optimizer in the library's own loop on the same instances.
//
//	go run ./example -task mnist
//
// With -task mnist the environment variable METAOPT_DATA names the folder of the data set. The default task,
// digits, needs no files.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/gomlx/gomlx/backends"
	"github.com/gomlx/gomlx/backends/simplego"
	"github.com/gomlx/gomlx/pkg/ml/train/optimizers"

	gomlxopt "learnedopt/adapters/gomlx"
	"learnedopt/adapters/gomlx/internal/classifier"
	"learnedopt/adapters/gomlx/internal/cputime"
	"learnedopt/lstm"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
	"learnedopt/tasks"
)

// rates are the candidates for Adam's learning rate. The best is chosen by the mean loss on separate instances.
var rates = []float64{0.001, 0.00316, 0.01, 0.0316, 0.1}

func main() {
	var o options
	flag.StringVar(&o.task, "task", "digits", "digits or mnist")
	flag.StringVar(&o.optimizer, "optimizer", "general", "a pretrained optimizer")
	flag.StringVar(&o.classifier.Activation, "activation", "relu", "sigmoid or relu")
	flag.StringVar(&o.classifier.WeightInit, "weight-init", "glorot", "glorot, he, lecun, torch, or normal with a standard deviation of 0.01")
	flag.IntVar(&o.classifier.Units, "units", 64, "hidden units")
	flag.IntVar(&o.classifier.Batch, "batch", 32, "examples of a minibatch")
	flag.IntVar(&o.images, "images", 20000, "training images of digits")
	flag.IntVar(&o.steps, "steps", 100, "steps of a run")
	flag.IntVar(&o.runs, "runs", 3, "fresh instances that are compared on")
	flag.IntVar(&o.tune, "tune", 2, "other instances that Adam is tuned on")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type options struct {
	task, optimizer           string
	classifier                tasks.ClassifierConfig
	images, steps, runs, tune int
}

func run(o options) error {
	steps, runs, tune := o.steps, o.runs, o.tune
	if steps < 5 || runs < 1 || tune < 1 {
		return fmt.Errorf("%d steps, %d runs, %d to tune on; there must be 5 steps and one run of each", steps, runs, tune)
	}
	data, err := load(o.task, o.images)
	if err != nil {
		return err
	}
	opt, err := metaopt.Pretrained(o.optimizer)
	if err != nil {
		return err
	}
	compared, err := instances(data, o.classifier, 0, runs)
	if err != nil {
		return err
	}
	others, err := instances(data, o.classifier, 1000, tune)
	if err != nil {
		return err
	}
	backend, err := simplego.New("ops_sequential") // GoMLX v0.26.0's parallel executor now and then waits for ever
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d steps, averages over %d instances, GoMLX's backend %s\n\n", compared[0].Name(), steps, runs, backend.Name())

	rule := gomlxopt.New(opt.Network)
	rule.Total = steps
	learned, err := inGoMLX(backend, rule, compared, steps)
	if err != nil {
		return err
	}
	own, err := inLibrary(opt.Network, compared, steps)
	if err != nil {
		return err
	}
	rate, tuned := 0.0, result{}
	for _, r := range rates {
		a, err := inGoMLX(backend, adam(r), others, steps)
		if err != nil {
			return err
		}
		if rate == 0 || a.mean < tuned.mean {
			rate, tuned = r, a
		}
	}
	if tuned, err = inGoMLX(backend, adam(rate), compared, steps); err != nil {
		return err
	}

	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "optimizer\tlearning rate\tmean loss\tfinal loss\tms a step\t")
	row := func(name, rate string, r result) {
		fmt.Fprintf(w, "%s\t%s\t%.4f\t%.4f\t%.1f\t\n", name, rate, r.mean, r.final, float64(r.step)/1e6)
	}
	row(o.optimizer+", in GoMLX", "–", learned)
	row(o.optimizer+", in the library's loop", "–", own)
	row("GoMLX's Adam", fmt.Sprint(rate), tuned)
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Println("\nMean loss: over all steps, start included. Final loss: over the last five. A step: its processor time, gradient and update.")
	if rate == slices.Min(rates) || rate == slices.Max(rates) {
		fmt.Println("Adam's learning rate is at the edge of what was tried.")
	}
	return nil
}

func load(task string, images int) (*tasks.Dataset, error) {
	switch task {
	case "digits":
		return tasks.NewDigits(0, images, 0, 0)
	case "mnist":
		dir, err := tasks.DataDir("")
		if err != nil {
			return nil, err
		}
		return tasks.LoadMNIST(dir)
	}
	return nil, fmt.Errorf("no task %q: there are digits and mnist", task)
}

func instances(data *tasks.Dataset, c tasks.ClassifierConfig, first uint64, n int) (all []*classifier.Problem, err error) {
	for i := range uint64(n) {
		p, err := classifier.New(data, c, first+i)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

func adam(rate float64) optimizers.Interface { return optimizers.Adam().LearningRate(rate).Done() }

// A result is the average over runs.
type result struct {
	mean, final float64
	step        time.Duration
}

// add adds one of n runs to the average.
func (r *result) add(losses []float64, step time.Duration, n int) {
	sum := func(x []float64) (s float64) {
		for _, v := range x {
			s += v
		}
		return s
	}
	r.mean += sum(losses) / float64(len(losses)*n)
	r.final += sum(losses[len(losses)-5:]) / float64(5*n)
	r.step += step / time.Duration(n)
}

func inGoMLX(backend backends.Backend, opt optimizers.Interface, problems []*classifier.Problem, steps int) (r result, err error) {
	for _, p := range problems {
		losses, step, err := p.Run(backend, opt, steps)
		if err != nil {
			return r, err
		}
		r.add(losses, step, len(problems))
	}
	return r, nil
}

func inLibrary(net *lstm.Network, problems []*classifier.Problem, steps int) (r result, err error) {
	for _, p := range problems {
		twin, err := p.Twin()
		if err != nil {
			return r, err
		}
		since := cputime.Used()
		out, err := optimizer.Run(context.Background(), net, twin, steps)
		if err != nil {
			return r, err
		}
		if out.Diverged != nil {
			return r, out.Diverged
		}
		r.add(out.Losses, (cputime.Used()-since)/time.Duration(steps), len(problems))
	}
	return r, nil
}
