package metatrain

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"learnedopt/baselines"
	"learnedopt/checkpoints"
	"learnedopt/compare"
	"learnedopt/lstm"
	"learnedopt/optimizer"
)

// ErrTrainingState is wrapped by every error of Trainer.UnmarshalBinary.
var ErrTrainingState = errors.New("metatrain: bad state of a training")

// A ResumableEstimator is an Estimator that can be saved between two windows of an episode.
// A Trainer can be saved only if its estimator is one.
type ResumableEstimator interface {
	Estimator
	// SaveWindow returns what the next Estimate on ep takes from those before, nil if it is nothing.
	// It may put another network of the same shape into states that Estimate gives its own.
	SaveWindow(ep *Episode) ([]byte, error)
	// RestoreWindow makes the estimator go on with ep where another one was saved.
	RestoreWindow(ep *Episode, data []byte) error
}

var (
	_ encoding.BinaryMarshaler   = (*Trainer)(nil)
	_ encoding.BinaryUnmarshaler = (*Trainer)(nil)
)

// stateKind is what the file of a trainer's state says it is.
const stateKind = "meta-training-state"

// savedTraining is a Trainer but for its arrays. Everything random is derived from the seed, a
// purpose and an index, so that counters are the state of all random streams.
type savedTraining struct {
	// Settings are those that a result depends on; they must be the same.
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
	// Live says whether an episode is under way, which the rest but the last two is about.
	Live                     bool
	Index, Steps             int
	Windows, Losses, Clipped int
	Loss, Last, Norm         float64
	// HasWindow says whether the estimator has an array.
	HasWindow bool
	Activity  lstm.Activity
	Looks     int
}

