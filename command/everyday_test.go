package command

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"learnedopt/internal/durable"
)

// What a user may take for an optimizer, a folder or a name is answered with what would be right.
func TestHintsAboutFoldersAndNames(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, file := range []string{"sweep/sweep.json", "runs/a/log.jsonl", "runs/b/sweep.json", "file", "trained/result.json"} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("{}\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	a, b := filepath.Join("runs", "a"), filepath.Join("runs", "b")
	for _, c := range []struct {
		code int
		args []string
		want string
	}{
		{exitFailure, []string{"compare", "sweep"}, "sweep is a folder without optimizer.mopt"},
		{exitFailure, []string{"report", "runs"}, "name folders in it: " + a + " " + b},
		{exitFailure, []string{"reproduce", "sudoku", "--out", "sweep"}, "the folder holds a sweep (sweep.json)"},
		{exitFailure, []string{"reproduce", "quadratics", "--out", "trained"}, "the folder holds a meta-training (result.json)"},
		{exitFailure, []string{"sweep", "pretrained:quadratic", "--task", "quadratic", "--out", "file"}, "choose another folder with --out"},
		{exitFailure, []string{"compare", "pretrained:quadratic", "--json", filepath.Join("file", "x.json")}, "file is no folder"},
		{exitFailure, []string{"verify", "pretrained:mlp"}, "metaopt/pretrained/mlp.md in the repository has the command of each of its stages"},
		{exitUsage, []string{"meta-train", "--context", "shpae"}, `did you mean "shape"?`},
		{exitUsage, []string{"meta-train", "--inputs", "raw+momnta"}, `did you mean "momenta"?`},
		{exitUsage, []string{"meta-train", "--inputs", "raw+raw"}, "a name is there twice"},
		{exitUsage, []string{"data", "fetch", "minst"}, `did you mean "mnist"?`},
	} {
		got := cli(t.Context(), c.args...)
		if got.code != c.code || !strings.Contains(got.stderr, c.want) {
			t.Errorf("%q: exit %d, %s; want exit %d and %q", c.args, got.code, got.stderr, c.code, c.want)
		}
	}
}

// A device is written to and stays a device, and a link stays a link.
func TestResultsInDevicesAndLinks(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no such files")
	}
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target.json"), filepath.Join(dir, "link.json")
	if err := os.WriteFile(target, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Skip(err)
	}
	args := []string{"compare", "pretrained:quadratic", "--task", "quadratic", "--steps", "10", "--runs", "6", "--rules", "none", "-q", "--json"}
	if !durable.Direct("/dev/null") { // otherwise the command would replace it
		t.Fatal("/dev/null is taken for a file")
	}
	succeed(t, append(args, "/dev/null")...)
	if info, err := os.Stat("/dev/null"); err != nil || info.Mode()&fs.ModeDevice == 0 {
		t.Fatalf("/dev/null is %v", info)
	}
	succeed(t, append(args, link)...)
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 || !json.Valid([]byte(readFile(t, target))) {
		t.Errorf("the link is %v, and its target holds %.40q", info, readFile(t, target))
	}
	// A full disk: the table is there, and then the error.
	if !durable.Direct("/dev/full") {
		t.Skip("there is no /dev/full")
	}
	got := cli(t.Context(), append(args, "/dev/full")...)
	if got.code != exitFailure || !strings.Contains(got.stderr, "no space left") || !strings.Contains(got.stdout, "quadratic (learned)") {
		t.Errorf("exit %d: %s, after the output %s", got.code, got.stderr, got.stdout)
	}
}
