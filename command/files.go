package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"learnedopt/internal/durable"
	"learnedopt/runfolder"
	"learnedopt/sweep/results"
)

// checkTarget returns an error if a file cannot be written. It is called before a long computation that writes the file at
// its end.
func checkTarget(flag, path string) error {
	if path == "" || path == "-" {
		return nil
	}
	if durable.Direct(path) { // a device, a pipe or a terminal
		return nil
	}
	dir := filepath.Dir(durable.Target(path))
	if info, err := os.Stat(dir); err != nil {
		return fmt.Errorf("--%s %s: there is no folder %s; make it first", flag, path, dir)
	} else if !info.IsDir() {
		return fmt.Errorf("--%s %s: %s is no folder; name a file in one", flag, path, dir)
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("--%s %s is a folder; name a file in it", flag, path)
	}
	// The file will be written beside its name and then moved there.
	probe, err := os.CreateTemp(dir, ".metaopt-*")
	if err != nil {
		return fmt.Errorf("--%s %s: the folder %s cannot be written to: %w; name a file in another one", flag, path, dir, cause(err))
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// cause returns an error without the path of the file, which the user did not name.
func cause(err error) error {
	if at := (*fs.PathError)(nil); errors.As(err, &at) {
		return at.Err
	}
	return err
}

// oneKind returns an error if the folder dir holds the results of another command than the given one: a report would show
// only one of them.
func oneKind(command, dir string) error {
	if dir == "" {
		return nil
	}
	for _, other := range []struct {
		command, holds string
		files          []string
	}{
		{"meta-train", "a meta-training", append(runfolder.Files(), runfolder.StateFile)},
		{"sweep", "a sweep", []string{results.ManifestFile, results.CellsFile}},
	} {
		for _, file := range other.files {
			if other.command != command && exists(filepath.Join(dir, file)) {
				return fmt.Errorf("--out %s: the folder holds %s (%s); choose another one", dir, other.holds, file)
			}
		}
	}
	return nil
}

// absent returns an error if path exists.
func absent(flag, path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		if err != nil {
			return err
		}
		return fmt.Errorf("%s exists already; remove it, or name another file with --%s", path, flag)
	}
	return nil
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// writeJSON writes v to a file. "-" is standard output.
func (a *app) writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	data = append(data, '\n')
	if path == "-" {
		_, err := a.stdout.Write(data)
		return err
	}
	return durable.Replace(path, data)
}
