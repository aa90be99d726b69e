//go:build unix

package command

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"learnedopt/distributed/embedded"
	"learnedopt/distributed/fleet"
	"learnedopt/internal/lock"
)

// Workers and the coordinator of a training are killed again and again, at any time. New workers come, and the training is
// resumed until it ends: with the same bytes of optimizer, log and result as an undisturbed training in one process.
func TestKilledWorkersAndCoordinators(t *testing.T) {
	program := binary(t)
	server, err := embedded.Start(embedded.Config{Listen: "127.0.0.1:0", Store: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0)) // the moment is random on purpose, without a fixed seed
	start := func(dir string, args ...string) (*exec.Cmd, chan error) {
		cmd := exec.Command(program, args...)
		cmd.Dir, cmd.Stderr = dir, &bytes.Buffer{}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		return cmd, done
	}
	var workers []*exec.Cmd
	var ended []chan error
	hire := func() {
		cmd, done := start(t.TempDir(), "worker", "-q", "--units", "1", "--nats", server.URL())
		workers, ended = append(workers, cmd), append(ended, done)
	}
	fire := func(i int) {
		_ = workers[i].Process.Signal(syscall.SIGKILL)
		<-ended[i]
		workers, ended = slices.Delete(workers, i, i+1), slices.Delete(ended, i, i+1)
	}
	defer func() {
		for len(workers) > 0 {
			fire(0)
		}
	}()
	for range 2 {
		hire()
	}
	n, want := 0, kills()
	nats := []string{"--nats", server.URL(), "--nats-lease", "1s"}
	for round := 0; n < want; round++ {
		flags := [][]string{killed[0], killed[4], killed[1]}[round%3]
		dir := t.TempDir()
		args := slices.Concat([]string{"meta-train", "-q"}, tiny, flags)
		if i := slices.Index(args, "--steps"); slices.Contains(flags, "--horizons") {
			args = slices.Delete(args, i, i+2)
		}
		whole, run := filepath.Join(dir, "whole"), filepath.Join(dir, "run")
		if cmd, done := start(dir, append(slices.Clone(args), "--out", "run")...); <-done != nil {
			t.Fatalf("%v: %s", args, cmd.Stderr)
		}
		if err := os.Rename(run, whole); err != nil {
			t.Fatal(err)
		}
		for {
			next := slices.Concat(args, []string{"--out", "run"}, nats)
			switch {
			case exists(filepath.Join(run, stateFile)):
				next = append([]string{"meta-train", "-q", "--resume", "run"}, nats...)
			case exists(filepath.Join(run, optimizerFile)): // killed after its last action
				next = nil
				_ = os.Remove(filepath.Join(run, lock.FileName))
			}
			if next == nil {
				break
			}
			cmd, done := start(dir, next...)
			err, over := error(nil), false
			for !over {
				pause := time.After(time.Duration(rng.IntN(400)) * time.Millisecond)
				if n >= want {
					pause = nil
				}
				select {
				case err = <-done:
					over = true
				case <-pause:
					n++
					if rng.IntN(3) == 0 {
						_ = cmd.Process.Signal(syscall.SIGKILL) // it may have ended
						err, over = <-done, true
					} else {
						fire(rng.IntN(len(workers)))
						hire()
					}
				}
			}
			if code := exitCode(t, err); code == 0 {
				break
			} else if code > 0 {
				t.Fatalf("%v after %d kills: exit %d: %s", next, n, code, cmd.Stderr)
			}
		}
		sameRun(t, run, whole)
		if t.Failed() {
			t.Fatalf("%v", args)
		}
	}
	t.Logf("%d processes killed", n)
}

// A training with a server in its own process and one worker has the bits of one without; flags that mean nothing are refused.
func TestEmbeddedServer(t *testing.T) {
	program, dir := binary(t), t.TempDir()
	server, err := embedded.Start(embedded.Config{Listen: "127.0.0.1:0"}) // to find a free port
	if err != nil {
		t.Fatal(err)
	}
	url := server.URL()
	server.Close()
	args := slices.Concat([]string{"meta-train", "-q"}, tiny, []string{"--meta-steps", "20", "--meta-batch", "2"})
	train := exec.Command(program, append(slices.Clone(args), "--out", "many", "--nats", "embedded", "--nats-listen", strings.TrimPrefix(url, "nats://"))...)
	var stderr bytes.Buffer
	train.Dir, train.Stderr = dir, &stderr
	if err := train.Start(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "many", fleet.File)
	for range 6000 { // until the dashboard can show that there is no worker
		if data, err := os.ReadFile(file); err == nil {
			if s, err := fleet.Read(data); err != nil || len(s.Workers) != 0 {
				t.Fatalf("%s: %v", data, err)
			}
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if !exists(file) {
		t.Errorf("there is no %s: %s", fleet.File, &stderr)
	}
	var worker *exec.Cmd
	for range 600 { // until the server listens
		worker = exec.Command(program, "worker", "-q", "--nats", url)
		if err := worker.Start(); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- worker.Wait() }()
		select {
		case <-done:
			time.Sleep(50 * time.Millisecond)
			continue
		case <-time.After(2 * time.Second):
		}
		defer func() {
			_ = worker.Process.Signal(os.Interrupt)
			<-done
		}()
		break
	}
	if err := train.Wait(); err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	if exists(file) {
		t.Errorf("%s outlives its coordinator", fleet.File)
	}
	succeed(t, append(args, "--out", filepath.Join(dir, "alone"))...)
	sameRun(t, filepath.Join(dir, "many"), filepath.Join(dir, "alone"))
}

func TestNATSFlagsAreChecked(t *testing.T) {
	for _, c := range []struct{ args, word string }{
		{"worker", "--nats URL"},
		{"worker --nats nats://127.0.0.1:1 --nats-cert a", "belong together"},
		{"worker --simulate --nats nats://127.0.0.1:1", "asks no server"},
		{"worker --nats nats://127.0.0.1:1 --windows 3", "--simulate; set it"},
		{"meta-train --any-path", "--nats; set it"},
		{"meta-train --nats-creds x", "set it"},
		{"meta-train --nats nats://127.0.0.1:1 --nats-listen 127.0.0.1:0", "--nats embedded"},
	} {
		fail(t, exitUsage, strings.Fields(c.args), c.word)
	}
	fail(t, exitFailure, []string{"worker", "--nats", "nats://127.0.0.1:1"}, "no connection")
}
