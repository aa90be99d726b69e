package htmlreport

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"learnedopt/distributed/fleet"
	"learnedopt/internal/lock"
)

var someWorkers = fleet.Status{Units: 7, Rate: 2.5, Waiting: 3, Redelivered: 1, Workers: []fleet.Worker{
	{Name: "ann", Process: "process 1 on x", Slots: 2, Units: 5, Rate: 2, Seconds: 0.4, Waiting: 2, Held: 2},
	{Name: "bob", Process: "process 2 on <b>y\x07", Slots: 1, Units: 2, Rate: 0.5, Seconds: 1.6, Waiting: 1, Held: 1, Replayed: 3},
}}

// A page shows the workers of a run that is under way, follows them, and drops them when they are not known any more.
func TestWorkersOfARun(t *testing.T) {
	dir := t.TempDir()
	r := newReader(folder{dir, "."}, "run")
	var c cursor
	workers := func(event string) *Workers {
		t.Helper()
		for r.poll() {
		}
		got, s := c.message(r)
		if got != event {
			t.Fatalf("heard %q, want %q", got, event)
		}
		if s == nil || s.Run == nil {
			return nil
		}
		return s.Run.Workers
	}
	file := filepath.Join(dir, fleet.File)
	put := func(s fleet.Status) {
		t.Helper()
		if err := fleet.Write(dir, &s); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, logFile), startLine(1)+events(t, 0, 10))
	put(someWorkers)
	if w := workers("reset"); w != nil {
		t.Errorf("a killed coordinator's workers are shown: %+v", w)
	}
	held, err := lock.Take(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Release()
	w := workers("append")
	if w == nil || w.Slowest != 1 || w.Units != 7 || w.Rate != 2.5 || w.Waiting != 3 || w.Redelivered != 1 || len(w.List) != 2 || w.List[0] != someWorkers.Workers[0] {
		t.Fatalf("%+v", w)
	}
	if strings.ContainsRune(w.List[1].Process, 7) {
		t.Error("control characters stay")
	}
	if workers("") != nil {
		t.Error("something is told twice")
	}
	fewer := someWorkers
	fewer.Workers = fewer.Workers[:1]
	put(fewer)
	if w = workers("append"); w == nil || len(w.List) != 1 || w.Slowest != 0 {
		t.Errorf("%+v", w)
	}
	write(t, file, `{"waiting":-1}`)
	if w = workers("append"); w != nil {
		t.Errorf("a file that cannot be: %+v", w)
	}
	put(someWorkers)
	if w = workers("append"); w == nil {
		t.Error("a good file after a bad one is not shown")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if w = workers("append"); w != nil {
		t.Errorf("the file is gone: %+v", w)
	}
}
