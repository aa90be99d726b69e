package metatrain

import (
	"cmp"
	"math"
	"slices"
	"sync"

	"learnedopt/compare"
	"learnedopt/lstm"
	"learnedopt/optimizer"
)

// Diagnostics help to find out why a network does not learn. They describe the training windows since the previous
// validation, and the runs of this validation. docs/training.md explains each number.
type Diagnostics struct {
	// Training is nil before the first meta-step.
	Training   *Diagnosis `json:"training,omitempty"`
	Validation *Diagnosis `json:"validation"`
}

// A Diagnosis describes a training phase or a validation by a sample of coordinates and steps. In training,
// lstm.Probe samples the end of each window of every seventh meta-step. In a validation it samples 16 steps, evenly
// spread over the runs.
type Diagnosis struct {
	// Sampled is the number of sampled coordinates. A coordinate sampled at two steps counts twice.
	Sampled int `json:"sampled"`
	// GradientRMS and UpdateRMS are root mean squares, and UpdateToGradient is UpdateRMS over GradientRMS. They
	// are null if nothing was sampled; UpdateToGradient is also null if all gradients were 0.
	GradientRMS      compare.Number `json:"gradient_rms"`
	UpdateRMS        compare.Number `json:"update_rms"`
	UpdateToGradient compare.Number `json:"update_to_gradient"`
	// ZeroGradients is the share of gradients that were exactly 0.
	ZeroGradients float64 `json:"zero_gradients"`
	// Inputs is nil if the network does not read log-and-sign.
	Inputs *ClippedInputs `json:"inputs,omitempty"`
	// Gates has one entry for each LSTM layer, from the first to the last.
	Gates []GateSaturation `json:"gates,omitempty"`
	// MetaGradient is nil for a validation, and if every window diverged.
	MetaGradient *MetaGradient `json:"meta_gradient,omitempty"`
	NonFinite    NonFinite     `json:"non_finite"`

	// Updates are the updates sampled in a validation, in ascending order.
	Updates []float32 `json:"-"`
}

// ClippedInputs holds the shares of coordinates whose features LogAndSign clips.
type ClippedInputs struct {
	// SmallGradients is the share of coordinates with 0 < |g| < e^-P: the first feature does not show the size of
	// these gradients. ClippedSigns is the share with |g| ≥ e^-SignP: here the second feature shows only the sign.
	SmallGradients float64 `json:"small_gradients"`
	ClippedSigns   float64 `json:"clipped_signs"`
}

// GateSaturation holds the shares of a layer's activations that are saturated: |σ-½| > 0.45 for the gates i, f and
// o, |tanh| > 0.95 for g.
type GateSaturation struct {
	I float64 `json:"i"`
	F float64 `json:"f"`
	G float64 `json:"g"`
	O float64 `json:"o"`
}

// MetaGradient describes the meta-gradients of the finite windows.
type MetaGradient struct {
	// Windows is the number of finite windows.
	Windows int `json:"windows"`
	// MeanNorm and MaxNorm are Euclidean norms before clipping. Clipped is the share of windows that were clipped.
	MeanNorm compare.Number `json:"mean_norm"`
	MaxNorm  compare.Number `json:"max_norm"`
	Clipped  float64        `json:"clipped"`
}

// NonFinite counts the windows or runs that met non-finite values.
type NonFinite struct {
	// Count is their number, and Of the number of all windows or runs.
	Count int `json:"count"`
	Of    int `json:"of"`
	// First lists the first of them, at most five.
	First []NonFiniteEvent `json:"first,omitempty"`
}

// A NonFiniteEvent says where a non-finite value occurred.
type NonFiniteEvent struct {
	MetaStep int `json:"meta_step"`
	// Instance is the index of the training episode or of the validation instance.
	Instance int `json:"instance"`
	// Step is the inner step, counted from the run's start. What is "loss", "gradient", "update", "parameter",
	// "meta-loss" or "meta-gradient". Coordinate is the index in it, or -1 for a loss.
	Step       int    `json:"step"`
	What       string `json:"what"`
	Coordinate int    `json:"coordinate"`
}

// maxNonFinite is the largest number of events that a diagnosis lists.
const maxNonFinite = 5

func (n *NonFinite) add(metaStep, instance int, d *optimizer.DivergedError) {
	if n.Count++; n.Count <= maxNonFinite {
		n.First = append(n.First, NonFiniteEvent{metaStep, instance, d.Step, d.What, d.Coordinate})
	}
}

