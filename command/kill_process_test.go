//go:build unix

package command

import (
	"bytes"
	encoding "encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"learnedopt/internal/lock"
	"learnedopt/metaopt"
)

// killed are the flags of trainings to kill. Together they cover everything that a state can hold.
var killed = [][]string{
	{"--meta-steps", "40", "--meta-batch", "3", "--estimator", "pes", "--random-steps"},
	{"--meta-steps", "15", "--seeds", "3"},
	nonFinite,
	{"--meta-steps", "40", "--imitate", "0.5", "--objective", "relative", "--inputs", "logsign+rnnprop"},
	{"--meta-steps", "60", "--horizons", "5,10,20", "--valid-every", "3", "--selection", "geometric"},
	{"--meta-steps", "40", "--random-scaling", "2", "--convex", "--second-derivatives", "--warm-up", "5", "--meta-lr-decay", "0.1"},
	append(slices.Clone(nonFinite), "--on-non-finite", "rollback", "--meta-batch", "2"),
	{"--meta-steps", "40", "--estimator", "es", "--gradient-noise", "0.1,0.2", "--batch", "2,3"},
}

// Trainings are killed again and again, at any time from the first millisecond to the last, and resumed until one finishes.
// Each ends with the same bytes of optimizer, log and result as an undisturbed training, and TensorBoard shows the same points.
func TestKilledTrainingsGoOnToTheSameRun(t *testing.T) {
	program := binary(t)
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0)) // the moment is random on purpose, without a fixed seed
	n, want := 0, kills()
	for round := 0; n < want; round++ {
		flags := killed[round%len(killed)]
		dir := t.TempDir()
		args := slices.Concat([]string{"meta-train", "-q", "--out", "run", "--tensorboard", "events"}, tiny, flags)
		if i := slices.Index(args, "--steps"); slices.Contains(flags, "--horizons") {
			args = slices.Delete(args, i, i+2)
		}
		start := func(args []string) *exec.Cmd {
			cmd := exec.Command(program, args...)
			cmd.Dir = dir
			cmd.Stderr = &bytes.Buffer{}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			return cmd
		}
		if cmd := start(args); cmd.Wait() != nil {
			t.Fatalf("%v: %s", args, cmd.Stderr)
		}
		whole, run := filepath.Join(dir, "whole"), filepath.Join(dir, "run")
		if err := os.Rename(run, whole); err != nil {
			t.Fatal(err)
		}
		events := filepath.Join(dir, "events")
		points := shownPoints(t, events)
		if err := os.RemoveAll(events); err != nil {
			t.Fatal(err)
		}
		for here := 0; ; here++ {
			next := args
			switch {
			case exists(filepath.Join(run, stateFile)):
				next = []string{"meta-train", "-q", "--resume", "run", "--tensorboard", "events"}
			case exists(filepath.Join(run, optimizerFile)):
				// Killed after its last action, the removal of the state. Its lock may be left.
				next = nil
				_ = os.Remove(filepath.Join(run, lock.FileName))
			}
			if next == nil {
				break
			}
			cmd := start(next)
			done := make(chan error, 1)
			go func() { done <- cmd.Wait() }()
			var err error
			if n >= want {
				err = <-done
			} else {
				err = killAfter(t, cmd, done, run, rng)
			}
			if code := exitCode(t, err); code == 0 {
				break
			} else if code > 0 {
				t.Fatalf("%v after %d kills: exit %d: %s", next, here, code, cmd.Stderr)
			}
			n++
		}
		sameRun(t, run, whole)
		if got := shownPoints(t, events); !maps.EqualFunc(got, points, slices.Equal) {
			t.Errorf("TensorBoard shows %d points, %d of the undisturbed run:\n%s", len(got), len(points), difference(got, points))
		}
		if t.Failed() {
			t.Fatalf("%v", args)
		}
	}
	t.Logf("%d trainings killed", n)
}

