package studies

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"learnedopt/baselines"
	"learnedopt/compare"
	"learnedopt/curvature"
	"learnedopt/optimizer"
	"learnedopt/report"
	"learnedopt/tasks"
)

// A gradientRow is a rule of the study of natural gradients.
type gradientRow struct {
	name string // of Config.Rows
	text string // in tables and pictures
	make func(rate float64) (optimizer.Rule, error)
	// rates are tried over the given number of steps, 0 for the whole run; nil leaves the rule untuned.
	rates []float64
	steps int
	// document is the test accuracy after the first epoch that the tutorial's curves have, 0 for none. Such a rule makes the first half of the steps only.
	document float64
	curved   bool // whether the rule reads curvature
	named    bool // whether the row is made only if Config.Rows names it, because it takes long
}

const (
	epochs = 2
	// tunedSteps is the number of steps over which the rules are tuned whose learning rate is constant and whose steps take long.
	tunedSteps = 60
	smoothing  = 50 // steps in a mean of losses
	firstRate  = "adam at 0.001"
)

func gradientRows() []gradientRow {
	var rows []gradientRow
	for _, name := range []string{"sgd", "adam", "nadamw", "soap", "kfac"} {
		rows = append(rows, gradientRow{name: name, text: name, rates: baselines.GridOf(1), curved: name == "kfac",
			make: func(rate float64) (optimizer.Rule, error) { return baselines.New(name, rate) }})
	}
	for _, m := range []struct {
		name, text string
		metric     optimizer.Metric
	}{{"exact", "exact", optimizer.Fisher}, {"sampled", "sampled × 1", optimizer.Sampled(1)}, {"sampled-5", "sampled × 5", optimizer.Sampled(5)}, {"empirical", "empirical", optimizer.EmpiricalFisher}} {
		rows = append(rows, gradientRow{name: m.name, text: "natural-gradient (" + m.text + ")", curved: true, rates: []float64{0.03, 0.1, 0.3, 1}, steps: tunedSteps,
			make: func(rate float64) (optimizer.Rule, error) {
				return curvature.NaturalGradient{LearningRate: rate, Metric: m.metric, Iterations: 10}, nil
			}})
	}
	fixed := func(rule optimizer.Rule) func(float64) (optimizer.Rule, error) {
		return func(float64) (optimizer.Rule, error) { return rule, nil }
	}
	return append(rows,
		gradientRow{name: "document-adam", text: firstRate, make: fixed(baselines.Adam{LearningRate: documentRate}), document: 0.942},
		gradientRow{name: "document-empirical", text: "document (empirical)", make: fixed(document{}), document: 0.886},
		gradientRow{name: "document-sampled", text: "document (sampled × 1)", make: fixed(document{draws: 1}), document: 0.869},
		gradientRow{name: "document-sampled-5", text: "document (sampled × 5)", make: fixed(document{draws: 5}), document: 0.854, named: true})
}

// length returns how many of the steps of a run the rule makes.
func (r *gradientRow) length(steps int) int {
	if r.document > 0 {
		return steps / epochs
	}
	return steps
}

// RowNames returns the names of the rows of the study of natural gradients.
func RowNames() []string {
	var names []string
	for _, r := range gradientRows() {
		names = append(names, r.name)
	}
	return names
}

// naturalGradientStudy trains a network 784-128-10 on MNIST with natural gradients in several metrics, K-FAC, SOAP and tuned rules that read gradients alone, and with the rule of a tutorial.
func naturalGradientStudy(ctx context.Context, b *bench) error {
	steps, runs := cmp.Or(b.Steps, b.pick(938, 20)), cmp.Or(b.Runs, b.pick(3, 1))
	family, err := b.gradientFamily()
	if err != nil {
		return err
	}
	var done []*trained
	for _, row := range gradientRows() {
		if b.Rows != nil && !slices.Contains(b.Rows, row.name) || b.Rows == nil && row.named {
			continue
		}
		t := &trained{row: row}
		rule, err := b.tunedRow(ctx, t, family, steps)
		if err != nil {
			return err
		}
		for i := range runs {
			b.note(fmt.Sprintf("%s, instance %d of %d", row.text, i+1, runs))
			if err := b.course(ctx, t, rule, family, i, row.length(steps)); err != nil {
				return err
			}
		}
		done = append(done, t)
	}
	if done == nil {
		return fmt.Errorf("studies: none of the rows %s", strings.Join(b.Rows, ", "))
	}
	b.gradientTables(done, family.Name(), steps, runs)
	return nil
}

func (b *bench) gradientFamily() (optimizer.Family, error) {
	task := cmp.Or(b.Data, "mnist")
	o := tasks.Options{Units: 128, Activation: "relu", WeightInit: "glorot", Batch: 128}
	if task != "digits" { // which needs no files
		o.DataDir = b.DataDir
	}
	return tasks.New(task, o)
}

