package metatrain

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"strings"
	"time"

	"learnedopt/baselines"
	"learnedopt/checkpoints"
	"learnedopt/compare"
	"learnedopt/internal/saved"
	"learnedopt/lstm"
	"learnedopt/optimizer"
)

// ErrTrainingState is wrapped by every error of Trainer.UnmarshalBinary.
var ErrTrainingState = errors.New("metatrain: bad state of a training")

var (
	_ encoding.BinaryMarshaler   = (*Trainer)(nil)
	_ encoding.BinaryUnmarshaler = (*Trainer)(nil)
)

// stateKind is the Kind of the file that holds a trainer's state.
const stateKind = "meta-training-state"

// trainingForm is the present version of a saved training. Its arrays (numbers, Adam's state, episodes) are in the
// forms of internal/saved.
const trainingForm = 1

// savedTraining holds a Trainer without its arrays. Every random stream is derived from the seed, a purpose and an
// index. So the counters are the state of all random streams.
type savedTraining struct {
	// Form is the version of the arrays and of Settings: trainingForm, or 0 for the first form.
	Form int `msgpack:"Form,omitempty"`
	// Settings are the settings on which the result depends. The trainer that reads the state must have the same.
	Settings  string
	MetaSteps int
	Episodes  int
	Skipped   int
	Rollbacks int
	Nanos     int64
	HasBest   bool
	BestScore compare.Score
	BestAt    int
	Stale     int
	Validated int
	LastScore compare.Score
	Stages    savedStages
	Phase     savedPhase
	Slots     []savedSlot
	HasSafe   bool
}

type savedStages struct {
	Now         int
	First       uint64
	Kept        int
	Reference   compare.Score
	Validations int
	Improved    bool
}

type savedPhase struct {
	MetaSteps int
	Meta      MetaGradient
	Norm      float64
	Clipped   int
	NonFinite NonFinite
}

type savedSlot struct {
	// Live says whether an episode is running. If not, all fields except the last two are zero.
	Live                     bool
	Index, Steps             int
	Windows, Losses, Clipped int
	Loss, Last, Norm         float64
	// HasWindow belongs to the first form: it says whether the estimator's memory is a separate array.
	HasWindow bool `msgpack:"HasWindow,omitempty"`
	Activity  lstm.Activity
	Looks     int
}

