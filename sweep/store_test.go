package sweep

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"learnedopt/compare"
	"learnedopt/sweep/results"
)

func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := OpenStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func closeStore(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// record is a valid record with the given key.
func record(key string) results.Record {
	return results.Record{Key: key, Steps: 1, Runs: 1, MeanLosses: []compare.Number{1}, FinalLosses: []compare.Number{1}}
}

// A crash in the middle of a line loses that line alone: the next record starts a line of its own.
func TestCutLineIsDropped(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sweep")
	s := open(t, dir)
	for _, key := range []string{"a", "b"} {
		if err := s.keep([]Result{{Records: []results.Record{record(key)}}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	closeStore(t, s)
	path := filepath.Join(dir, results.CellsFile)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data[:len(data)-5], 0o644); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	if _, ok := s.Records()["a"]; !ok || len(s.Records()) != 1 {
		t.Errorf("after a crash the store holds %d records, want a", len(s.Records()))
	}
	if err := s.keep([]Result{{Records: []results.Record{record("c")}}}, nil); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	s = open(t, dir)
	defer closeStore(t, s)
	if _, ok := s.Records()["c"]; !ok || len(s.Records()) != 2 {
		t.Errorf("the store holds %d records, want a and c", len(s.Records()))
	}
}

// A damaged line that no crash can have left is an error that names the line; the file stays as it is.
func TestDamagedLineIsAnError(t *testing.T) {
	for _, line := range []string{`{"key":"b","steps":`, `{"steps":5}`, ``, `{"key":"b","steps":1,"runs":2,"mean_losses":[1],"final_losses":[1]}`} {
		dir := t.TempDir()
		path := filepath.Join(dir, results.CellsFile)
		text := `{"key":"a","steps":1,"runs":1,"mean_losses":[1],"final_losses":[1]}` + "\n" + line + "\n{}\n"
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenStore(dir); err == nil || !strings.Contains(err.Error(), results.CellsFile+":2 is damaged") {
			t.Errorf("line %q: error %v", line, err)
		}
		if data, err := os.ReadFile(path); err != nil || string(data) != text {
			t.Errorf("line %q: the file was changed: %q, %v", line, data, err)
		}
		// The lock was given back.
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		closeStore(t, open(t, dir))
	}
}

func TestSecondStoreIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if _, err := OpenStore(dir); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("a second store: %v", err)
	}
	closeStore(t, s)
	closeStore(t, open(t, dir))
}
