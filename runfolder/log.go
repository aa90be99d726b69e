package runfolder

import (
	"encoding/json"
	"fmt"
	"path/filepath"

	"learnedopt/internal/durable"
)

// A runLog is log.jsonl. It has one JSON object per line, and every line is written immediately. The first line is the start
// event, and the last line the end event; between them are metatrain.Events. With several seeds, each seed has such a group
// of lines, which contain the seed, and the line of the choice follows.
type runLog struct {
	f    *durable.Log
	path string
	size int64   // bytes written so far
	seed *uint64 // the seed to add to each line, nil for a single seed
	err  error   // the first error
}

// openLog opens the log of a run folder and truncates it to its first size bytes.
func openLog(dir string, size int64) (*runLog, error) {
	path := filepath.Join(dir, LogFile)
	f, err := durable.OpenLog(path, size)
	if err != nil {
		return nil, fmt.Errorf("the run's log: %w", err)
	}
	return &runLog{f: f, path: path, size: size}, nil
}

// add writes a line. failed and close return its error.
func (l *runLog) add(event any) {
	if l.err != nil {
		return
	}
	data, err := json.Marshal(event)
	if _, start := event.(startEvent); err == nil && l.seed != nil && !start { // a start event already contains the seed
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

// sync flushes the log to disk. It comes before saving a state, which relies on the log's lines.
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
