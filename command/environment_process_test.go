//go:build unix

package command

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"learnedopt/tasks"
)

// A training does not depend on the environment's variables.
func TestPoorEnvironments(t *testing.T) {
	program := binary(t)
	var want string
	for _, env := range [][]string{
		os.Environ(),
		{}, // no HOME, no PATH, no LANG, no TERM
		{"LC_ALL=tr_TR.UTF-8", "LANG=zz_ZZ", "TZ=Mars/Olympus", "TERM=abacus", "HOME=/nowhere"},
		{"GOMAXPROCS=1", "GOMEMLIMIT=256MiB", "HOME="},
		{"TMPDIR=/nowhere", "XDG_CACHE_HOME=relative", "COLUMNS=-1", "NO_COLOR=1"},
	} {
		dir := filepath.Join(t.TempDir(), "run")
		cmd := exec.Command(program, append([]string{"meta-train", "--meta-steps", "5", "--out", dir}, small...)...)
		cmd.Env = env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%q: %v: %s", env, err, out)
		}
		got := readFile(t, filepath.Join(dir, optimizerFile))
		if want == "" {
			want = got
		}
		if got != want {
			t.Errorf("%q: another optimizer", env)
		}
	}
}

// If something is missing that a command needs, the error names it and says what to do.
func TestWhatIsMissingIsNamed(t *testing.T) {
	program := binary(t)
	optimizer := trained(t)
	for line, words := range map[string][]string{
		"compare " + optimizer + " --task mnist": {"HOME", "--data-dir", tasks.DataDirEnv},
		"data fetch mnist":                       {"HOME", "--data-dir", tasks.DataDirEnv},
		"verify -q " + optimizer:                 {"/nowhere"},
	} {
		cmd := exec.Command(program, strings.Fields(line)...)
		cmd.Env = []string{"TMPDIR=/nowhere"}
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if code := exitCode(t, cmd.Run()); code != exitFailure && code != exitUsage {
			t.Errorf("metaopt %s: exit %d", line, code)
		}
		for _, word := range words {
			if !strings.Contains(stderr.String(), word) {
				t.Errorf("metaopt %s: %q does not say %q", line, stderr.String(), word)
			}
		}
	}
}

// A training on MNIST, or on as many digits, succeeds with 256 MiB for Go's heap, and the process takes little more.
func TestLittleMemory(t *testing.T) {
	task := "digits"
	if os.Getenv(tasks.DataDirEnv) != "" {
		task = "mnist"
	}
	cmd := exec.Command(binary(t), "meta-train", "--task", task, "--meta-steps", "4", "--steps", "40", "--second-derivatives", "--meta-batch", "2",
		"--valid-runs", "2", "--runs", "2", "--rules", "adam", "--tune-runs", "1", "--out", filepath.Join(t.TempDir(), "run"))
	cmd.Env = slices.Concat(os.Environ(), []string{"GOMEMLIMIT=256MiB"})
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	peak := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss // KiB; bytes on macOS
	t.Logf("%s: %d MiB at most", task, peak>>10)
	if mib := peak >> 10; mib > 600 && mib < 1<<20 { // the limit is soft: the process takes more if the collector lacks processor time
		t.Errorf("%d MiB of memory", mib)
	}
}