// tunedRow returns the rule of a row at its best learning rate.
func (b *bench) tunedRow(ctx context.Context, t *trained, family optimizer.Family, steps int) (optimizer.Rule, error) {
	row := &t.row
	if row.rates == nil {
		return row.make(0)
	}
	over := steps
	if row.steps > 0 {
		over = min(over, row.steps)
	}
	b.note(fmt.Sprintf("tuning %s: %d learning rates, %d steps each", row.text, len(row.rates), over))
	tuned, err := baselines.Tune(ctx, row.text, baselines.TuneConfig{Family: family, Steps: over, Runs: 1, Grid: row.rates, Seed: b.Seed,
		New: func(_ string, rate float64) (optimizer.Rule, error) { return row.make(rate) }})
	if err != nil {
		return nil, err
	}
	t.rate = tuned.LearningRate
	return tuned.Rule, nil
}

// A trained is what the runs of a row gave.
type trained struct {
	row      gradientRow
	rate     float64
	losses   []float64    // mean over instances of f(θ_0) … f(θ_T)
	seconds  []float64    // mean CPU time until each of them
	accuracy [2][]float64 // on the test split, after half of the steps and all, of each instance
	diverged int
	// Of the tutorial's rule: how many of its numbers were ±10, of all and of the weights of the output layer, and the largest |x|
	// before clipping.
	clipped, clippedOut, count, countOut int
	largest                              float64
}

// course runs a rule on an instance.
func (b *bench) course(ctx context.Context, t *trained, rule optimizer.Rule, family optimizer.Family, instance, steps int) (err error) {
	p, err := family.Sample(compare.Instances(b.Seed)(instance))
	if err != nil {
		return err
	}
	if c, ok := p.(io.Closer); ok {
		defer func() { err = errors.Join(err, c.Close()) }()
	}
	var shown []float32 // what Adam gets from the tutorial's rule
	layout := optimizer.LayoutOf(p)
	if d, ok := rule.(document); ok {
		d.each = func(natural []float32, largest float64) {
			shown = natural
			t.clips(layout, natural, largest)
		}
		rule = d
	}
	board, err := b.openEvents(t.row.name, instance)
	if err != nil {
		return err
	}
	score := func(theta []float32, k int) error {
		_, accuracy, err := p.(compare.Scorer).Score(theta)
		t.accuracy[k] = append(t.accuracy[k], accuracy)
		at := steps
		if k == 0 {
			at /= epochs
		}
		board.scalar(at, "test/accuracy", accuracy)
		return err
	}
	var clock stopwatch
	clock.reset()
	seen := watched{rule, func(step int, at optimizer.Point, update []float32) error {
		clock.pause()
		defer clock.resume()
		if step == steps/epochs {
			if err := score(at.Theta, 0); err != nil {
				return err
			}
		}
		board.step(step, steps, layout, at, update, shown)
		return nil
	}}
	var seconds []float64
	out, err := optimizer.RunTimed(ctx, seen, p, steps, clock.seconds, func(_, computed, _ float64) { seconds = append(seconds, computed) })
	if err != nil {
		return err
	}
	seconds = append(seconds, clock.seconds())
	if out.Diverged != nil {
		t.diverged++
	} else if err := score(out.Theta, 1); err != nil {
		return err
	}
	t.add(out.Losses, seconds[:min(len(seconds), len(out.Losses))], steps, float64(instance))
	return board.close()
}

// add averages the losses and times of another instance in; count is the number of instances before. A diverged run has no loss from there on.
func (t *trained) add(losses, seconds []float64, steps int, count float64) {
	if t.losses == nil {
		t.losses, t.seconds = make([]float64, steps+1), make([]float64, steps+1)
	}
	for i := range t.losses {
		loss, at := math.NaN(), math.NaN()
		if i < len(losses) && i < len(seconds) {
			loss, at = losses[i], seconds[i]
		}
		t.losses[i] += (loss - t.losses[i]) / (count + 1)
		t.seconds[i] += (at - t.seconds[i]) / (count + 1)
	}
}

// clips counts the numbers that were clipped.
func (t *trained) clips(layout optimizer.Layout, natural []float32, largest float64) {
	t.largest = max(t.largest, largest)
	tensors := layout.Tensors()
	last := tensors[max(0, len(tensors)-2)] // the weights of the output layer; its biases follow
	for i, x := range natural {
		out := i >= last.From && i < last.From+last.Len()
		t.count++
		if out {
			t.countOut++
		}
		if math.Abs(float64(x)) == documentClip {
			t.clipped++
			if out {
				t.clippedOut++
			}
		}
	}
}

// smooth returns the means of the losses with up to smoothing − 1 losses before each.
func smooth(losses []float64) []float64 {
	means := make([]float64, len(losses))
	for i := range losses {
		from := max(0, i-smoothing+1)
		for _, l := range losses[from : i+1] {
			means[i] += l / float64(i+1-from)
		}
	}
	return means
}

