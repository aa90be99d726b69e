package command

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"learnedopt/metaopt"
)

// writeTable writes a CSV file of two measurements and a label.
func writeTable(t *testing.T, path string, rows int) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("length,leaf width,kind\n")
	for i := range rows {
		fmt.Fprintf(&b, "%d,%d.5,%d\n", i*7%101+i%2*60, i*13%97, 3+4*(i%2))
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// A training on a CSV file: the optimizer's file names the data by a checksum and not by a path, and everything that reads the file finds
// the data where the user says they are.
func TestOwnDataFromEndToEnd(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("METAOPT_DATA", filepath.Join(dir, "none"))
	csv, out := writeTable(t, filepath.Join(dir, "home", "trees.csv"), 200), filepath.Join(dir, "out")
	succeed(t, "meta-train", "--task", "table", "--data", csv, "--units", "3", "--batch", "8", "--steps", "20", "--meta-steps", "4", "--valid-every", "2", "--valid-runs", "2",
		"--runs", "2", "--tune-runs", "1", "--rules", "sgd", "--quiet", "--out", out)
	file := filepath.Join(out, "optimizer.mopt")
	o, err := metaopt.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	task := o.Provenance.Task
	if !strings.HasPrefix(task, "table:trees@") || strings.Contains(task+o.Provenance.Command, dir) {
		t.Fatalf("the file's task is %s, its command %s", task, o.Provenance.Command)
	}
	if a := succeed(t, "verify", file, "--data-dir", filepath.Dir(csv)); !strings.Contains(a.stdout, "bit for bit") {
		t.Errorf("verify says %s", a.stdout)
	}
	short := []string{"compare", file, "--steps", "5", "--runs", "2", "--tune-runs", "1", "--grid", "1", "--rules", "sgd", "--quiet"}
	fail(t, exitFailure, short, "data of the task table:trees@", filepath.Join(dir, "none", "trees.csv"), "name the file with --data")
	if a := succeed(t, append(short, "--data", csv)...); !strings.HasPrefix(a.stdout, task+": 5 steps") || !strings.Contains(a.stdout, "%") {
		t.Errorf("compare says %s", a.stdout)
	}
	// Another file takes its place.
	other := writeTable(t, filepath.Join(dir, "other", "trees.csv"), 210)
	if a := succeed(t, append(short, "--data", other)...); !strings.HasPrefix(a.stdout, "table:trees@") || strings.HasPrefix(a.stdout, task) {
		t.Errorf("compare on another file says %s", a.stdout)
	}
	fail(t, exitFailure, append(short, "--data-dir", filepath.Dir(other)), "it is not the data of the task "+strings.Fields(task)[0])
	// A regression has a validation loss and no accuracy.
	a := succeed(t, append(short, "--task", "regression", "--data", csv, "--target", "leaf width", "--layers", "0")...)
	if !strings.HasPrefix(a.stdout, "regression:trees@") || !strings.Contains(a.stdout, "layers=0 activation=sigmoid batch=128 target=leaf%20width: 5 steps") || strings.Contains(a.stdout, "NaN") {
		t.Errorf("a regression says %s", a.stdout)
	}
	a = succeed(t, "sweep", file, "--data", csv, "--axis", "columns=raw,standard", "--steps", "5", "--runs", "2", "--tune-runs", "1", "--grid", "1", "--rules", "sgd", "--quiet",
		"--out", filepath.Join(dir, "sweep"))
	if !strings.Contains(a.stdout, "2 cells") {
		t.Errorf("a sweep says %s", a.stdout)
	}
	if a := succeed(t, "meta-train", "--task", "digits,table", "--data", csv, "--print-recipe"); !strings.Contains(a.stdout, `"task": {"name":["digits","`+strings.Fields(task)[0]+`"]}`) {
		t.Errorf("the recipe is %s", a.stdout)
	}
	for _, c := range []struct {
		code int
		args string
		want string
	}{
		{exitUsage, "--task table", "the task table needs data: name a CSV file with --data"},
		{exitUsage, "--task mnist --data " + csv, "do not apply to the task mnist"},
		{exitFailure, "--task table --data none.csv", "none.csv: no such file"},
		{exitUsage, "--task table --data " + out, "the name of a table ends with .csv"},
		{exitFailure, "--task table --data " + csv + " --target kin", `no target column "kin", did you mean "kind"?`},
		{exitUsage, "--task table --data " + csv + " --image-size 8", "--image-size does not apply to the task table:trees@"},
		{exitUsage, "--task images --data " + out, "0 files for the images to train"},
	} {
		fail(t, c.code, strings.Fields("compare --rules sgd "+c.args), c.want)
		fail(t, c.code, strings.Fields("meta-train --meta-steps 1 "+c.args), c.want)
	}
}

// A training on a text, and what is wrong with texts.
func TestTextFromEndToEnd(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("METAOPT_DATA", filepath.Join(dir, "none"))
	text := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	bells, out := text("bells.txt", strings.Repeat("Oranges and lemons, say the bells of St. Clement's.\n", 12)), filepath.Join(dir, "out")
	succeed(t, "meta-train", "--task", "char-rnn", "--data", bells, "--units", "3,4", "--batch", "4", "--weight-init", "torch", "--steps", "20", "--meta-steps", "4", "--valid-every", "2", "--valid-runs", "2",
		"--runs", "2", "--tune-runs", "1", "--rules", "sgd", "--quiet", "--out", out)
	file := filepath.Join(out, "optimizer.mopt")
	if a := succeed(t, "verify", file, "--data-dir", dir); !strings.Contains(a.stdout, "bit for bit") {
		t.Errorf("verify says %s", a.stdout)
	}
	short := []string{"compare", file, "--steps", "5", "--runs", "2", "--tune-runs", "1", "--grid", "1", "--rules", "sgd", "--quiet"}
	fail(t, exitFailure, short, "data of the task char-rnn:bells@", filepath.Join(dir, "none", "bells.txt"), "name the file with --data")
	if a := succeed(t, append(short, "--data", bells, "--units", "5")...); !strings.HasPrefix(a.stdout, "char-rnn:bells@") || !strings.Contains(a.stdout, "units=5 batch=4 weight-init=torch: 5 steps") || !strings.Contains(a.stdout, "%") {
		t.Errorf("compare says %s", a.stdout)
	}
	if a := succeed(t, "sweep", file, "--data", bells, "--axis", "units=2,3", "--steps", "5", "--runs", "2", "--tune-runs", "1", "--grid", "1", "--rules", "sgd", "--quiet", "--out", filepath.Join(dir, "sweep")); !strings.Contains(a.stdout, "2 cells") {
		t.Errorf("a sweep says %s", a.stdout)
	}
	for _, c := range []struct {
		code int
		args string
		want string
	}{
		{exitUsage, "--task char-rnn", "the task char-rnn needs data: name a text file with --data"},
		{exitFailure, "--task char-rnn --data none.txt", "none.txt: no such file"},
		{exitUsage, "--task char-rnn --data " + out, "the name of a text ends with .txt"},
		{exitFailure, "--task char-rnn --data " + text("empty.txt", ""), "empty.txt: 0 characters, want at least 330"},
		{exitFailure, "--task char-rnn --data " + text("latin.txt", "M\xe4dchen"), "latin.txt: line 1: byte 2 of the line is not UTF-8"},
		{exitUsage, "--task char-rnn --data " + bells + " --activation relu", "--activation does not apply to the task char-rnn:bells@"},
	} {
		fail(t, c.code, strings.Fields("compare --rules sgd "+c.args), c.want)
		fail(t, c.code, strings.Fields("meta-train --meta-steps 1 "+c.args), c.want)
	}
}