// shownPoints returns what TensorBoard shows of the event files below a folder: the values of each folder, tag and step, without
// times. It reads files in the order of their writing, drops a record that was cut short, and forgets steps from that of a
// session's start on.
func shownPoints(t *testing.T, dir string) map[string][]string {
	t.Helper()
	var files []string
	written := func(path string) time.Time {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.ModTime()
	}
	for _, below := range []string{"", "seed*"} {
		found, err := filepath.Glob(filepath.Join(dir, below, "events.out.tfevents.*"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	slices.SortFunc(files, func(a, b string) int { return written(a).Compare(written(b)) })
	type point struct {
		key   string // folder, tag and step
		step  uint64
		value string
	}
	folders := map[string][]point{}
	for _, path := range files {
		folder := filepath.Base(filepath.Dir(path))
		for rest := readFile(t, path); len(rest) >= 16; {
			size := encoding.LittleEndian.Uint64([]byte(rest[:8]))
			if uint64(len(rest)) < 16+size {
				break
			}
			p := point{}
			start := false
			for b := []byte(rest[12 : 12+size]); len(b) > 0; {
				field, kind, n := protowire.ConsumeTag(b)
				b = b[n:]
				switch {
				case field == 2:
					p.step, _ = protowire.ConsumeVarint(b)
				case field == 5:
					summary, _ := protowire.ConsumeBytes(b)
					p.value = string(summary)
				case field == 7:
					start = true
				}
				b = b[protowire.ConsumeFieldValue(field, kind, b):]
			}
			switch {
			case start:
				folders[folder] = slices.DeleteFunc(folders[folder], func(old point) bool { return old.step >= p.step })
			case p.value != "":
				value, _ := protowire.ConsumeBytes([]byte(p.value[1:])) // a Summary of one Value, whose first field is its tag
				tag, _ := protowire.ConsumeString(value[1:])
				p.key = fmt.Sprint(folder, " ", tag, " ", p.step)
				folders[folder] = append(folders[folder], p)
			}
			rest = rest[16+size:]
		}
	}
	shown := map[string][]string{}
	for _, points := range folders {
		for _, p := range points {
			shown[p.key] = append(shown[p.key], p.value)
		}
	}
	return shown
}

// difference says where two sets of points differ.
func difference(got, want map[string][]string) string {
	var lines []string
	for key, values := range got {
		if !slices.Equal(values, want[key]) {
			lines = append(lines, fmt.Sprintf("%s: %d values, want %d", key, len(values), len(want[key])))
		}
	}
	for key, values := range want {
		if len(got[key]) == 0 {
			lines = append(lines, fmt.Sprintf("%s: none, want %d", key, len(values)))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines[:min(len(lines), 20)], "\n")
}

// killAfter kills a process after a random number of changes in its run folder, and a random moment.
func killAfter(t *testing.T, cmd *exec.Cmd, done chan error, run string, rng *rand.Rand) error {
	t.Helper()
	look := func() string {
		var b strings.Builder
		for _, file := range []string{logFile, stateFile, optimizerFile, resultFile} {
			if info, err := os.Stat(filepath.Join(run, file)); err == nil {
				b.WriteString(info.ModTime().String())
			}
		}
		return b.String()
	}
	changes, seen := rng.IntN(12), look()
	deadline := time.Now().Add(time.Minute)
	for changes > 0 && time.Now().Before(deadline) {
		select {
		case err := <-done:
			return err
		case <-time.After(time.Duration(rng.IntN(1000)) * time.Microsecond):
		}
		if now := look(); now != seen {
			changes, seen = changes-1, now
		}
	}
	select {
	case err := <-done:
		return err
	case <-time.After(time.Duration(rng.IntN(10_000)) * time.Microsecond):
	}
	_ = cmd.Process.Signal(syscall.SIGKILL) // the process may have ended already
	return <-done
}

// A killed training leaves its best network so far as an optimizer.
func TestAKilledTrainingLeavesItsBest(t *testing.T) {
	run := filepath.Join(t.TempDir(), "run")
	cmd := exec.Command(binary(t), append([]string{"meta-train", "-q", "--out", run, "--time", "10m", "--meta-lr", "0.02"}, tiny...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	best := func() (at []float64) {
		log := peek(filepath.Join(run, logFile))
		for line := range bytes.Lines(log[:bytes.LastIndexByte(log, '\n')+1]) {
			if e := readJSON(t, string(line)); e["best"] == true {
				at = append(at, e["meta_step"].(float64))
			}
		}
		return at
	}
	for len(best()) < 4 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(50 * time.Millisecond)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if code := exitCode(t, cmd.Wait()); code != -1 {
		t.Fatalf("exit %d", code)
	}
	o, err := metaopt.Load(filepath.Join(run, optimizerFile))
	if err != nil {
		t.Fatal(err)
	}
	// Only the last one or two bests may be missing: those after the last saved state.
	if at := best(); !slices.Contains(at[2:], float64(o.Provenance.MetaSteps)) {
		t.Errorf("the optimizer is of meta-step %d, of the bests %v", o.Provenance.MetaSteps, at)
	}
	reproduces(t, filepath.Join(run, optimizerFile))
}

// A second interrupt ends a training at once, and loses no more than a kill does.
func TestASecondInterruptEndsATrainingAtOnce(t *testing.T) {
	program, dir := binary(t), t.TempDir()
	run := filepath.Join(dir, "run")
	// Meta-steps take a second or more, and the first interrupt waits for the end of one.
	args := []string{"meta-train", "-q", "--out", run, "--meta-steps", "1000", "--batch", "4096", "--steps", "2000", "--unroll", "1000", "--hidden", "4",
		"--valid-runs", "1", "--valid-steps", "1", "--rules", "none"}
	var stderr bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for !strings.Contains(string(peek(filepath.Join(run, logFile))), `"validation"`) {
		time.Sleep(time.Millisecond)
	}
	began := time.Now()
	for range 2 {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond)
	}
	err := cmd.Wait()
	if code := exitCode(t, err); code != -1 {
		t.Errorf("exit %d, want an end by the signal (it took %v): %s", code, time.Since(began), stderr.String())
	}
	goesOn(t, run)
}

// The folder of a run vanishes during the run, and comes back.
func TestAVanishedFolder(t *testing.T) {
	program, dir := binary(t), t.TempDir()
	args := append([]string{"meta-train", "-q", "--out", "run", "--meta-steps", "3000"}, tiny...)
	var stderr bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Stderr = dir, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	run, away := filepath.Join(dir, "run"), filepath.Join(dir, "away")
	for bytes.Count(peek(filepath.Join(run, logFile)), []byte("\n")) < 5 {
		time.Sleep(time.Millisecond)
	}
	if err := os.Rename(run, away); err != nil {
		t.Fatal(err)
	}
	if code := exitCode(t, cmd.Wait()); code != exitFailure || !strings.Contains(stderr.String(), "no such file") || !strings.Contains(stderr.String(), "--resume run") {
		t.Errorf("exit %d: %s", code, stderr.String())
	}
	goesOn(t, away)
}
