package reproduce

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"learnedopt/report"
	"learnedopt/versus"
)

// recorder writes down what it hears.
type recorder []Event

func (r *recorder) OnEvent(e Event) { *r = append(*r, e) }

// count says how many events are of e's type.
func (r recorder) count(e Event) (n int) {
	for _, heard := range r {
		if reflect.TypeOf(heard) == reflect.TypeOf(e) {
			n++
		}
	}
	return n
}

// A second run computes only the answer whose file is damaged, says so, and writes the same.
func TestADamagedAnswerIsComputedAgain(t *testing.T) {
	c := Config{Target: "quadratics", Runs: 2, TuneRuns: 1, Grid: 1, Out: t.TempDir()}
	text := func() (string, recorder) {
		var heard recorder
		r, err := New(c, &heard)
		if err != nil {
			t.Fatal(err)
		}
		d, err := r.Figure(context.Background(), c.Target)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := d.Write(&b, report.Table); err != nil {
			t.Fatal(err)
		}
		for _, name := range d.Files {
			if info, err := os.Stat(filepath.Join(d.Dir, name)); err != nil || info.Size() == 0 {
				t.Errorf("%s: %v", name, err)
			}
		}
		return b.String(), heard
	}
	first, heard := text()
	if begun := heard[0].(FigureStarted); begun.Figure.Name != c.Target || begun.Task != "quadratic dims=10 batch=128" || begun.Of != 1 {
		t.Errorf("begun: %+v", begun)
	}
	if heard.count(Comparing{}) == 0 || heard.count(Damaged{}) != 0 {
		t.Errorf("heard %v", heard)
	}
	again, heard := text()
	if again != first || len(heard) != 1 {
		t.Errorf("again, with the events %v:\n%s\nfirst:\n%s", heard, again, first)
	}

	path := filepath.Join(c.Out, "cache", "quadratic-dims-10-batch-128-steps-100-tuning-adam.json")
	if err := os.WriteFile(path, []byte(`{"question":`), 0o644); err != nil {
		t.Fatal(err)
	}
	again, heard = text()
	if again != first {
		t.Errorf("after the damage:\n%s\nfirst:\n%s", again, first)
	}
	if d, ok := heard[1].(Damaged); !ok || d.Path != path || d.Err == nil {
		t.Errorf("heard %v", heard)
	}
	tunings := 0
	for _, e := range heard {
		if e, ok := e.(Comparing); ok && e.Event == (versus.Started{Phase: versus.Tuning, Runs: 6}) {
			tunings++
		}
	}
	if tunings != 1 {
		t.Errorf("%d rules were tuned again, want adam alone", tunings)
	}
}

// What is wrong is found before a folder is made.
func TestNewRefuses(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{Target: "quadratic"}, `did you mean "quadratics"?`},
		{Config{Target: Table, Rows: []string{"mnist-1000000"}}, `did you mean "mnist-10000"?`},
		{Config{Target: All, Grid: -1}, "must be positive"},
	} {
		c.config.Out = out
		if _, err := New(c.config, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.config, err, c.want)
		}
	}
	var task *TaskError
	if _, err := New(Config{Target: "mnist", DataDir: t.TempDir(), Out: out}, nil); !errors.As(err, &task) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without data: %v", err)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a folder was made")
	}
	if err := os.WriteFile(out, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	var folder *FolderError
	if _, err := New(Config{Target: "quadratics", Out: out}, nil); !errors.As(err, &folder) || !strings.HasSuffix(err.Error(), "; choose another folder") {
		t.Errorf("where a file is: %v", err)
	}
}

// The zero Config is the defaults that it documents.
func TestDefaults(t *testing.T) {
	t.Chdir(t.TempDir())
	r, err := New(Config{Target: "quadratics"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Runs != 20 || r.TuneRuns != 10 || r.Grid != 4 || r.Data != "mnist" || r.Out != filepath.Join("runs", "reproduce") || r.Cache() != filepath.Join(r.Out, "cache") {
		t.Errorf("%+v", r.Config)
	}
}