// MarshalBinary implements encoding.BinaryMarshaler: everything that the meta-steps to come depend on,
// in the bytes of a checkpoints.File. A trainer of the same configuration that goes on from it in
// UnmarshalBinary trains the same network, bit for bit, on a machine that has the same kernels
// (simd.Float32().Path), and reports the same events except for their times. It is for a trainer at rest:
// between two calls of Step or Validate, or in TrainConfig.AtRest. It is an error if the estimator is
// no ResumableEstimator, or if a teacher's state cannot be saved. A reference (Relative) is not: its run is
// computed anew, up to the step where the episode stands.
func (t *Trainer) MarshalBinary() ([]byte, error) {
	s := savedTraining{
		Settings: t.settings(), MetaSteps: t.metaSteps, Episodes: t.episodes, Skipped: t.skipped, Rollbacks: t.rollbacks,
		Nanos: int64(t.Elapsed()), HasBest: t.best != nil, BestScore: t.bestScore, BestAt: t.bestAt, Stale: t.stale,
		Validated: t.validated, LastScore: t.lastScore,
		Stages:  savedStages{t.stages.now, t.stages.first, t.stages.kept, t.stages.reference, t.stages.validations, t.stages.improved},
		Phase:   savedPhase{t.phase.metaSteps, t.phase.meta, t.phase.norm, t.phase.clipped, t.phase.nonFinite},
		HasSafe: t.safe.meta != nil,
	}
	f := &checkpoints.File{Kind: stateKind}
	add := func(name string, data []byte) {
		if len(data) > 0 {
			f.Tensors = append(f.Tensors, checkpoints.Tensor{Name: name, Shape: []int{len(data)}, Bytes: data})
		}
	}
	add("phi", appendFloats(nil, t.phi))
	meta, err := marshalState(t.meta)
	if err != nil {
		return nil, err
	}
	add("meta", meta)
	if t.best != nil {
		add("best", appendFloats(nil, t.best.Params()))
	}
	if s.HasSafe {
		add("safe/phi", appendFloats(nil, t.safe.phi))
		add("safe/meta", t.safe.meta)
	}
	for i, slot := range t.slots {
		prefix := fmt.Sprintf("slot/%d/", i)
		saved := savedSlot{Activity: slot.activity, Looks: slot.probe.Looks()}
		if ep := slot.episode; ep != nil {
			sum := slot.sum
			saved.Live, saved.Index, saved.Steps = true, slot.index, slot.steps
			saved.Windows, saved.Losses, saved.Clipped = sum.windows, sum.losses, sum.clipped
			saved.Loss, saved.Last, saved.Norm = sum.loss, sum.last, sum.norm
			ep.State.SetNetwork(t.net) // as the next window would
			e, ok := slot.estimator.(ResumableEstimator)
			if !ok {
				return nil, fmt.Errorf("metatrain: a training by %T cannot be saved: it is no ResumableEstimator", slot.estimator)
			}
			window, err := e.SaveWindow(ep)
			if err != nil {
				return nil, err
			}
			add(prefix+"estimator", window)
			saved.HasWindow = len(window) > 0
			data, err := ep.save()
			if err != nil {
				return nil, err
			}
			add(prefix+"episode", data)
		}
		s.Slots = append(s.Slots, saved)
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

// UnmarshalBinary implements encoding.BinaryUnmarshaler: t, which must have been made from the
// configuration that the saved one was made from, goes on where that was. The limits of the training
// (MetaSteps, Time, Patience, SkipLimit), OnNonFinite and the callbacks may be others. The error wraps
// ErrTrainingState, or is the family's; t is of no use then.
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
	if was, is := differ(s.Settings, t.settingsAs(s.Settings)); was != is {
		return fail(fmt.Errorf("it was saved with %q, this training has %q", was, is))
	}
	if err := s.check(len(t.slots)); err != nil {
		return fail(err)
	}
	if err := t.Close(); err != nil {
		return err
	}
	r := restorer{f: f}
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
		if r.err == nil { // also what is not needed yet must be whole
			r.keep(unmarshalState(baselines.Adam{}.Start(optimizer.Flat(len(t.phi))), t.safe.meta))
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
	for i, saved := range s.Slots {
		if err := t.restoreSlot(&r, i, saved); err != nil {
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

// restoreSlot puts a slot where it was. The error is the family's; r has those of the state.
func (t *Trainer) restoreSlot(r *restorer, i int, saved savedSlot) error {
	slot := t.slots[i]
	slot.activity = saved.Activity
	slot.probe = lstm.Probe{}
	slot.probe.Resume(saved.Looks)
	if !saved.Live || r.err != nil {
		return nil
	}
	ep, err := t.sample(uint64(saved.Index))
	if err != nil {
		return err
	}
	slot.episode, slot.index, slot.steps = ep, saved.Index, saved.Steps
	slot.sum = episodeSum{saved.Windows, saved.Losses, saved.Clipped, saved.Loss, saved.Last, saved.Norm}
	ep.Length = saved.Steps
	prefix := fmt.Sprintf("slot/%d/", i)
	r.keep(ep.load(r.bytes(prefix + "episode")))
	if longest := slices.Max(append(slices.Clone(t.cfg.Horizons), t.cfg.Steps)); ep.Step > saved.Steps || saved.Steps > longest {
		r.keep(fmt.Errorf("an episode at step %d of %d, of at most %d", ep.Step, saved.Steps, longest))
	}
	slot.estimator = t.cfg.Estimator.Fresh()
	e, ok := slot.estimator.(ResumableEstimator)
	if !ok {
		return fmt.Errorf("metatrain: a training by %T cannot go on: it is no ResumableEstimator", slot.estimator)
	}
	var window []byte
	if saved.HasWindow {
		window = r.bytes(prefix + "estimator")
	}
	if r.err == nil {
		r.keep(e.RestoreWindow(ep, window))
	}
	ep.resume()
	return nil
}

// check says what no training can have come to.
func (s *savedTraining) check(slots int) error {
	counts := []int{s.MetaSteps, s.Episodes, s.Skipped, s.Rollbacks, s.BestAt, s.Stale, s.Validated + 1, s.Stages.Now, s.Stages.Kept, s.Stages.Validations}
	for _, n := range counts {
		if n < 0 {
			return errors.New("a negative count")
		}
	}
	if s.Nanos < 0 || s.HasBest != (s.Validated >= 0) || s.Validated > s.MetaSteps || s.BestAt > s.MetaSteps || s.Stages.First > uint64(s.Episodes) {
		return errors.New("counts that contradict each other")
	}
	if len(s.Slots) != slots {
		return fmt.Errorf("%d episodes side by side, want %d", len(s.Slots), slots)
	}
	for _, slot := range s.Slots {
		if slot.Looks < 0 || slot.Live && (slot.Index < 0 || slot.Index >= s.Episodes || slot.Steps < 1) {
			return errors.New("an episode that never began")
		}
	}
	return nil
}

// settings are what a training's result depends on, line by line.
func (t *Trainer) settings() string {
	cfg := t.cfg
	lines := []string{
		"network: " + fmt.Sprintf("%+v", t.net.Config()),
		"family: " + cfg.Family.Name(), "validation: " + cfg.Valid.Name(),
		"estimator: " + describe(reflect.ValueOf(cfg.Estimator)),
		fmt.Sprintf("episodes: seed %d, %d steps, unroll %d, random %v, horizons %v, patience %d, batch %d",
			cfg.Seed, cfg.Steps, cfg.Unroll, cfg.RandomSteps, cfg.Horizons, cfg.StagePatience, cfg.Batch),
		fmt.Sprintf("meta-steps: rate %v, warm-up %d, fraction %v by %d, clip %v", cfg.MetaLearningRate, cfg.WarmUp, cfg.FinalFraction, cfg.DecaySteps, cfg.Clip),
		fmt.Sprintf("selection: every %d, %d runs, steps %v, %s", cfg.ValidEvery, cfg.ValidRuns, cfg.ValidSteps, cfg.Selection),
	}
	return strings.Join(lines, "\n")
}

// sinceDifferences are the words of settings that states lack which were saved before
// TruncatedBackprop.Differences: they fit either choice.
var sinceDifferences = regexp.MustCompile(`, Differences (true|false)`)

// settingsAs are the settings in the words of the version that saved a state.
func (t *Trainer) settingsAs(saved string) string {
	if sinceDifferences.MatchString(saved) {
		return t.settings()
	}
	return sinceDifferences.ReplaceAllString(t.settings(), "")
}

// differ returns the first lines in which two texts differ.
func differ(a, b string) (string, string) {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(as), len(bs)) {
		if as[i] != bs[i] {
			return as[i], bs[i]
		}
	}
	if len(as) != len(bs) {
		return a, b
	}
	return "", ""
}

// describe is a value's type and exported fields, with all that they point to.
func describe(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Interface, reflect.Pointer:
		if v.IsNil() {
			return "nil"
		}
		return describe(v.Elem())
	case reflect.Struct:
		var fields []string
		for i := range v.NumField() {
			if field := v.Type().Field(i); field.IsExported() {
				fields = append(fields, field.Name+" "+describe(v.Field(i)))
			}
		}
		return v.Type().String() + "{" + strings.Join(fields, ", ") + "}"
	}
	if v.IsValid() && v.CanInterface() {
		return fmt.Sprint(v.Interface())
	}
	return "nil"
}

// marshalState is the binary form of a rule's state.
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
