package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"learnedopt/internal/durable"
)

// checkTarget returns an error if a file cannot be written. It is called before a long computation that writes the file at
// its end.
func checkTarget(flag, path string) error {
	if path == "" || path == "-" {
		return nil
	}
	dir := filepath.Dir(path)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return fmt.Errorf("--%s %s: there is no folder %s; make it first", flag, path, dir)
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("--%s %s is a folder; name a file in it", flag, path)
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

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// writeJSON writes v to a file, "-" being standard output.
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