// reaches returns the first step at which smoothed losses are at most as low as level, −1 if there is none.
func reaches(smoothed []float64, level float64) int {
	for i := min(smoothing, len(smoothed)) - 1; i < len(smoothed); i++ {
		if smoothed[i] <= level {
			return i
		}
	}
	return -1
}

// gradientTables makes the tables and pictures.
func (b *bench) gradientTables(done []*trained, task string, steps, runs int) {
	level, curves := math.NaN(), map[*trained][]float64{}
	for _, t := range done {
		curves[t] = smooth(t.losses)
		if t.row.name == "adam" {
			level = last(curves[t])
		}
	}
	instances := "1 instance"
	if runs > 1 {
		instances = fmt.Sprintf("%d instances", runs)
	}
	main := Table{Title: fmt.Sprintf("%s: %d steps, %s; CPU time of one core", task, steps, instances),
		Header: []string{"by", "learning rate", "test accuracy, half-way", "test accuracy", "mean loss", fmt.Sprintf("last %d losses", smoothing), "steps to adam's last", "ms a step"}}
	blown := Table{Title: fmt.Sprintf("the tutorial's rule, %d steps: test accuracy, and what went through Adam", steps/epochs),
		Header: []string{"by", "test accuracy", "the tutorial's", "at ±10", "at ±10, output weights", "largest before"}}
	bySteps, bySeconds := report.Panel{Title: "against steps", XLabel: "step"}, report.Panel{Title: "against CPU time", XLabel: "seconds of one core", LogX: true}
	tutorial := Picture{Name: "tutorial", Title: fmt.Sprintf("The tutorial's rule: mean loss of %d steps", smoothing|1), X: "step", Y: "loss"}
	for _, t := range done {
		series := report.Series{Name: t.row.text, Mean: report.MovingAverage(t.losses, smoothing|1), Learned: t.row.curved} // thick
		if t.row.document > 0 {
			blown.Rows = append(blown.Rows, t.blownRow())
			tutorial.Series = append(tutorial.Series, series)
			continue
		}
		main.Rows = append(main.Rows, t.mainRow(curves[t], level, steps))
		bySteps.Series = append(bySteps.Series, series)
		series.X = increasing(t.seconds)
		bySeconds.Series = append(bySeconds.Series, series)
	}
	if main.Rows != nil {
		b.Tables = append(b.Tables, main)
		b.Pictures = append(b.Pictures, Picture{Name: "loss", Title: fmt.Sprintf("784-128-10 with ReLU: mean loss of %d steps", smoothing|1), Y: "loss", Panels: []report.Panel{bySteps, bySeconds}})
	}
	if blown.Rows != nil {
		b.Tables, b.Pictures = append(b.Tables, blown), append(b.Pictures, tutorial)
	}
}

func (t *trained) mainRow(curve []float64, level float64, steps int) []string {
	mean := 0.0
	for _, l := range t.losses {
		mean += l / float64(len(t.losses))
	}
	reached := "–"
	if at := reaches(curve, level); at >= 0 {
		reached = fmt.Sprintf("%d, %.2f ×", at, float64(at)/float64(steps))
	}
	return []string{t.row.text, fmt.Sprintf("%.3g", t.rate), spread(t.accuracy[0]), spread(t.accuracy[1]), fmt.Sprintf("%.3f", mean), fmt.Sprintf("%.3f", last(curve)),
		reached, fmt.Sprintf("%.2f", 1000*last(t.seconds)/float64(steps+1))}
}

func (t *trained) blownRow() []string {
	row := []string{t.row.text, spread(t.accuracy[1]), percent(t.row.document), "", "", ""}
	if t.count > 0 {
		row[3], row[4] = percent(float64(t.clipped)/float64(t.count)), percent(float64(t.clippedOut)/float64(t.countOut))
		row[5] = fmt.Sprintf("%.2g", t.largest)
	}
	return row
}

func last(x []float64) float64 { return x[len(x)-1] }

// spread returns the mean of shares in per cent, with the standard deviation if there are several.
func spread(x []float64) string {
	if len(x) == 0 {
		return "diverged"
	}
	mean, square := 0.0, 0.0
	for _, v := range x {
		mean += v / float64(len(x))
	}
	for _, v := range x {
		square += (v - mean) * (v - mean) / float64(max(1, len(x)-1))
	}
	if len(x) == 1 {
		return share(mean)
	}
	return fmt.Sprintf("%.2f ± %.2f %%", 100*mean, 100*math.Sqrt(square))
}

// share returns a share in per cent, with two decimals.
func share(x float64) string { return fmt.Sprintf("%.2f %%", 100*x) }

// increasing returns times of which no two are equal, as a clock with coarse ticks may have them, up to the first that is unknown.
func increasing(seconds []float64) []float64 {
	x := slices.Clone(seconds)
	for i := 1; i < len(x); i++ {
		if !(x[i] > x[i-1]) {
			x[i] = math.Nextafter(x[i-1], math.Inf(1))
		}
	}
	return x
}
