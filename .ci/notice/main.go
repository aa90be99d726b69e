// Command notice prints the repository's NOTICE: every module that is compiled into something, with its licence.
//
//	go -C .ci/notice run . > NOTICE
//
// A module whose licence is not recognized is an error.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// root is the repository's, from this folder.
const root = "../.."

const head = `learnedopt
Copyright 2026 the learnedopt authors

Licensed under the Apache License, Version 2.0 (LICENSE).

This file is made by .ci/notice and checked by .ci/run.

Modules that are compiled in, for Linux, macOS and Windows. A program that only loads an optimizer (package metaopt)
has those marked "loading"; the others come with the tasks, the adapters or the command.

`

// A part of the repository compiles packages of modules.
type part struct {
	name, dir string
	args      []string
}

var parts = []part{
	{"loading", ".", []string{"./metaopt"}},
	{"the rest", ".", []string{"./..."}},
	{"tests", ".", []string{"-test", "./..."}},
	{"tools", ".", []string{"tool"}},
	{"adapters/gomlx", "adapters/gomlx", []string{"-test", "./..."}},
}

type module struct{ Path, Version, Dir string }

func main() {
	log.SetFlags(0)
	log.SetPrefix("notice: ")
	if err := run(os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(w io.Writer) error {
	fmt.Fprint(w, head)
	seen := map[string]bool{}
	for _, p := range parts {
		modules, err := p.modules()
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s:\n", p.name)
		for _, path := range slices.Sorted(maps.Keys(modules)) {
			m := modules[path]
			name := m.Path + " " + m.Version
			if seen[m.Path] { // under its first part, whatever the version that another module takes
				continue
			}
			seen[m.Path] = true
			licence, err := licenceOf(m.Dir)
			if r, ok := read[m.Path]; ok {
				licence = r[1]
				_, err = os.Stat(filepath.Join(m.Dir, r[0]))
			}
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			fmt.Fprintf(w, "  %s: %s\n", name, licence)
		}
		fmt.Fprintln(w)
	}
	return vendored(w)
}

// modules are those that a part's packages are of, by path, on any of the systems.
func (p part) modules() (map[string]module, error) {
	all := map[string]module{}
	for _, system := range []string{"linux", "darwin", "windows"} {
		cmd := exec.Command("go", append([]string{"list", "-deps", "-json=Module"}, p.args...)...)
		cmd.Dir = filepath.Join(root, p.dir)
		cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH=amd64", "CGO_ENABLED=0")
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("%v: %w", cmd.Args, err)
		}
		for d := json.NewDecoder(bytes.NewReader(out)); ; {
			var pkg struct{ Module *module }
			if err := d.Decode(&pkg); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, err
			}
			if m := pkg.Module; m != nil && m.Version != "" && m.Dir != "" && !strings.HasPrefix(m.Path, "learnedopt") {
				all[m.Path] = *m
			}
		}
	}
	return all, nil
}

// read are licences that somebody read: the file of a module, and what it says.
var read = map[string][2]string{
	"github.com/golang/freetype": {"licenses/ftl.txt", "FTL (chosen over GPL-2.0). Portions of this software are copyright (c) The FreeType Project (www.freetype.org). All rights reserved."},
}

// licenceOf names the licences of a folder's licence files.
func licenceOf(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	found := map[string]bool{}
	for _, e := range entries {
		name := strings.ToUpper(e.Name())
		if e.IsDir() || !strings.HasPrefix(name, "LICEN") && !strings.HasPrefix(name, "COPYING") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return "", err
		}
		for _, m := range licensecheck.Scan(text).Match {
			if !m.IsURL {
				found[m.ID] = true
			}
		}
	}
	if len(found) == 0 {
		return "", errors.New("no licence that is known in its folder")
	}
	return strings.Join(slices.Sorted(maps.Keys(found)), ", "), nil
}

// vendored lists what was copied into the repository.
func vendored(w io.Writer) error {
	text, err := os.ReadFile(filepath.Join(root, "htmlreport/assets/vendor/README.md"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	about, _, _ := strings.Cut(string(text), "\n\n```")
	_, about, _ = strings.Cut(about, "\n\n")
	fmt.Fprintf(w, "Copied into htmlreport/assets/vendor:\n  %s\n", about)
	return err
}
