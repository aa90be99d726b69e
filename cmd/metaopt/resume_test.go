package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"learnedopt/internal/durable"
	"learnedopt/internal/lock"
	"learnedopt/metaopt"
	"learnedopt/metatrain"
	"learnedopt/tasks"
)

// tiny settings take a tenth of a second and are saved at every meta-step.
var tiny = []string{"--batch", "4", "--dims", "2", "--steps", "10", "--unroll", "5", "--hidden", "4", "--valid-runs", "2", "--valid-every", "5",
	"--runs", "1", "--tune-runs", "1", "--rules", "none", "--save-every", "1ns"}

var times = regexp.MustCompile(`"seconds": ?[0-9.e+-]+,?`)

// timeless is the text of a log or a result without its times.
func timeless(text string) string { return times.ReplaceAllString(text, "") }

// sameRun fails unless two run folders hold the same but for times.
func sameRun(t *testing.T, got, want string) {
	t.Helper()
	if readFile(t, filepath.Join(got, optimizerFile)) != readFile(t, filepath.Join(want, optimizerFile)) {
		t.Errorf("%s: another optimizer", got)
	}
	for _, file := range []string{logFile, resultFile} {
		a, b := timeless(readFile(t, filepath.Join(got, file))), timeless(readFile(t, filepath.Join(want, file)))
		if a != b {
			as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
			i := 0
			for i < min(len(as), len(bs))-1 && as[i] == bs[i] {
				i++
			}
			t.Errorf("%s: %s differs, of %d and %d lines, in line %d:\n%s\nwant\n%s", got, file, len(as), len(bs), i+1, as[i], bs[i])
		}
	}
	for _, file := range []string{stateFile, lock.FileName} {
		if exists(filepath.Join(got, file)) {
			t.Errorf("%s: there still is %s", got, file)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(got, ".*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

// An interrupt, by whatever way a training goes, and --resume give what no interrupt gives. The start of a --seeds
// training is interrupted in its second seed, that of --init goes on without its file.
func TestResumeGivesTheSameRun(t *testing.T) {
	start := trained(t)
	for name, flags := range map[string][]string{
		"seeds": {"--meta-steps", "20", "--seeds", "3"},
		"init":  {"--meta-steps", "30", "--init", "START"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			copied := filepath.Join(t.TempDir(), "start.mopt")
			if err := os.WriteFile(copied, []byte(readFile(t, start)), 0o644); err != nil {
				t.Fatal(err)
			}
			args := append([]string{"meta-train", "--out", "run"}, tiny...)
			for _, flag := range flags {
				args = append(args, strings.ReplaceAll(flag, "START", copied))
			}
			if i := slices.Index(args, "--hidden"); name == "init" {
				args = slices.Delete(args, i, i+2)
			}
			succeed(t, args...)
			if err := os.Rename("run", "whole"); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			saves := 0
			mend := durable.Break(func(op durable.Op, path string) error {
				if op == durable.Rename && filepath.Base(path) == stateFile {
					if saves++; saves == 27 {
						cancel()
					}
				}
				return nil
			})
			a := cli(ctx, args...)
			mend()
			if a.code != exitInterrupted || !strings.Contains(a.stderr, "go on with metaopt meta-train --resume run") {
				t.Fatalf("exit %d: %s", a.code, a.stderr)
			}
			if err := os.Remove(copied); err != nil {
				t.Fatal(err)
			}
			if a := cli(t.Context(), args...); a.code == exitOK || !strings.Contains(a.stderr, "--resume run") && name != "init" {
				t.Errorf("began again where a run was interrupted: exit %d: %s", a.code, a.stderr)
			}
			a = succeed(t, "meta-train", "--resume", "run")
			if !strings.Contains(a.stderr, "going on with run at meta-step") {
				t.Errorf("nothing says so: %s", a.stderr)
			}
			sameRun(t, "run", "whole")
			fail(t, exitFailure, []string{"meta-train", "--resume", "run"}, "finished", "--init")
		})
	}
}

// A training that is limited by time goes on for the rest of its time.
func TestResumeOfATimeLimit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	saves := 0
	mend := durable.Break(func(op durable.Op, path string) error {
		if op == durable.Rename && filepath.Base(path) == stateFile {
			if saves++; saves == 10 {
				cancel()
			}
		}
		return nil
	})
	a := cli(ctx, append([]string{"meta-train", "--time", "600ms", "--out", dir}, tiny...)...)
	mend()
	if a.code != exitInterrupted {
		t.Fatalf("exit %d: %s", a.code, a.stderr)
	}
	succeed(t, "meta-train", "--resume", dir, "--save-every", "1m")
	result := readJSON(t, readFile(t, filepath.Join(dir, resultFile)))["train"].(map[string]any)
	if s := result["seconds"].(float64); result["reason"] != "time" || s < 0.6 {
		t.Errorf("it ended by %v after %v s", result["reason"], s)
	}
	log := lines(t, filepath.Join(dir, logFile))
	last := 0.0
	for _, line := range log[1:] {
		if line["meta_step"] == 0.0 {
			continue // the first validation is before the clock starts
		}
		s := line["seconds"].(float64)
		if s < last {
			t.Errorf("time ran back from %v to %v", last, s)
		}
		last = s
	}
}

func TestWhatResumeRefuses(t *testing.T) {
	empty := t.TempDir()
	fail(t, exitUsage, []string{"meta-train", "--resume", empty, "--meta-steps", "7"}, "--meta-steps", "--resume")
	fail(t, exitUsage, []string{"meta-train", "--resume", empty, "--out", "x"}, "--out")
	fail(t, exitUsage, []string{"meta-train", "--until", "3"}, "--replay")
	fail(t, exitUsage, []string{"meta-train", "--replay", "x.mopt"}, "--until")
	fail(t, exitFailure, []string{"meta-train", "--resume", empty}, stateFile)
	fail(t, exitFailure, []string{"meta-train", "--resume", filepath.Join(empty, "none")}, "no such file")
	fail(t, exitFailure, []string{"meta-train", "--resume", trained(t)}, "not a folder")

	dir := interrupted(t, 8)
	state := filepath.Join(dir, stateFile)
	good := readFile(t, state)
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(state, good[:len(good)-1])
	fail(t, exitFailure, []string{"meta-train", "--resume", dir}, "truncated", stateFile)
	write(state, readFile(t, filepath.Join(dir, optimizerFile)))
	fail(t, exitFailure, []string{"meta-train", "--resume", dir}, "lstm-optimizer")
	write(state, good)
	log := readFile(t, filepath.Join(dir, logFile))
	write(filepath.Join(dir, logFile), log[:100])
	fail(t, exitFailure, []string{"meta-train", "--resume", dir}, logFile, "100 bytes", "--init")
	write(filepath.Join(dir, logFile), log)
	fail(t, exitFailure, []string{"meta-train", "--replay", state, "--until", "1"}, "after meta-step 1")
	succeed(t, "meta-train", "--resume", dir, "-q")
}

// interrupted returns the folder of a run that was interrupted after so many states were saved.
func interrupted(t *testing.T, saves int, flags ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	mend := durable.Break(func(op durable.Op, path string) error {
		if op == durable.Rename && filepath.Base(path) == stateFile {
			if saves--; saves == 0 {
				cancel()
			}
		}
		return nil
	})
	defer mend()
	a := cli(ctx, slices.Concat([]string{"meta-train", "--meta-steps", "30", "--out", dir}, tiny, flags)...)
	if a.code != exitInterrupted {
		t.Fatalf("exit %d: %s", a.code, a.stderr)
	}
	return dir
}

// Every flag that a training has is in its saved state, and gives the same setting when it is read.
func TestEveryFlagIsSaved(t *testing.T) {
	samples := map[string]string{
		"bool": "true", "T": "90s", "S": "18446744073709551615", "NAMES": "logsign+rnnprop", "F": "0.125", "N": "7", "N[,N]": "3,4", "F[,F]": "1.5,2",
		"P": "0.25", "R": "2.5", "RULE@F": "sgd@0.5", "N,N": "10,20", "stringSlice": "sgd,adam",
		"DIR": "some folder", "FILE": "a,b.mopt", "NAME": "it's me", "names": "sgd,adam",
	}
	choices := map[string]string{"estimator": "pes", "objective": "ramp", "selection": "geometric", "readout": "exp", "on-non-finite": "rollback", "task": "mnist"}
	for _, o := range tasks.OptionTable() {
		if names := o.Values(); names != nil {
			choices[o.Key] = names[1] + "," + names[0]
		}
	}
	parse := func(args []string) *pflag.FlagSet {
		t.Helper()
		cmd := &cobra.Command{Use: "meta-train"}
		newTrainFlags().add(cmd)
		if err := cmd.ParseFlags(args); err != nil {
			t.Fatal(err)
		}
		return cmd.Flags()
	}
	var args []string
	parse(nil).VisitAll(func(f *pflag.Flag) {
		value, ok := choices[f.Name]
		if !ok {
			value, ok = samples[f.Value.Type()]
		}
		if !ok {
			t.Fatalf("no sample of --%s, of type %s", f.Name, f.Value.Type())
		}
		args = append(args, "--"+f.Name+"="+value)
	})
	flags := parse(args)
	saved, err := savedArgs(flags)
	if err != nil {
		t.Fatal(err)
	}
	again := parse(saved)
	seen := 0
	flags.VisitAll(func(f *pflag.Flag) {
		if slices.Contains(localFlags, f.Name) {
			return
		}
		want := f.Value.String()
		if f.Name == "data-dir" || f.Name == "tensorboard" {
			want, _ = filepath.Abs(want)
		}
		if got := again.Lookup(f.Name); got.Value.String() != want || !got.Changed {
			t.Errorf("--%s: %q, want %q", f.Name, got.Value.String(), want)
		}
		seen++
	})
	if seen < 40 {
		t.Errorf("only %d flags", seen)
	}
}

// A second process is told who has the folder; a lock that a dead one left is no obstacle.
func TestARunFolderHasOneProcess(t *testing.T) {
	dir := interrupted(t, 8)
	held, err := lock.Take(dir)
	if err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Skip(err)
	}
	for _, args := range [][]string{{"meta-train", "--resume", dir}, append([]string{"meta-train", "--out", dir}, tiny...)} {
		fail(t, exitFailure, args, fmt.Sprintf("process %d on %s is writing to %s", os.Getpid(), host, dir))
	}
	if err := held.Release(); err != nil {
		t.Fatal(err)
	}
	stale, err := json.Marshal(lock.Holder{PID: 4711, Host: "elsewhere"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, lock.FileName), stale, 0o644); err != nil {
		t.Fatal(err)
	}
	if a := succeed(t, "meta-train", "--resume", dir); !strings.Contains(a.stderr, "process 4711 on elsewhere held "+dir) {
		t.Errorf("nothing says who was killed: %s", a.stderr)
	}
}

// nonFinite are flags of a training with windows of which some are not finite.
var nonFinite = []string{"--task", "rosenbrock", "--inputs", "raw", "--scale", "1e6", "--random-scaling", "14", "--meta-lr", "0.003", "--batch", "1",
	"--seed", "2", "--meta-steps", "60"}

// What is not finite is in the log with all that it takes to see it again, and the command there shows it.
func TestNonFiniteWindowsAreReplayed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a run")
	a := succeed(t, slices.Concat([]string{"meta-train", "--out", dir, "--valid-every", "7"}, tiny, nonFinite)...)
	seen := 0
	for _, line := range lines(t, filepath.Join(dir, logFile)) {
		if line["event"] != metatrain.EventDiverged {
			continue
		}
		seen++
		in, d := line["instance"].(map[string]any), line["diverged"].(map[string]any)
		if line["policy"] != "skip" || in["seed"] != 2.0 || in["purpose"] != "train" || in["index"] != line["episode"] || d["step"] == nil || d["coordinate"] == nil {
			t.Errorf("the log says %v", line)
		}
		command, _ := line["replay"].(string)
		if (command == "") != (seen > maxReplays) {
			t.Fatalf("window %d has the command %q", seen, command)
		}
		if command == "" {
			continue
		}
		if !strings.Contains(a.stderr, command) {
			t.Errorf("standard error does not name %s", command)
		}
		words := strings.Split(command, "'") // metaopt meta-train --replay '…' --until N
		before := readDir(t, dir)
		shown := succeed(t, append(append(strings.Fields(words[0])[1:], words[1]), strings.Fields(words[2])...)...).stdout
		want := fmt.Sprintf("meta-step %v, episode %v (stream 2, \"train\", %[2]v), inner step %v: %v is ", line["meta_step"], line["episode"], d["step"], d["what"])
		if !strings.Contains(shown, want) {
			t.Errorf("%s shows\n%swant\n%s", command, shown, want)
		}
		if after := readDir(t, dir); !slices.Equal(before, after) {
			t.Errorf("a replay made %v of %v", after, before)
		}
	}
	if seen <= maxReplays {
		t.Fatalf("%d windows were not finite: no test", seen)
	}
	fail(t, exitFailure, []string{"meta-train", "-q", "--replay", firstMatch(t, filepath.Join(dir, "nonfinite-*.mopt")), "--until", "39"}, "everything was finite at meta-step 39")
}

