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

// Diagnostics answer why a network does not learn: what it did in the training windows since
// the validation before, and in the runs of this validation. docs/training.md says what to make of each number.
type Diagnostics struct {
	// Training is nil before the first meta-step.
	Training   *Diagnosis `json:"training,omitempty"`
	Validation *Diagnosis `json:"validation"`
}

// A Diagnosis is what a phase's steps were like, on a sample of coordinates and
// steps: lstm.Probe at the end of every seventh meta-step's windows, and at 16 steps of
// a validation's runs, evenly spread.
type Diagnosis struct {
	// Sampled is the number of coordinates looked at, one in two steps counting twice.
	Sampled int `json:"sampled"`
	// Root mean squares of gradients and updates, and the latter over the former; null
	// where nothing was sampled or all gradients were 0.
	GradientRMS      compare.Number `json:"gradient_rms"`
	UpdateRMS        compare.Number `json:"update_rms"`
	UpdateToGradient compare.Number `json:"update_to_gradient"`
	// ZeroGradients is the share of gradients that were exactly 0.
	ZeroGradients float64 `json:"zero_gradients"`
	// Inputs is nil if the network does not read log-and-sign.
	Inputs *ClippedInputs `json:"inputs,omitempty"`
	// Gates has one entry for each LSTM layer, from the first to the last.
	Gates []GateSaturation `json:"gates,omitempty"`
	// MetaGradient is nil of a validation and where every window diverged.
	MetaGradient *MetaGradient `json:"meta_gradient,omitempty"`
	NonFinite    NonFinite     `json:"non_finite"`

	// Updates are those that were looked at in a validation, in ascending order.
	Updates []float32 `json:"-"`
}

// ClippedInputs are shares of coordinates that LogAndSign clips.
type ClippedInputs struct {
	// SmallGradients is the share with 0 < |g| < e^-P, whose size the first feature does
	// not show; ClippedSigns that with |g| ≥ e^-SignP, of which the second shows only the sign.
	SmallGradients float64 `json:"small_gradients"`
	ClippedSigns   float64 `json:"clipped_signs"`
}

// GateSaturation holds shares of a layer's activations: |σ-½| > 0.45 for the gates
// i, f and o, |tanh| > 0.95 for g.
type GateSaturation struct {
	I float64 `json:"i"`
	F float64 `json:"f"`
	G float64 `json:"g"`
	O float64 `json:"o"`
}

// MetaGradient is what the finite windows' meta-gradients were like.
type MetaGradient struct {
	Windows int `json:"windows"`
	// Euclidean norms before clipping; Clipped is the share of windows that were.
	MeanNorm compare.Number `json:"mean_norm"`
	MaxNorm  compare.Number `json:"max_norm"`
	Clipped  float64        `json:"clipped"`
}

// NonFinite counts windows or runs that left the finite numbers, of how many.
type NonFinite struct {
	Count int `json:"count"`
	Of    int `json:"of"`
	// First are the first of them, five at most.
	First []NonFiniteEvent `json:"first,omitempty"`
}

// A NonFiniteEvent says where something was not finite.
type NonFiniteEvent struct {
	MetaStep int `json:"meta_step"`
	// Instance is the index of the training episode or of the validation instance.
	Instance int `json:"instance"`
	// Step is the inner step, counted from the run's start, What the "loss", "gradient",
	// "update", "parameter", "meta-loss" or "meta-gradient", Coordinate where in it; -1 of a loss.
	Step       int    `json:"step"`
	What       string `json:"what"`
	Coordinate int    `json:"coordinate"`
}

// maxNonFinite is how many events a diagnosis lists.
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
			return 0 // also of nothing
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

// probeEvery is how many meta-steps there are from one look at training to the next: with 20
// steps a window a look then takes less than a hundredth of the time. It is a prime, so that looks fall
// on all windows of an episode in turn.
const probeEvery = 7

// trainingPhase adds up what the meta-steps since the last validation did.
type trainingPhase struct {
	metaSteps int // tried
	meta      MetaGradient
	norm      float64 // the sum of norms
	clipped   int
	nonFinite NonFinite
}

// looks says whether the present meta-step is one that is looked at.
func (t *Trainer) looks() bool { return t.cfg.OnEvent != nil && t.phase.metaSteps%probeEvery == 0 }

// windowDone counts a slot's window; clipped is that of a finite one.
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

// diagnoseTraining ends the phase of training; nil if it had no meta-step.
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

// watched is a network whose runs are looked at every so many steps.
type watched struct {
	net   *lstm.Network
	every int
	mu    sync.Mutex
	runs  []*watchedRun
}

// validationLooks is at how many steps of all runs of a validation together there is a look, one in
// each run at least.
const validationLooks = 16

func watch(net *lstm.Network, runs, steps int) *watched {
	return &watched{net: net, every: max(1, steps/max(1, validationLooks/runs))}
}

// Needs implements optimizer.Rule.
func (*watched) Needs() optimizer.Needs { return optimizer.Needs{} }

// Start implements optimizer.Rule.
func (w *watched) Start(layout optimizer.Layout) optimizer.State {
	run := &watchedRun{state: w.net.NewState(layout.Len()), every: w.every}
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
		r.updates = append(r.updates, r.probe.Look(&r.activity, r.state, p.Grad)...)
	}
	return r.state.Update(dst, p)
}

// diagnosis sums up the runs and their outcomes. Runs began in any order, and sums of floats
// depend on theirs: they are put in one first.
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
