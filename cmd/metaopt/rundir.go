package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// The files of a run folder.
const (
	optimizerFile = "optimizer.mopt"
	logFile       = "log.jsonl"
	curvesFile    = "curves" // .png and .svg
	resultFile    = "result.json"
)

// runFiles are all of them.
var runFiles = []string{optimizerFile, logFile, curvesFile + ".png", curvesFile + ".svg", resultFile}

// makeRunDir makes the folder of a run. dir is the user's wish; if it is empty the
// folder is runs/<name>, or runs/<name>-2 and so on if there was a run before.
func makeRunDir(dir, name string) (string, error) {
	if dir == "" {
		return freeRunDir(filepath.Join("runs", name))
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("no run folder: %w; choose another with --out", err)
	}
	for _, file := range runFiles {
		switch _, err := os.Lstat(filepath.Join(dir, file)); {
		case err == nil:
			return "", fmt.Errorf("%s already holds a run (%s); choose another folder with --out, or remove this one", dir, file)
		case !errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("run folder: %w; choose another with --out", err)
		}
	}
	return dir, nil
}

func freeRunDir(base string) (string, error) {
	if err := os.MkdirAll(filepath.Dir(base), 0o755); err != nil {
		return "", fmt.Errorf("no run folder: %w; choose one with --out", err)
	}
	for n := 1; ; n++ {
		dir := base
		if n > 1 {
			dir = fmt.Sprintf("%s-%d", base, n)
		}
		err := os.Mkdir(dir, 0o755)
		if err == nil {
			return dir, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("no run folder: %w; choose one with --out", err)
		}
	}
}
