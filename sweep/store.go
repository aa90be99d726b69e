package sweep

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"learnedopt/internal/lock"
	"learnedopt/sweep/results"
)

// TuningFile is the file of a sweep's folder that holds one Tuning a line. Package results names the other files.
const TuningFile = "tuning.jsonl"

// ErrLocked says that another process is writing to a sweep's folder.
var ErrLocked = errors.New("another sweep is writing to this folder; wait for its end, or choose another folder")

// A Store is a sweep's folder. Until Close no other process can open it. A record is one line,
// written by one write and then synced: a crash loses at most the line that is being written.
type Store struct {
	dir     string
	lock    *lock.Lock
	cells   *os.File
	tuning  *os.File
	records map[string]results.Record
	tunings map[string]Tuning
}

// OpenStore makes the folder if it does not exist, locks it and reads its records. It removes an unfinished last
// line, which a crash leaves behind. If another process holds the lock, the error wraps ErrLocked.
func OpenStore(dir string) (_ *Store, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	held, err := lock.Take(dir)
	var other *lock.HeldError
	switch {
	case errors.As(err, &other):
		return nil, fmt.Errorf("sweep: %w: %w", other, ErrLocked)
	case err != nil:
		return nil, fmt.Errorf("sweep: %w", err)
	}
	s := &Store{dir: dir, lock: held}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.cells, err = openLines(filepath.Join(dir, results.CellsFile)); err != nil {
		return nil, err
	}
	if s.tuning, err = openLines(filepath.Join(dir, TuningFile)); err != nil {
		return nil, err
	}
	if s.records, err = results.ReadRecords(dir); err != nil {
		return nil, err
	}
	s.tunings, err = results.ReadLines(filepath.Join(dir, TuningFile), func(t Tuning) string { return t.Key })
	return s, err
}

// Close closes the files and releases the lock of the folder.
func (s *Store) Close() error {
	var errs []error
	for _, f := range []*os.File{s.cells, s.tuning} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(append(errs, s.lock.Release())...)
}

// Records returns the store's records by key. It is the store's own map; do not change it.
func (s *Store) Records() map[string]results.Record { return s.records }

// add appends a record.
func (s *Store) add(r results.Record) error {
	s.records[r.Key] = r
	return appendLine(s.cells, r)
}

// addTuning appends a tuning.
func (s *Store) addTuning(t Tuning) error {
	s.tunings[t.Key] = t
	return appendLine(s.tuning, t)
}

// openLines opens a file for appending. It first removes a last line that does not end in a newline.
func openLines(path string) (*os.File, error) {
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	if whole := bytes.LastIndexByte(data, '\n') + 1; whole < len(data) {
		if err := os.Truncate(path, int64(whole)); err != nil {
			return nil, fmt.Errorf("sweep: cutting off a broken last line: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	return f, nil
}

func appendLine(f *os.File, v any) error {
	data, err := json.Marshal(v)
	if err == nil {
		_, err = f.Write(append(data, '\n'))
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return fmt.Errorf("sweep: writing %s: %w", f.Name(), err)
	}
	return nil
}
