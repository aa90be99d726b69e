// Package compare trains a Gorgonia network of an example by a rule of this library and by Gorgonia's Adam,
// from the same starting points on the same minibatches, and prints their results.
package compare

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"text/tabwriter"
	"time"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	gorgoniaopt "learnedopt/adapters/gorgonia"
	"learnedopt/internal/stream"
	"learnedopt/metaopt"
	"learnedopt/tasks"
)

// A Network is a classifier of float32 images as a Gorgonia graph.
type Network struct {
	// X are B images, of any shape with B first; Y are their labels, B×10, a 1 in each row.
	X, Y *gorgonia.Node
	// Learnables are the weights.
	Learnables gorgonia.Nodes
	// Logits are B×10, before the softmax.
	Logits *gorgonia.Node
}

// Config says which rule is compared with Adam, and on which data and starts.
type Config struct {
	// Data is "digits", which needs no files, or "mnist", from the folder that METAOPT_DATA names.
	Data string
	// Rule is the name of a pretrained optimizer.
	Rule string
	// Start is "glorot": matrices and filters Glorot-normal, vectors 0; or "small": all N(0, 0.01²), as in the tasks that
	// the pretrained optimizers were trained on.
	Start string
	// Steps is the length of a run. Runs is the number of instances for the comparison, and TuneRuns the
	// number of other instances, on which Adam's learning rate is tuned.
	Steps, Runs, TuneRuns int
	// Rates are the learning rates to try.
	Rates []float64
	// Out is where the table goes.
	Out io.Writer
}

// Validate returns an error if a field is out of its range.
func (c Config) Validate() error {
	if c.Steps < 5 || c.Runs < 1 || c.TuneRuns < 1 || len(c.Rates) == 0 {
		return fmt.Errorf("compare: %d steps, %d runs, %d tuning runs, %d learning rates; want at least 5, 1, 1 and 1", c.Steps, c.Runs, c.TuneRuns, len(c.Rates))
	}
	if c.Start != "glorot" && c.Start != "small" {
		return fmt.Errorf("compare: start %q; there are glorot and small", c.Start)
	}
	return nil
}

// testImages is the number of images of the test split on which accuracy is measured.
const testImages = 2000

// A trainer is a compiled network.
type trainer struct {
	net     *Network
	machine gorgonia.VM
	cost    gorgonia.Value
	logits  gorgonia.Value
	data    *tasks.Dataset
	x, y    []float32 // the memory of X and Y
	small   bool
}

// An outcome is the result of one run.
type outcome struct {
	mean, last, accuracy float64
	graph, solver        time.Duration // per step; processor time if the system provides it
}

// Run compares on the network that build makes and writes the table to c.Out.
func Run(c Config, build func(*gorgonia.ExprGraph) (*Network, error)) error {
	if err := c.Validate(); err != nil {
		return err
	}
	opt, err := metaopt.Pretrained(c.Rule)
	if err != nil {
		return err
	}
	t, err := newTrainer(c.Data, build)
	if err != nil {
		return err
	}
	defer t.machine.Close()
	t.small = c.Start == "small"
	count := 0
	for _, n := range t.net.Learnables {
		count += n.Shape().TotalSize()
	}
	fmt.Fprintf(c.Out, "%s, %d weights, %s start, batch %d, %d steps; averages over %d runs\n\n", c.Data, count, c.Start, t.net.X.Shape()[0], c.Steps, c.Runs)

	best, bestMean := 0.0, math.Inf(1)
	for _, rate := range c.Rates {
		mean := 0.0
		for i := range c.TuneRuns {
			o, err := t.run(gorgonia.NewAdamSolver(gorgonia.WithLearnRate(rate)), "tune", i, c.Steps)
			if err != nil {
				return err
			}
			mean += o.mean / float64(c.TuneRuns)
		}
		if mean < bestMean {
			best, bestMean = rate, mean
		}
	}
	if math.IsInf(bestMean, 1) {
		return errors.New("compare: Adam diverged at every learning rate")
	}
	learned, adam := make([]outcome, c.Runs), make([]outcome, c.Runs)
	for i := range c.Runs {
		solver := gorgoniaopt.New(opt.Rule())
		solver.SetTotal(c.Steps)
		if learned[i], err = t.scored(solver, i, c.Steps); err != nil {
			return err
		}
		if adam[i], err = t.scored(gorgonia.NewAdamSolver(gorgonia.WithLearnRate(best)), i, c.Steps); err != nil {
			return err
		}
	}
	w := tabwriter.NewWriter(c.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "solver\tlearning rate\tmean loss\tlast five\ttest accuracy\tms of Step\tms of RunAll")
	row(w, opt.Name()+" (learned)", "–", learned)
	row(w, "Gorgonia's Adam", fmt.Sprint(best), adam)
	if err := w.Flush(); err != nil {
		return err
	}
	won := 0
	for i := range learned {
		if learned[i].mean < adam[i].mean {
			won++
		}
	}
	_, err = fmt.Fprintf(c.Out, "\n%s has the lower mean loss in %d of %d runs.\n", opt.Name(), won, c.Runs)
	return err
}