// newDiagnosis turns sums into shares.
func newDiagnosis(cfg lstm.Config, a lstm.Activity) *Diagnosis {
	n := float64(a.Coordinates)
	share := func(k int, of float64) float64 {
		if k == 0 {
			return 0 // also if of is 0
		}
		return float64(k) / of
	}
	d := &Diagnosis{
		Sampled: a.Coordinates, GradientRMS: compare.Number(math.Sqrt(a.Grad2 / n)), UpdateRMS: compare.Number(math.Sqrt(a.Update2 / n)),
		UpdateToGradient: compare.Number(math.Sqrt(a.Update2 / a.Grad2)), ZeroGradients: share(a.Zero, n),
	}
	if cfg.Inputs&lstm.LogAndSign != 0 {
		d.Inputs = &ClippedInputs{share(a.Small, n), share(a.Clipped, n)}
	}
	for _, layer := range a.Saturated {
		of := n * float64(cfg.Hidden)
		d.Gates = append(d.Gates, GateSaturation{share(layer[0], of), share(layer[1], of), share(layer[2], of), share(layer[3], of)})
	}
	return d
}

// probeEvery is the number of meta-steps from one probe of the training to the next. With windows of 20 steps the
// probes then take less than a hundredth of the time. It is a prime number, so that probes fall on all windows of an
// episode in turn.
const probeEvery = 7

// trainingPhase adds up statistics of the meta-steps since the last validation.
type trainingPhase struct {
	metaSteps int // meta-steps tried, skipped ones included
	meta      MetaGradient
	norm      float64 // the sum of norms
	clipped   int
	nonFinite NonFinite
}

// probesNow says whether the present meta-step is probed.
func (t *Trainer) probesNow() bool { return t.cfg.OnEvent != nil && t.phase.metaSteps%probeEvery == 0 }

// windowDone counts a slot's window. clipped says whether its meta-gradient was clipped, if the window was finite.
func (p *trainingPhase) windowDone(metaStep int, s *slot, clipped bool) {
	p.nonFinite.Of++
	if d := s.window.Diverged; d != nil {
		p.nonFinite.add(metaStep, s.index, d)
		return
	}
	p.meta.Windows++
	p.norm += s.norm
	p.meta.MaxNorm = max(p.meta.MaxNorm, compare.Number(s.norm))
	if clipped {
		p.clipped++
	}
}

// diagnoseTraining ends the present phase of training and returns its diagnosis: nil if it had no meta-step.
func (t *Trainer) diagnoseTraining() *Diagnosis {
	p := t.phase
	t.phase = trainingPhase{}
	var activity lstm.Activity
	for _, s := range t.slots {
		activity.Add(s.seen.Activity)
		s.seen.Activity = lstm.Activity{}
	}
	if p.nonFinite.Of == 0 {
		return nil
	}
	d := newDiagnosis(t.net.Config(), activity)
	d.NonFinite = p.nonFinite
	if n := float64(p.meta.Windows); n > 0 {
		p.meta.MeanNorm, p.meta.Clipped = compare.Number(p.norm/n), float64(p.clipped)/n
		d.MetaGradient = &p.meta
	}
	return d
}

// watched is a network as a rule whose runs are probed at every every-th step.
type watched struct {
	net   *lstm.Network
	every int
	mu    sync.Mutex
	runs  []*watchedRun
}

// validationProbes is the number of steps that are probed in a validation, all runs together. Each run is probed at
// least once.
const validationProbes = 16

func watch(net *lstm.Network, runs, steps int) *watched {
	return &watched{net: net, every: max(1, steps/max(1, validationProbes/runs))}
}

// Needs implements optimizer.Rule.
func (w *watched) Needs() optimizer.Needs { return w.net.Needs() }

// Start implements optimizer.Rule.
func (w *watched) Start(layout optimizer.Layout) optimizer.State {
	run := &watchedRun{state: w.net.Start(layout).(*lstm.State), every: w.every}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.runs = append(w.runs, run)
	return run
}

type watchedRun struct {
	state    *lstm.State
	every    int
	probe    lstm.Probe
	activity lstm.Activity
	updates  []float32
}

// Update implements optimizer.State.
func (r *watchedRun) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	if (r.state.Steps()+1)%r.every == 0 {
		r.updates = append(r.updates, r.probe.Look(&r.activity, r.state, p)...)
	}
	return r.state.Update(dst, p)
}

// diagnosis sums up the runs and their outcomes. Runs start in a random order, and a sum of floats depends on the
// order of its terms. So the runs are sorted first.
func (w *watched) diagnosis(metaStep int, outcomes []optimizer.Outcome) *Diagnosis {
	slices.SortFunc(w.runs, func(a, b *watchedRun) int {
		return cmp.Or(cmp.Compare(a.activity.Grad2, b.activity.Grad2), cmp.Compare(a.activity.Update2, b.activity.Update2))
	})
	var (
		sum     lstm.Activity
		updates []float32
	)
	for _, run := range w.runs {
		sum.Add(run.activity)
		updates = append(updates, run.updates...)
	}
	d := newDiagnosis(w.net.Config(), sum)
	slices.Sort(updates)
	d.Updates = updates
	d.NonFinite.Of = len(outcomes)
	for i, out := range outcomes {
		if out.Diverged != nil {
			d.NonFinite.add(metaStep, i, out.Diverged)
		}
	}
	return d
}