// What followed non-finite windows is said as it was.
func TestWhatFollowsNonFiniteWindowsIsSaid(t *testing.T) {
	for policy, want := range map[string]string{"skip": " windows were not finite and were skipped;", "rollback": " windows were not finite and led back to the last validation without a divergence;"} {
		args := slices.Concat([]string{"meta-train", "--out", filepath.Join(t.TempDir(), "run"), "--on-non-finite", policy, "--meta-batch", "2"}, tiny, nonFinite)
		if a := succeed(t, args...); !strings.Contains(a.stderr, want) {
			t.Errorf("%s: %q is not in\n%s", policy, want, a.stderr)
		}
	}
}

func readDir(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, fmt.Sprint(e.Name(), " ", info.Size(), " ", info.ModTime().UnixNano()))
	}
	return names
}

func firstMatch(t *testing.T, pattern string) string {
	t.Helper()
	all, err := filepath.Glob(pattern)
	if err != nil || len(all) == 0 {
		t.Fatalf("nothing matches %s: %v", pattern, err)
	}
	return all[0]
}

// A training that stopped goes on by another policy.
func TestAStoppedTrainingGoesOnByAnotherPolicy(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	args := slices.Concat([]string{"meta-train", "-q", "--out", dir}, tiny, nonFinite)
	a := cli(t.Context(), append(args, "--on-non-finite", "stop")...)
	if a.code != exitFailure || !strings.Contains(a.stderr, "non-finite values in a window at meta-step") {
		t.Fatalf("exit %d: %s", a.code, a.stderr)
	}
	// The same happens again, and nothing is lost by it.
	if again := cli(t.Context(), "meta-train", "-q", "--resume", dir); again.code != a.code || again.stderr != a.stderr {
		t.Errorf("again: exit %d: %s", again.code, again.stderr)
	}
	succeed(t, "meta-train", "-q", "--resume", dir, "--on-non-finite", "skip")
	whole := filepath.Join(t.TempDir(), "run")
	args[3] = whole
	succeed(t, args...)
	if readFile(t, filepath.Join(dir, optimizerFile)) != readFile(t, filepath.Join(whole, optimizerFile)) {
		t.Error("not the optimizer of a training that skipped from the beginning")
	}
	policies := map[any]int{}
	for _, line := range lines(t, filepath.Join(dir, logFile)) {
		if line["event"] == metatrain.EventDiverged {
			policies[line["policy"]]++
		}
	}
	if policies["skip"] < 2 {
		t.Errorf("policies %v", policies)
	}
}