func row(w io.Writer, name, rate string, runs []outcome) {
	var sum outcome
	for _, o := range runs {
		sum.mean += o.mean
		sum.last += o.last
		sum.accuracy += o.accuracy
		sum.graph += o.graph
		sum.solver += o.solver
	}
	n := float64(len(runs))
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 / n }
	fmt.Fprintf(w, "%s\t%s\t%.3f\t%.3f\t%.2f%%\t%.2f\t%.2f\n", name, rate, sum.mean/n, sum.last/n, 100*sum.accuracy/n, ms(sum.solver), ms(sum.graph))
}

func newTrainer(name string, build func(*gorgonia.ExprGraph) (*Network, error)) (*trainer, error) {
	data, err := load(name)
	if err != nil {
		return nil, err
	}
	g := gorgonia.NewGraph()
	net, err := build(g)
	if err != nil {
		return nil, err
	}
	t := &trainer{net: net, data: data}
	// The mean cross-entropy of the minibatch, −(1/B) Σ_i log softmax(z_i)[label_i]. Gorgonia's convnet example
	// takes the mean over the ten classes too, which makes gradients ten times smaller.
	logSoftmax, err := gorgonia.LogSoftMax(net.Logits)
	if err != nil {
		return nil, err
	}
	picked, err := gorgonia.HadamardProd(logSoftmax, net.Y)
	if err != nil {
		return nil, err
	}
	rows, err := gorgonia.Sum(picked, 1)
	if err != nil {
		return nil, err
	}
	mean, err := gorgonia.Mean(rows)
	if err != nil {
		return nil, err
	}
	cost, err := gorgonia.Neg(mean)
	if err != nil {
		return nil, err
	}
	gorgonia.Read(cost, &t.cost)
	gorgonia.Read(net.Logits, &t.logits)
	if _, err := gorgonia.Grad(cost, net.Learnables...); err != nil {
		return nil, err
	}
	for _, n := range net.Learnables {
		if err := gorgonia.Let(n, tensor.New(tensor.WithShape(n.Shape()...), tensor.Of(tensor.Float32))); err != nil {
			return nil, err
		}
	}
	if t.x, err = input(net.X); err != nil {
		return nil, err
	}
	if t.y, err = input(net.Y); err != nil {
		return nil, err
	}
	t.machine = gorgonia.NewTapeMachine(g, gorgonia.BindDualValues(net.Learnables...))
	return t, nil
}

// input binds a node to memory that is refilled before each run.
func input(n *gorgonia.Node) ([]float32, error) {
	v := tensor.New(tensor.WithShape(n.Shape()...), tensor.Of(tensor.Float32))
	return v.Float32s(), gorgonia.Let(n, v)
}

