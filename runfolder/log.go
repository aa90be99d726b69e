package runfolder

import (
	"encoding/json"
	"fmt"
	"path/filepath"

	"learnedopt/internal/durable"
)

// A runLog is log.jsonl: one JSON object a line, written at once. The first line is
// the start, the last one the end; between them are metatrain.Events. Of several
// seeds each has these lines, which say whose they are, and the choice follows.
type runLog struct {
	f    *durable.Log
	path string
	size int64   // written so far
	seed *uint64 // of the lines to come, if there are several
	err  error   // the first
}

// openLog opens the log of a run folder after its first size bytes, and cuts off what follows.
func openLog(dir string, size int64) (*runLog, error) {
	path := filepath.Join(dir, LogFile)
	f, err := durable.OpenLog(path, size)
	if err != nil {
		return nil, fmt.Errorf("the run's log: %w", err)
	}
	return &runLog{f: f, path: path, size: size}, nil
}

// add writes a line; failed and close return the error.
func (l *runLog) add(event any) {
	if l.err != nil {
		return
	}
	data, err := json.Marshal(event)
	if _, start := event.(startEvent); err == nil && l.seed != nil && !start { // which says it by itself
		data = fmt.Appendf(nil, `{"seed":%d,%s`, *l.seed, data[1:])
	}
	if err == nil {
		data = append(data, '\n')
		err = l.f.Append(data)
	}
	if err == nil {
		l.size += int64(len(data))
	}
	l.err = err
}

// sync makes what was written last, before a state that counts on it is saved.
func (l *runLog) sync() error {
	if l.err == nil {
		l.err = l.f.Sync()
	}
	return l.failed()
}

func (l *runLog) failed() error {
	if l.err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", l.path, l.err)
}

func (l *runLog) close() error {
	if err := l.f.Close(); l.err == nil {
		l.err = err
	}
	return l.failed()
}