// MarshalBinary implements encoding.BinaryMarshaler. It saves everything on which later meta-steps depend, as the bytes
// of a checkpoints.File. A trainer of the same configuration that reads it with UnmarshalBinary trains the same network,
// bit for bit, on a machine with the same kernels (simd.Float32().Path), and reports the same events except for their
// times. Call it between two calls of Step or Validate, or in TrainConfig.AtRest. It returns an error if the estimator's
// memory cannot be saved, such as a teacher's state without MarshalBinary. The run of a reference (Relative) is not
// saved, but computed anew up to the episode's step.
func (t *Trainer) MarshalBinary() ([]byte, error) {
	s := savedTraining{
		Form: trainingForm, Settings: t.settings(), MetaSteps: t.metaSteps, Episodes: t.episodes, Skipped: t.skipped, Rollbacks: t.rollbacks,
		Nanos: int64(t.Elapsed()), HasBest: t.best != nil, BestScore: t.bestScore, BestAt: t.bestAt, Stale: t.stale,
		Validated: t.validated, LastScore: t.lastScore,
		Stages:  savedStages{t.stages.now, t.stages.first, t.stages.bestStage, t.stages.reference, t.stages.validations, t.stages.improved},
		Phase:   savedPhase{t.phase.metaSteps, t.phase.meta, t.phase.norm, t.phase.clipped, t.phase.nonFinite},
		HasSafe: t.safe.meta != nil,
	}
	f := &checkpoints.File{Kind: stateKind}
	add := func(name string, data []byte) {
		if len(data) > 0 {
			f.Tensors = append(f.Tensors, checkpoints.Tensor{Name: name, Shape: []int{len(data)}, Bytes: data})
		}
	}
	floats := func(name string, x []float32) {
		w := saved.NewWriter(floatsName, trainingForm)
		w.Floats32(x)
		data, _ := w.Bytes() // only states have errors
		add(name, data)
	}
	floats("phi", t.phi)
	meta, err := marshalState(t.meta)
	if err != nil {
		return nil, err
	}
	add("meta", meta)
	if t.best != nil {
		floats("best", t.best.Params())
	}
	if s.HasSafe {
		floats("safe/phi", t.safe.phi)
		add("safe/meta", t.safe.meta)
	}
	for i, slot := range t.slots {
		entry := savedSlot{Activity: slot.seen.Activity, Looks: slot.seen.Looks}
		if slot.live {
			sum := slot.sum
			entry.Live, entry.Index, entry.Steps = true, slot.index, slot.steps
			entry.Windows, entry.Losses, entry.Clipped = sum.windows, sum.losses, sum.clipped
			entry.Loss, entry.Last, entry.Norm = sum.loss, sum.last, sum.norm
			if slot.state == nil {
				return nil, errors.New("metatrain: a training cannot be saved after an error of Step; resume from an earlier state")
			}
			data, err := slot.state.MarshalBinary()
			if err != nil {
				return nil, err
			}
			add(fmt.Sprintf("slot/%d/episode", i), data)
		}
		s.Slots = append(s.Slots, entry)
	}
	if err := f.EncodeConfig(s); err != nil {
		return nil, fmt.Errorf("metatrain: saving a training: %w", err)
	}
	var b bytes.Buffer
	if err := checkpoints.Write(&b, f); err != nil {
		return nil, fmt.Errorf("metatrain: saving a training: %w", err)
	}
	return b.Bytes(), nil
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler. The trainer t then continues where the saved trainer was. Both
// must have the same configuration, but the limits of the training (MetaSteps, Time, Patience, SkipLimit), OnNonFinite
// and the callbacks may differ. The error wraps ErrTrainingState, or is an error of the family. After an error t must
// not be used.
func (t *Trainer) UnmarshalBinary(data []byte) error {
	fail := func(err error) error { return fmt.Errorf("%w: %w", ErrTrainingState, err) }
	f, err := checkpoints.Read(bytes.NewReader(data))
	if err != nil {
		return fail(err)
	}
	var s savedTraining
	if f.Kind != stateKind {
		return fail(fmt.Errorf("a %q", f.Kind))
	}
	if err := f.DecodeConfig(&s); err != nil {
		return fail(err)
	}
	settings := t.settings()
	switch s.Form {
	case 0:
		s.upgrade()
		settings = strings.Replace(settings, ", Differences true", "", 1) // a state of the first form fits either choice
	case trainingForm:
	default:
		return fail(fmt.Errorf("form %d of a later version, this one knows %d", s.Form, trainingForm))
	}
	if was, is := firstDifference(s.Settings, settings); was != is {
		return fail(fmt.Errorf("it was saved with %q, this training has %q", was, is))
	}
	if err := s.check(&t.cfg); err != nil {
		return fail(err)
	}
	if err := t.Close(); err != nil {
		return err
	}
	r := restorer{f: f, form: s.Form}
	t.net = t.net.With(r.floats("phi", len(t.phi)))
	t.phi = t.net.Params()
	r.state("meta", t.meta)
	t.best = nil
	if s.HasBest {
		t.best = t.net.With(r.floats("best", len(t.phi)))
	}
	t.safe = safePoint{}
	if s.HasSafe {
		t.safe = safePoint{r.floats("safe/phi", len(t.phi)), r.bytes("safe/meta")}
		if r.err == nil { // the safe point is not needed yet, but report a damaged one now
			r.keep(unmarshalState(baselines.Adam{LearningRate: t.cfg.MetaLearningRate}.Start(optimizer.Flat(len(t.phi))), t.safe.meta))
		}
	}
	if r.err != nil {
		return fail(r.err)
	}
	t.metaSteps, t.episodes, t.skipped, t.rollbacks = s.MetaSteps, s.Episodes, s.Skipped, s.Rollbacks
	t.bestScore, t.bestAt, t.stale, t.validated, t.lastScore = s.BestScore, s.BestAt, s.Stale, s.Validated, s.LastScore
	st, p := s.Stages, s.Phase
	t.stages = stages{st.Now, st.First, st.Kept, st.Reference, st.Validations, st.Improved}
	t.phase = trainingPhase{p.MetaSteps, p.Meta, p.Norm, p.Clipped, p.NonFinite}
	t.before = time.Duration(s.Nanos)
	t.began = time.Now()
	for i, slot := range s.Slots {
		if err := t.restoreSlot(&r, i, slot); err != nil {
			return errors.Join(err, t.Close())
		}
	}
	if r.err == nil && r.read != len(f.Tensors) {
		r.err = fmt.Errorf("%d arrays, of which %d are known", len(f.Tensors), r.read)
	}
	if r.err != nil {
		return errors.Join(fail(r.err), t.Close())
	}
	return nil
}

// restoreSlot restores a slot. It returns an error of the family; r keeps errors in the state.
func (t *Trainer) restoreSlot(r *restorer, i int, was savedSlot) error {
	slot := t.slots[i]
	slot.seen = Seen{was.Activity, was.Looks}
	if !was.Live || r.err != nil {
		return nil
	}
	slot.live, slot.index, slot.steps = true, was.Index, was.Steps
	slot.sum = episodeSum{was.Windows, was.Losses, was.Clipped, was.Loss, was.Last, was.Norm}
	u := t.unit(i, false)
	ep, err := t.cfg.episode(t.net, &u)
	if err != nil {
		return err
	}
	slot.state = ep
	ep.Memory = t.cfg.Estimator.Start(ep)
	r.episode(fmt.Sprintf("slot/%d/", i), ep, was.HasWindow)
	slot.step = ep.Step
	if longest := t.cfg.Steps; ep.Step > was.Steps || was.Steps > longest {
		r.keep(fmt.Errorf("an episode at step %d of %d, of at most %d", ep.Step, was.Steps, longest))
	}
	return nil
}

// floatsName is the name of the binary form of an array of numbers.
const floatsName = "floats"

// restorer reads the arrays of a saved training and keeps the first error.
type restorer struct {
	f    *checkpoints.File
	form int
	read int
	err  error
}

func (r *restorer) keep(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *restorer) bytes(name string) []byte {
	data, err := r.f.Uint8(name)
	r.keep(err)
	r.read++
	return data
}

// floats reads an array of n numbers. After an error they are all 0.
func (r *restorer) floats(name string, n int) []float32 {
	x := make([]float32, n)
	data := r.bytes(name)
	switch {
	case r.err != nil:
	case r.form == 0:
		r.keep(firstFloats(x, data))
	default:
		in := saved.NewReader(data, floatsName, trainingForm)
		readFloats(in, x)
		r.keep(in.Close())
	}
	return x
}

func (r *restorer) state(name string, s optimizer.State) {
	data := r.bytes(name)
	if r.err == nil {
		r.keep(unmarshalState(s, data))
	}
}

// episode restores an episode that is at step 0. In the first form, the estimator's memory is a separate array, if there
// is one.
func (r *restorer) episode(prefix string, ep *Episode, remembers bool) {
	data := r.bytes(prefix + "episode")
	var window []byte
	if remembers {
		window = r.bytes(prefix + "estimator")
	}
	switch {
	case r.err != nil:
	case r.form == 0:
		r.keep(ep.unmarshalFirst(data, window))
	default:
		r.keep(ep.UnmarshalBinary(data))
	}
}

// check returns an error if the values are impossible for a training with this configuration.
func (s *savedTraining) check(cfg *TrainConfig) error {
	counts := []int{s.MetaSteps, s.Episodes, s.Skipped, s.Rollbacks, s.BestAt, s.Stale, s.Validated + 1, s.Stages.Now, s.Stages.Kept, s.Stages.Validations}
	for _, n := range counts {
		if n < 0 {
			return errors.New("a negative count")
		}
	}
	if s.Nanos < 0 || s.HasBest != (s.Validated >= 0) || s.Validated > s.MetaSteps || s.BestAt > s.MetaSteps || s.Stages.First > uint64(s.Episodes) {
		return errors.New("counts that contradict each other")
	}
	if stages := max(len(cfg.Horizons), 1); s.Stages.Now >= stages || s.Stages.Kept >= stages {
		return fmt.Errorf("stage %d of %d, the best of stage %d", s.Stages.Now+1, stages, s.Stages.Kept+1)
	}
	if len(s.Slots) != cfg.Batch {
		return fmt.Errorf("%d episodes side by side, want %d", len(s.Slots), cfg.Batch)
	}
	for _, slot := range s.Slots {
		if slot.Looks < 0 || slot.Live && (slot.Index < 0 || slot.Index >= s.Episodes || slot.Steps < 1) {
			return errors.New("an episode that never began")
		}
	}
	return nil
}

// marshalState returns the binary form of a rule's state, or an error if the state has none.
func marshalState(s optimizer.State) ([]byte, error) {
	m, ok := s.(encoding.BinaryMarshaler)
	if !ok {
		return nil, fmt.Errorf("metatrain: a training with a %T cannot be saved: it has no MarshalBinary", s)
	}
	return m.MarshalBinary()
}

func unmarshalState(s optimizer.State, data []byte) error {
	m, ok := s.(encoding.BinaryUnmarshaler)
	if !ok {
		return fmt.Errorf("metatrain: a training with a %T cannot go on: it has no UnmarshalBinary", s)
	}
	return m.UnmarshalBinary(data)
}
