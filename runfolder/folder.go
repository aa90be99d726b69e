package runfolder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"learnedopt/internal/lock"
	"learnedopt/recipe"
)

// The files of a run folder.
const (
	OptimizerFile = "optimizer.mopt"
	LogFile       = "log.jsonl"
	CurvesFile    = "curves" // with the extensions .png and .svg
	ResultFile    = "result.json"
	// StateFile exists until the run is finished.
	StateFile = "resume.mopt"
)

// Files returns the files of a finished run.
func Files() []string {
	return []string{OptimizerFile, LogFile, CurvesFile + ".png", CurvesFile + ".svg", ResultFile}
}

// makeFolder makes the folder of a run and locks it for this process. If dir is empty, the folder is runs/<name>, or
// runs/<name>-2 and so on if that exists.
func makeFolder(dir, name string) (string, *lock.Lock, error) {
	if dir == "" {
		var err error
		if dir, err = freeFolder(filepath.Join("runs", name)); err != nil {
			return "", nil, err
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", nil, fmt.Errorf("no run folder: %w; choose another with --out", err)
	}
	held, err := lock.Take(dir)
	if err != nil {
		return "", nil, fmt.Errorf("run folder: %w; choose another with --out", err)
	}
	if err := noRun(dir); err != nil {
		return "", nil, errors.Join(err, held.Release())
	}
	return dir, held, nil
}

// noRun returns an error if the folder already holds a run.
func noRun(dir string) error {
	if exists(filepath.Join(dir, StateFile)) {
		return fmt.Errorf("%s already holds a run, which was interrupted; resume it by metaopt meta-train --resume %s, or choose another folder with --out", dir, recipe.Quote(dir))
	}
	for _, file := range Files() {
		switch _, err := os.Lstat(filepath.Join(dir, file)); {
		case err == nil:
			return fmt.Errorf("%s already holds a run (%s); choose another folder with --out, or remove this one", dir, file)
		case !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("run folder: %w; choose another with --out", err)
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func freeFolder(base string) (string, error) {
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
