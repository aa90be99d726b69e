//go:build unix

package command

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"learnedopt/distributed/embedded"
)

// measuredOf matches what of a record depends on the machine and the moment.
var measuredOf = regexp.MustCompile(`"time":"[^"]*",|,"seconds":[0-9.e+-]+(,"step_time":\{[^}]*\})?`)

// A sweep whose cells another process computes leaves the files of one in this process, and needs no server when nothing is missing. Flags that
// mean nothing are refused before there is a folder.
func TestSweepOnManyMachines(t *testing.T) {
	program := binary(t)
	server, err := embedded.Start(embedded.Config{Listen: "127.0.0.1:0", Store: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	worker := exec.Command(program, "worker", "-q", "--nats", server.URL())
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = worker.Process.Signal(os.Interrupt)
		if err := worker.Wait(); err != nil {
			t.Error(err)
		}
	}()
	alone, many := filepath.Join(t.TempDir(), "sweep"), filepath.Join(t.TempDir(), "sweep")
	succeed(t, swept(alone)...)
	a := succeed(t, swept(many, "--nats", server.URL())...)
	if !strings.Contains(a.stderr, "takes part") {
		t.Errorf("no worker took part: %s", a.stderr)
	}
	for _, name := range []string{"cells.jsonl", "tuning.jsonl", "sweep.json"} {
		got, want := readFile(t, filepath.Join(many, name)), readFile(t, filepath.Join(alone, name))
		if measuredOf.ReplaceAllString(got, "") != measuredOf.ReplaceAllString(want, "") {
			t.Errorf("%s differs:\n%s\nwant\n%s", name, got, want)
		}
	}
	succeed(t, swept(many, "--nats", "nats://127.0.0.1:1")...)
	dir := filepath.Join(t.TempDir(), "sweep")
	fail(t, exitUsage, swept(dir, "--any-path"), "--nats; set it")
	fail(t, exitUsage, swept(dir, "--nats", server.URL(), "--nats-listen", "127.0.0.1:0"), "--nats embedded")
	if _, err := os.Stat(dir); err == nil {
		t.Error("a usage error left a folder")
	}
	fail(t, exitFailure, swept(dir, "-q", "--nats", "nats://127.0.0.1:1"), "no connection")
}