// Every operation on the disk is made to fail once, writes also part way: the run ends with one clear line, what
// was there stays good, and --resume (or the same command, where not even the first state was there) gives the
// run that nothing happened to.
func TestABrokenDisk(t *testing.T) {
	t.Chdir(t.TempDir())
	args := append([]string{"meta-train", "-q", "--out", "run", "--meta-steps", "6"}, tiny...)
	ops := 0
	mend := durable.Break(func(durable.Op, string) error { ops++; return nil })
	succeed(t, args...)
	mend()
	if err := os.Rename("run", "whole"); err != nil {
		t.Fatal(err)
	}
	if ops < 60 {
		t.Fatalf("only %d operations", ops)
	}
	stride := 9 // coprime to the number of operations of a save: all kinds are met
	if kills() > defaultKills {
		stride = 1
	}
	met := map[durable.Op]int{}
	for at := 0; at < ops; at += stride {
		n := 0
		var failed durable.Op
		mend := durable.Break(func(op durable.Op, path string) error {
			n++
			if n <= at {
				return nil
			}
			if n == at+1 {
				failed = op
			}
			if op == durable.Write { // as a disk that is full does
				return &durable.ShortWrite{Bytes: at % 40, Err: syscall.ENOSPC}
			}
			return syscall.EIO
		})
		a := cli(t.Context(), args...)
		mend()
		met[failed]++
		if a.code != exitFailure || a.stdout != "" || strings.Count(a.stderr, "\n") != 1 ||
			!strings.Contains(a.stderr, "no space left") && !strings.Contains(a.stderr, "input/output error") {
			t.Errorf("%s, operation %d: exit %d\n%s%s", failed, at, a.code, a.stdout, a.stderr)
		}
		if data := peek(filepath.Join("run", optimizerFile)); data != nil {
			if _, err := metaopt.Load(filepath.Join("run", optimizerFile)); err != nil {
				t.Errorf("%s, operation %d: %v", failed, at, err)
			}
		}
		if exists(filepath.Join("run", stateFile)) {
			if at%4 != 0 && stride > 1 {
				// The whole comparison takes longest; a state that can be read is enough for most.
				if _, _, err := restoreRun(&app{stderr: &strings.Builder{}, quiet: true}, filepath.Join("run", stateFile), nil); err != nil {
					t.Errorf("%s, operation %d: %v", failed, at, err)
				}
			} else if a := cli(t.Context(), "meta-train", "-q", "--resume", "run"); a.code != exitOK {
				t.Errorf("%s, operation %d: %s", failed, at, a.stderr)
			} else {
				sameRun(t, "run", "whole")
			}
		} else if at > 10 {
			t.Errorf("%s, operation %d: no state", failed, at)
		} else {
			succeed(t, args...)
			sameRun(t, "run", "whole")
		}
		if err := os.RemoveAll("run"); err != nil {
			t.Fatal(err)
		}
	}
	if len(met) < 5 && stride == 1 || met[durable.Write] == 0 || met[durable.Sync] == 0 {
		t.Errorf("operations that failed: %v", met)
	}
}