func load(name string) (*tasks.Dataset, error) {
	switch name {
	case "digits":
		return tasks.Digits()
	case "mnist":
		dir, err := tasks.DataDir("")
		if err != nil {
			return nil, err
		}
		return tasks.LoadMNIST(dir)
	}
	return nil, fmt.Errorf("compare: data %q; there are digits and mnist", name)
}

// run trains on an instance from its starting point, which is the same for every solver.
func (t *trainer) run(solver gorgonia.Solver, purpose string, instance, steps int) (outcome, error) {
	rng := stream.New(0, "gorgonia "+purpose, uint64(instance))
	t.start(rng)
	model := gorgonia.NodesToValueGrads(t.net.Learnables)
	var o outcome
	// T+1 losses for T steps, as elsewhere in this library.
	for step := range steps + 1 {
		for row := range t.net.X.Shape()[0] {
			t.fill(row, tasks.Train, rng.IntN(t.data.Len(tasks.Train)))
		}
		began := clock()
		if err := t.machine.RunAll(); err != nil {
			return o, err
		}
		ran := clock()
		loss := float64(t.cost.Data().(float32))
		o.mean += loss / float64(steps+1)
		if step > steps-5 {
			o.last += loss / 5
		}
		if step < steps {
			if err := solver.Step(model); err != nil {
				return o, err
			}
			o.graph += (ran - began) / time.Duration(steps)
			o.solver += (clock() - ran) / time.Duration(steps)
		}
		t.machine.Reset()
	}
	return o, nil
}

// scored is run on an instance of the comparison, with the accuracy at its end.
func (t *trainer) scored(solver gorgonia.Solver, instance, steps int) (outcome, error) {
	o, err := t.run(solver, "run", instance, steps)
	if err == nil {
		o.accuracy, err = t.accuracy()
	}
	return o, err
}

// start sets the weights to a starting point and the gradients to 0.
func (t *trainer) start(rng *rand.Rand) {
	for _, n := range t.net.Learnables {
		w, shape := n.Value().(*tensor.Dense).Float32s(), n.Shape()
		if t.small {
			for i := range w {
				w[i] = float32(0.01 * rng.NormFloat64())
			}
			continue
		}
		if clear(w); len(shape) < 2 {
			continue
		}
		fanIn, fanOut := shape[0], shape[1]
		if len(shape) == 4 { // filters are outputs×inputs×height×width
			fanOut, fanIn = shape[0]*shape[2]*shape[3], shape[1]*shape[2]*shape[3]
		}
		deviation := math.Sqrt(2 / float64(fanIn+fanOut))
		for i := range w {
			w[i] = float32(deviation * rng.NormFloat64())
		}
	}
	// Before the first run there are no gradients.
	_ = gorgoniaopt.ZeroGrads(gorgonia.NodesToValueGrads(t.net.Learnables))
}

// fill writes image i of a split into a row of the minibatch.
func (t *trainer) fill(row int, split tasks.Split, i int) {
	pixels, classes := len(t.x)/t.net.X.Shape()[0], t.data.Classes()
	t.data.Image(t.x[row*pixels:(row+1)*pixels], split, i)
	clear(t.y[row*classes : (row+1)*classes])
	t.y[row*classes+t.data.Label(split, i)] = 1
}

// accuracy returns the fraction of the first test images that the network classifies correctly.
func (t *trainer) accuracy() (float64, error) {
	batch, classes, right, seen := t.net.X.Shape()[0], t.data.Classes(), 0, 0
	for first := 0; first+batch <= min(testImages, t.data.Len(tasks.Test)); first += batch {
		for row := range batch {
			t.fill(row, tasks.Test, first+row)
		}
		if err := t.machine.RunAll(); err != nil {
			return 0, err
		}
		logits := t.logits.Data().([]float32)
		for row := range batch {
			guess := 0
			for c, z := range logits[row*classes : (row+1)*classes] {
				if z > logits[row*classes+guess] {
					guess = c
				}
			}
			if seen++; guess == t.data.Label(tasks.Test, first+row) {
				right++
			}
		}
		t.machine.Reset()
	}
	return float64(right) / float64(seen), nil
}
