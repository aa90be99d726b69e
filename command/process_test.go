//go:build unix

package command

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"learnedopt/internal/simd"
	"learnedopt/metaopt"
	"learnedopt/runfolder"
	"learnedopt/sweep/results"
)

// exitCode returns a process's exit code, or -1 if a signal killed it.
func exitCode(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit == nil {
		return 0
	}
	return exit.ExitCode()
}

func TestExitCodesOfTheProgram(t *testing.T) {
	program := binary(t)
	for _, c := range []struct {
		line string
		want int
	}{
		{"", 0}, {"version", 0}, {"meta-train --foo", 2}, {"foo", 2}, {"inspect none.mopt", 1},
	} {
		cmd := exec.Command(program, strings.Fields(c.line)...)
		cmd.Dir = t.TempDir()
		if code := exitCode(t, cmd.Run()); code != c.want {
			t.Errorf("metaopt %s: exit %d, want %d", c.line, code, c.want)
		}
	}
}

// An unknown path of kernels must be an error, not silently replaced.
func TestUnknownKernelsAreRefused(t *testing.T) {
	cmd := exec.Command(binary(t), "version")
	cmd.Env = append(os.Environ(), "METAOPT_SIMD=abacus")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if code := exitCode(t, cmd.Run()); code != exitUsage || !strings.Contains(stderr.String(), "abacus") {
		t.Errorf("exit %d: %s", code, stderr.String())
	}
}

// Kernels that round are for use alone: a training with them would have other meta-gradients.
func TestRoundingKernelsDoNotTrain(t *testing.T) {
	const path = "avx512bf16"
	if !slices.Contains(simd.Paths(), path) {
		t.Skipf("this CPU does not have the kernels %s", path)
	}
	for _, c := range []struct {
		line string
		want int
	}{
		{"meta-train --task quadratic --meta-steps 1", exitUsage}, {"verify pretrained:quadratic", exitUsage},
		{"compare pretrained:general --task quadratic --steps 3 --runs 1 --rules none", 0},
	} {
		cmd := exec.Command(binary(t), strings.Fields(c.line)...)
		cmd.Dir = t.TempDir()
		cmd.Env = append(os.Environ(), "METAOPT_SIMD="+path)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if code := exitCode(t, cmd.Run()); code != c.want || c.want != 0 && !strings.Contains(stderr.String(), "METAOPT_SIMD=avx512bf16 rounds") {
			t.Errorf("%s: exit %d: %s", c.line, code, stderr.String())
		}
	}
}

func TestSignalsEndATrainingInOrder(t *testing.T) {
	program := binary(t)
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup, which the program inherits
		ends = append(ends, syscall.SIGHUP)
	}
	for _, signal := range ends {
		dir := t.TempDir()
		var stderr bytes.Buffer
		cmd := exec.Command(program, append([]string{"meta-train", "--time", "10m", "--out", dir}, small...)...)
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for bytes.Count(peek(filepath.Join(dir, logFile)), []byte(`"validation"`)) < 2 {
			time.Sleep(time.Millisecond)
		}
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if code := exitCode(t, cmd.Wait()); code != 130 || !strings.Contains(stderr.String(), "interrupted at meta-step") {
			t.Errorf("%v: exit %d, want 130: %s", signal, code, stderr.String())
		}
		if _, err := metaopt.Load(filepath.Join(dir, optimizerFile)); err != nil {
			t.Errorf("%v: %v", signal, err)
		}
	}
}

// Under nohup a training goes on when its terminal closes.
func TestNohupIsRespected(t *testing.T) {
	nohup, err := exec.LookPath("nohup")
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	cmd := exec.Command(nohup, append([]string{binary(t), "meta-train", "--meta-steps", "300", "--out", dir}, small...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for bytes.Count(peek(filepath.Join(dir, logFile)), []byte(`"validation"`)) < 1 {
		time.Sleep(time.Millisecond)
	}
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if code := exitCode(t, cmd.Wait()); code != 0 {
		t.Errorf("exit %d: %s", code, &out)
	}
}

// A sweep is ended in the middle by SIGKILL or by a signal that can be caught. The same command then continues it, and every
// record is there once.
func TestSignalsEndASweep(t *testing.T) {
	program, dir := binary(t), t.TempDir()
	args := []string{"sweep", "pretrained:quadratic", "--batch", "16", "--axis", "dims=2,3,4,5,6,7,8,9,10,11", "--runs", "8", "--tune-runs", "4",
		"--rules", "sgd", "--out", dir}
	path := filepath.Join(dir, results.CellsFile)
	count := func() int { return bytes.Count(peek(path), []byte("\n")) }
	for _, c := range []struct {
		signal os.Signal
		code   int
		word   string
	}{{syscall.SIGKILL, -1, ""}, {os.Interrupt, 130, "the same command continues"}} {
		before := count()
		var stderr bytes.Buffer
		cmd := exec.Command(program, args...)
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for count() < before+2 {
			time.Sleep(time.Millisecond)
		}
		if err := cmd.Process.Signal(c.signal); err != nil {
			t.Fatal(err)
		}
		if code := exitCode(t, cmd.Wait()); code != c.code || !strings.Contains(stderr.String(), c.word) || count() >= 20 {
			t.Errorf("%v: exit %d, want %d; %d records: %s", c.signal, code, c.code, count(), stderr.String())
		}
	}
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil || !strings.Contains(string(out), "of 10 cells") {
		t.Errorf("the same command does not continue: %v\n%s", err, out)
	}
	keys := map[any]bool{}
	for _, r := range lines(t, path) {
		keys[r["key"]] = true
	}
	if len(keys) != 20 || count() != 20 {
		t.Errorf("%d records of %d keys, want 20", count(), len(keys))
	}
}

// If standard output is closed, the run folder is complete all the same.
func TestStandardOutputIsClosed(t *testing.T) {
	program := binary(t)
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no sh: ", err)
	}
	for _, redirection := range []string{">&-", ">&- 2>&-", "| true", "2>&1 | true"} {
		dir := t.TempDir()
		line := strings.Join(append([]string{program, "meta-train", "--meta-steps", "5", "--out", dir}, small...), " ")
		out, err := exec.Command(shell, "-c", "("+line+"; echo $? >"+dir+"/code) "+redirection).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v: %s", redirection, err, out)
		}
		if code := strings.TrimSpace(readFile(t, filepath.Join(dir, "code"))); code != "0" {
			t.Errorf("%s: exit %s: %s", redirection, code, out)
		}
		for _, file := range runfolder.Files() {
			if len(peek(filepath.Join(dir, file))) == 0 {
				t.Errorf("%s: no %s", redirection, file)
			}
		}
	}
}
