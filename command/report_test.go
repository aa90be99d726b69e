package command

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The page is made from a real run folder of meta-train.
func TestReportOfARun(t *testing.T) {
	dir := filepath.Dir(trained(t, "--rules", "adam,sgd"))
	out := filepath.Join(t.TempDir(), "page.html")
	a := succeed(t, "report", dir, "-o", out, "--title", "Two <rules>")
	if !strings.HasPrefix(a.stdout, "Written to "+out+": ") {
		t.Errorf("%q", a.stdout)
	}
	page := readFile(t, out)
	for _, word := range []string{"<title>Two &lt;rules&gt;</title>", `"kind":"run"`, `"name":"adam"`, `"validations":[{"training":0,"meta_step":0,`, "meta-train --task quadratic-uniform", `"name":"log.jsonl"`, `"verdict":"`} {
		if !strings.Contains(page, word) {
			t.Errorf("the page has no %s", word)
		}
	}
	if strings.Contains(page, "left out: ") {
		t.Error("a line of the log was not understood")
	}
	// An existing page is replaced as a whole. Standard output gets the same page.
	if again := succeed(t, "report", dir, "--out", "-", "--title", "Two <rules>"); again.stdout != page {
		t.Error("standard output gets another page")
	}
	left, err := os.ReadDir(filepath.Dir(out))
	if err != nil || len(left) != 1 {
		t.Errorf("%v: files are left over: %v", err, left)
	}
}

func TestReportRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "x.json")
	if err := os.WriteFile(file, []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "page.html")
	fail(t, exitUsage, []string{"report"}, "needs a run folder or a sweep folder")
	fail(t, exitFailure, []string{"report", dir, "-o", out}, "holds neither a run", "nor a sweep")
	fail(t, exitFailure, []string{"report", filepath.Join(dir, "none"), "-o", out}, "no such file")
	fail(t, exitFailure, []string{"report", file, "-o", out}, "is not a folder")
	fail(t, exitFailure, []string{"report", dir, "-o", filepath.Join(dir, "none", "page.html")}, "there is no folder")
	fail(t, exitUsage, []string{"report", "--out", "", dir}, "must not be empty")
	run := filepath.Dir(trained(t, "--rules", "none"))
	fail(t, exitUsage, []string{"report", run, run + "/", "-o", out}, "named twice")
	if _, err := os.Stat(out); err == nil {
		t.Error("a refusal left a page")
	}
}

func TestDashboardRefuses(t *testing.T) {
	dir := t.TempDir()
	fail(t, exitUsage, []string{"dashboard"}, "needs a folder")
	fail(t, exitUsage, []string{"dashboard", dir, "--listen", "8080"}, "HOST:PORT")
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:80", "my-machine:0"} {
		fail(t, exitUsage, []string{"dashboard", dir, "--listen", address}, "--allow-remote")
	}
	fail(t, exitFailure, []string{"dashboard", filepath.Join(dir, "none")}, "name a folder")
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	fail(t, exitFailure, []string{"dashboard", file}, "is not a folder")
	fail(t, exitFailure, []string{"dashboard", dir, "--listen", "192.0.2.1:1", "--allow-remote"}, "--listen")
}
