package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// A runLog is log.jsonl: one JSON object a line, written at once. The first line is
// the start, the last one the end; between them are metaopt.Events. Of several
// seeds each has these lines, which say whose they are, and the choice follows.
type runLog struct {
	f    *os.File
	seed *uint64 // of the lines to come, if there are several
	err  error   // the first
}

func openLog(dir string) (*runLog, error) {
	// O_EXCL: of two runs that are given the same folder only one gets it.
	f, err := os.OpenFile(filepath.Join(dir, logFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, fmt.Errorf("run folder: %w; choose another with --out", err)
	}
	return &runLog{f: f}, nil
}

// add writes a line; close returns the error.
func (l *runLog) add(event any) {
	if l.err != nil {
		return
	}
	data, err := json.Marshal(event)
	if _, start := event.(startEvent); err == nil && l.seed != nil && !start { // which says it by itself
		data = fmt.Appendf(nil, `{"seed":%d,%s`, *l.seed, data[1:])
	}
	if err == nil {
		_, err = l.f.Write(append(data, '\n'))
	}
	l.err = err
}

func (l *runLog) close() error {
	if err := l.f.Close(); l.err == nil {
		l.err = err
	}
	if l.err != nil {
		return fmt.Errorf("%s: %w", l.f.Name(), l.err)
	}
	return nil
}
