package results

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"learnedopt/compare"
)

// validRecord returns a valid record.
func validRecord() Record {
	return Record{
		Key: "k", Steps: 1, Runs: 2, MeanLosses: []compare.Number{1, 2}, FinalLosses: []compare.Number{1, 2},
		CurveSteps: []int{0, 1}, Curve: []compare.Number{2, 1}, CurveCI95: [2][]compare.Number{{1, 1}, {3, 3}}, Reach: []compare.Number{2, 1}, ReachEvery: 1,
	}
}

// Each list of a record must have as many numbers as the record says.
func TestRecordsThatContradictThemselves(t *testing.T) {
	if err := new(validRecord()).Validate(); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(r *Record){
		"no key":              func(r *Record) { r.Key = "" },
		"no steps":            func(r *Record) { r.Steps = 0 },
		"no runs":             func(r *Record) { r.Runs, r.MeanLosses, r.FinalLosses = 0, nil, nil },
		"another mean loss":   func(r *Record) { r.MeanLosses = append(r.MeanLosses, 1) },
		"a final loss less":   func(r *Record) { r.FinalLosses = r.FinalLosses[:1] },
		"a step more":         func(r *Record) { r.CurveSteps = append(r.CurveSteps, 2) },
		"a point less":        func(r *Record) { r.Curve = r.Curve[:1] },
		"a lower end less":    func(r *Record) { r.CurveCI95[0] = nil },
		"an upper end more":   func(r *Record) { r.CurveCI95[1] = append(r.CurveCI95[1], 1) },
		"a reach of no steps": func(r *Record) { r.Reach, r.ReachEvery = r.Reach[:1], 0 },
	} {
		r := validRecord()
		change(&r)
		if r.Validate() == nil {
			t.Errorf("%s: nothing is wrong", what)
		}
	}
	r := validRecord()
	r.Reach, r.ReachEvery = nil, 0 // most rules have none
	r.Runs, r.MeanLosses, r.FinalLosses = 1, r.MeanLosses[:1], r.FinalLosses[:1]
	if err := r.Validate(); err != nil {
		t.Error(err)
	}
}

func TestManifestsThatContradictThemselves(t *testing.T) {
	good := func() *Manifest {
		return &Manifest{
			Axes: []Axis{{"units", []string{"5"}}}, Rules: []Rule{{Name: "l", Kind: compare.Learned}, {Name: "adam", Kind: compare.Baseline}},
			Cells: []Cell{{Values: map[string]string{"units": "5"}, Keys: []string{"a", "b"}}},
		}
	}
	for what, change := range map[string]func(m *Manifest){
		"":                    func(*Manifest) {},
		`"l" of kind "odd"`:   func(m *Manifest) { m.Rules[0].Kind = "odd" },
		`"l" of kind ""`:      func(m *Manifest) { m.Rules[0].Kind = "" },
		"there twice":         func(m *Manifest) { m.Rules[1].Name = "l" },
		"1 keys for 2 rules":  func(m *Manifest) { m.Cells[0].Keys = m.Cells[0].Keys[:1] },
		"2 keys for 1 rules":  func(m *Manifest) { m.Rules = m.Rules[:1] },
		`"adam" of kind "ba"`: func(m *Manifest) { m.Rules[1].Kind = "ba" },
	} {
		m, dir := good(), t.TempDir()
		change(m)
		if err := m.Write(dir); err != nil {
			t.Fatal(err)
		}
		read, err := ReadManifest(dir)
		switch {
		case what == "" && (err != nil || !reflect.DeepEqual(read, m)):
			t.Errorf("%+v, %v", read, err)
		case what != "" && (err == nil || !strings.Contains(err.Error(), what) || !strings.Contains(err.Error(), ManifestFile)):
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := ReadManifest(t.TempDir()); err == nil || !strings.Contains(err.Error(), ManifestFile) {
		t.Errorf("no file: %v", err)
	}
	if err := good().Write(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("written into no folder")
	}
}

// Place takes names and values from the manifest; the record keeps its losses and its learning rate.
func TestPlace(t *testing.T) {
	rate := 0.3
	m := &Manifest{Runs: 2, Rules: []Rule{{Name: "l", Kind: compare.Learned}, {Name: "adam, now", Kind: compare.Baseline, Tuned: TuneCell}}}
	cell := &Cell{Values: map[string]string{"units": "7"}}
	r := validRecord()
	r.Rule, r.Cell = Rule{Name: "adam, then", Kind: compare.Baseline, LearningRate: &rate}, map[string]string{"units": "5"}
	got, ok := m.Place(r, cell, 1)
	want := r
	want.Rule, want.Cell = Rule{Name: "adam, now", Kind: compare.Baseline, Tuned: TuneCell, LearningRate: &rate}, cell.Values
	if !ok || !reflect.DeepEqual(got, want) || r.Rule.Name != "adam, then" || m.Rules[1].LearningRate != nil {
		t.Errorf("%v, %+v; want %+v", ok, got, want)
	}
	m.Runs = 3
	if _, ok := m.Place(r, cell, 1); ok || m.Missing(map[string]Record{"k": r}) != 0 {
		t.Error("a record of two instances is of a sweep of three")
	}
	m.Cells = []Cell{{Keys: []string{"k", "none"}}}
	if got := m.Missing(map[string]Record{"k": r}); got != 2 || m.Total() != 2 {
		t.Errorf("%d of %d are missing, want both", got, m.Total())
	}
	m.Runs = 2
	if got := m.Missing(map[string]Record{"k": r}); got != 1 {
		t.Errorf("%d are missing, want 1", got)
	}
}

func TestNames(t *testing.T) {
	c := Cell{Values: map[string]string{"units": "5", "layers": "2"}, Task: "digits units=5"}
	if got := (&Manifest{Axes: []Axis{{Key: "layers"}, {Key: "units"}}}).Name(c); got != "layers=2 units=5" {
		t.Error(got)
	}
	if got := new(Manifest).Name(c); got != "digits units=5" {
		t.Errorf("without axes: %q", got)
	}
}

// Records are read as they were written. The last one of each key counts, and a line that a crash cut is ignored.
func TestRecordsAreReadBack(t *testing.T) {
	dir := t.TempDir()
	if got, err := ReadRecords(dir); err != nil || len(got) != 0 {
		t.Errorf("no file: %v, %v", got, err)
	}
	first, second := validRecord(), validRecord()
	first.Key, second.MeanLosses[1], second.Diverged, second.DivergedAt = "j", compare.Number(math.Inf(1)), 1, []string{"instance 1"}
	later := validRecord()
	later.Seconds = 5
	text := ""
	for _, r := range []Record{first, validRecord(), second, later, second} {
		data, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		text += string(data) + "\n"
	}
	path := filepath.Join(dir, CellsFile)
	if err := os.WriteFile(path, []byte(text+`{"key":"cut`), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := ReadRecords(dir)
	if want := map[string]Record{"j": first, "k": second}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %+v; want %+v", err, got, want)
	}
	if err := os.WriteFile(path, []byte(text+"{}\n"+text), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadRecords(dir); err == nil || !strings.Contains(err.Error(), CellsFile+":6 is damaged") {
		t.Errorf("a record without numbers: %v", err)
	}
	if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o755)); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadRecords(dir); err == nil || !strings.Contains(err.Error(), CellsFile) {
		t.Errorf("a folder in the file's place: %v", err)
	}
}
