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

// Files of a sweep's folder. Package results names the other ones.
const (
	// TuningFile holds one Tuning a line.
	TuningFile = "tuning.jsonl"
	// AheadFile holds results that came before their turn, a unit a line. A finished sweep has none.
	AheadFile = "ahead.jsonl"
)

// ErrLocked says that another process is writing to a sweep's folder.
var ErrLocked = errors.New("another sweep is writing to this folder; wait for its end, or choose another folder")

// A Store is a sweep's folder. Until Close no other process can open it. A record is one line. Records
// that are finished together are written by one write and then synced: a crash loses at most what is being written.
type Store struct {
	dir     string
	lock    *lock.Lock
	cells   *os.File
	tuning  *os.File
	records map[string]results.Record
	tunings map[string]Tuning

	aheadFile *os.File // nil if nothing came ahead of its turn
	ahead     map[string]aheadResult
}

// An aheadResult is a line of AheadFile.
type aheadResult struct {
	Key string `json:"key"` // of the unit
	Result
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
	if s.tunings, err = results.ReadLines(filepath.Join(dir, TuningFile), func(t Tuning) string { return t.Key }); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, AheadFile)
	if _, err := os.Stat(path); err == nil {
		if s.aheadFile, err = openLines(path); err != nil {
			return nil, err
		}
	}
	s.ahead, err = results.ReadLines(path, func(a aheadResult) string {
		for _, r := range a.Records {
			if r.Validate() != nil {
				return ""
			}
		}
		return a.Key
	})
	return s, err
}

// Close closes the files and releases the lock of the folder.
func (s *Store) Close() error {
	var errs []error
	for _, f := range []*os.File{s.cells, s.tuning, s.aheadFile} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(append(errs, s.lock.Release())...)
}

// Records returns the store's records by key. It is the store's own map; do not change it.
func (s *Store) Records() map[string]results.Record { return s.records }

// tuningOf returns a tuning that the store holds, or that came ahead of its turn.
func (s *Store) tuningOf(key string) (Tuning, bool) {
	if t, ok := s.tunings[key]; ok {
		return t, true
	}
	for _, a := range s.ahead {
		for _, t := range a.Tunings {
			if t.Key == key {
				return t, true
			}
		}
	}
	return Tuning{}, false
}

// keep appends what it does not hold yet: the tunings and records of results whose turn it is, and results that are ahead of theirs, by
// the keys of their units.
func (s *Store) keep(now []Result, ahead map[string]Result) error {
	var tunings, records, early [][]byte
	var errs []error
	line := func(to *[][]byte, v any) {
		data, err := json.Marshal(v)
		*to, errs = append(*to, append(data, '\n')), append(errs, err)
	}
	for _, res := range now {
		for _, t := range res.Tunings {
			if _, ok := s.tunings[t.Key]; !ok {
				s.tunings[t.Key] = t
				line(&tunings, t)
			}
		}
		for _, r := range res.Records {
			s.records[r.Key] = r
			line(&records, r)
		}
	}
	for key, res := range ahead {
		if _, ok := s.ahead[key]; !ok {
			a := aheadResult{key, res}
			s.ahead[key] = a
			line(&early, a)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	if len(early) > 0 && s.aheadFile == nil {
		var err error
		if s.aheadFile, err = openLines(filepath.Join(s.dir, AheadFile)); err != nil {
			return err
		}
	}
	for _, w := range []struct {
		file  *os.File
		lines [][]byte
	}{{s.aheadFile, early}, {s.tuning, tunings}, {s.cells, records}} {
		if err := appendLines(w.file, w.lines); err != nil {
			return err
		}
	}
	return nil
}

// settle removes AheadFile if all its results are in the other files.
func (s *Store) settle() error {
	for _, a := range s.ahead {
		for _, t := range a.Tunings {
			if _, ok := s.tunings[t.Key]; !ok {
				return nil
			}
		}
		for _, r := range a.Records {
			if _, ok := s.records[r.Key]; !ok {
				return nil
			}
		}
	}
	if s.aheadFile == nil {
		return nil
	}
	err := s.aheadFile.Close()
	s.aheadFile, s.ahead = nil, map[string]aheadResult{}
	if err = errors.Join(err, os.Remove(filepath.Join(s.dir, AheadFile))); err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	return nil
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

func appendLines(f *os.File, lines [][]byte) error {
	if len(lines) == 0 {
		return nil
	}
	_, err := f.Write(bytes.Join(lines, nil))
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return fmt.Errorf("sweep: writing %s: %w", f.Name(), err)
	}
	return nil
}
