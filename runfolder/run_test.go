package runfolder

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"learnedopt/internal/durable"
	"learnedopt/internal/simd"
	"learnedopt/metaopt"
	"learnedopt/recipe"
	"learnedopt/tasks"
)

// small is a training that takes a tenth of a second.
var small = recipe.Recipe{
	Steps: 10, Unroll: 5, Hidden: 4, ValidRuns: 2, ValidEvery: 5, MetaSteps: 30,
	Task: tasks.MustParse("quadratic dims=2 batch=4"),
}

// often are settings that save at every meta-step.
func often() Settings {
	s := DefaultSettings()
	s.SaveEvery = 1
	return s
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// start makes a run in a folder.
func start(t *testing.T, r recipe.Recipe, dir string, listener Listener) *Run {
	t.Helper()
	run, err := New(r, recipe.Local{}, often(), listener)
	if err == nil {
		err = run.Create(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { run.Close() })
	return run
}

// interrupted returns the folder of a run that was interrupted after the given number of saved states.
func interrupted(t *testing.T, r recipe.Recipe, saves int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	mend := durable.Break(func(op durable.Op, path string) error {
		if op == durable.Rename && filepath.Base(path) == StateFile {
			if saves--; saves == 0 {
				cancel()
			}
		}
		return nil
	})
	defer mend()
	run := start(t, r, dir, nil)
	if _, err := run.Train(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v, want an interrupt", err)
	}
	if err := run.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// eventNames is a Listener that records the names of the events.
type eventNames []string

func (h *eventNames) OnEvent(e Event) {
	*h = append(*h, strings.TrimPrefix(reflect.TypeOf(e).String(), "runfolder."))
}

var times = regexp.MustCompile(`"seconds": ?[0-9.e+-]+,?`)

// An interrupted and resumed run gives the same optimizer and, except for times, the same log as an uninterrupted run: with
// one seed, and with an interrupt in the second of three seeds.
func TestResumeGivesTheSameRun(t *testing.T) {
	for seeds, saves := range map[int]int{1: 12, 3: 45} {
		r := small
		r.Seeds = seeds
		whole := start(t, r, filepath.Join(t.TempDir(), "run"), nil)
		want, err := whole.Train(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		dir := interrupted(t, r, saves)
		if exists(filepath.Join(dir, "lock")) || !exists(filepath.Join(dir, OptimizerFile)) {
			t.Error("an interrupted run holds its folder, or keeps no optimizer")
		}
		// The best optimizer so far holds the command that trains only its seed.
		so, err := metaopt.Load(filepath.Join(dir, OptimizerFile))
		if err != nil {
			t.Fatal(err)
		}
		if r, err := recipe.Of(so.Provenance); err != nil || r.Seeds != 1 || r.Seed != so.Provenance.Seed {
			t.Errorf("%d seeds, interrupted: trained by %+v, %v", seeds, r, err)
		}
		var events eventNames
		run, err := Resume(dir, nil, &events)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Resume(dir, nil, nil); err == nil || !strings.Contains(err.Error(), "is writing to") {
			t.Errorf("two processes have one folder: %v", err)
		}
		got, err := run.Train(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(run.Forget(), run.Close()); err != nil {
			t.Fatal(err)
		}
		var a, b bytes.Buffer
		if err := errors.Join(metaopt.Write(&a, got), metaopt.Write(&b, want)); err != nil || !bytes.Equal(a.Bytes(), b.Bytes()) {
			t.Errorf("%d seeds: another optimizer, %v", seeds, err)
		}
		if a, b := times.ReplaceAll(read(t, run.Path(LogFile)), nil), times.ReplaceAll(read(t, whole.Path(LogFile)), nil); !bytes.Equal(a, b) {
			t.Errorf("%d seeds: another log:\n%s\nwant\n%s", seeds, a, b)
		}
		if !slices.Contains(events, "Started") || !slices.Contains(events, "TrainerEvent") || slices.Contains(events, "Choosing") != (seeds > 1) ||
			seeds == 1 && events[len(events)-1] != "Ended" {
			t.Errorf("%d seeds: events %q", seeds, events)
		}
		if exists(run.Path(StateFile)) {
			t.Error("a finished run keeps its state")
		}
	}
}

// A state holds the whole recipe, all settings and the folder of the data.
func TestEverySettingIsSaved(t *testing.T) {
	r := small
	r.Memory, r.Name, r.Seed = new(9.0), "it's me", math.MaxUint64
	s := Settings{SaveEvery: time.Microsecond, TensorBoard: "events", Runs: 4, TuneRuns: 3, Rules: []string{"sgd", "adam"}}
	run, err := New(r, recipe.Local{}, s, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Create(filepath.Join(t.TempDir(), "run")); err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	got, _, err := restore(run.Path(StateFile), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.settings, s) || !reflect.DeepEqual(got.recipe, r.WithDefaults()) {
		t.Errorf("%+v, %+v", got.settings, got.recipe)
	}
	for i := range reflect.ValueOf(s).NumField() {
		if f := reflect.TypeOf(s).Field(i); f.Tag.Get("json") != "-" && reflect.ValueOf(s).Field(i).IsZero() {
			t.Errorf("%s is not tested", reflect.TypeOf(s).Field(i).Name)
		}
	}
	run.local.DataDir = "somewhere"
	if err := run.save(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := restore(run.Path(StateFile), nil, nil); err == nil {
		t.Error("the folder of the data was not saved: quadratics refuse one")
	}
}

// A run that was interrupted before recipes existed can be resumed, and ends with the same bytes as without the interrupt.
// With other kernels or on another processor it can be resumed too.
func TestARunFromBeforeRecipesGoesOn(t *testing.T) {
	const old = "testdata/run-before-recipes"
	dir := t.TempDir()
	for _, file := range []string{StateFile, LogFile, OptimizerFile} {
		if err := os.WriteFile(filepath.Join(dir, file), read(t, filepath.Join(old, file)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run, err := Resume(dir, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	if s := run.Settings(); s.Runs != 1 || s.TuneRuns != 1 || s.SaveEvery != 1 || !slices.Equal(s.Rules, []string{"none"}) {
		t.Errorf("settings %+v", s)
	}
	got, err := run.Train(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want, err := metaopt.Load(filepath.Join(old, "whole.mopt"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := recipe.Of(got.Provenance)
	wanted, wantedErr := recipe.Of(want.Provenance)
	if err != nil || wantedErr != nil || !reflect.DeepEqual(r.WithDefaults(), wanted.WithDefaults()) || r.Defaults != 1 {
		t.Errorf("it was trained by %+v, %v, want %+v, %v", r, err, wanted, wantedErr)
	}
	var first struct{ Kernels, Arch string }
	line, _, _ := bytes.Cut(read(t, filepath.Join(old, LogFile)), []byte("\n"))
	if err := json.Unmarshal(line, &first); err != nil {
		t.Fatal(err)
	}
	if first.Kernels != simd.Float32().Path || first.Arch != runtime.GOARCH {
		t.Skipf("the bytes are those of %s on %s", first.Kernels, first.Arch)
	}
	if !slices.Equal(got.Network.Params(), want.Network.Params()) || got.Provenance.ValidLoss != want.Provenance.ValidLoss {
		t.Error("another network than that of a run without a break, from before recipes")
	}
}

func TestStalled(t *testing.T) {
	for _, c := range []struct {
		best, validated, stale int
		reason                 string
		want                   bool
	}{
		{100, 200, 3, "time", true}, {100, 200, 2, "time", false}, {101, 200, 3, "time", false}, {0, 100, 4, "time", true},
		{200, 200, 0, "time", false}, {101, 200, 2, "patience", true},
	} {
		if got := (Outcome{BestMetaStep: c.best, validated: c.validated, stale: c.stale, Reason: c.reason}).Stalled(); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
