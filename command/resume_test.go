package command

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"learnedopt/internal/durable"
	"learnedopt/internal/lock"
	"learnedopt/internal/simd"
	"learnedopt/metaopt"
	"learnedopt/metatrain"
	"learnedopt/recipe"
	"learnedopt/runfolder"
)

// tiny are flags for a training that takes a tenth of a second and saves at every meta-step.
var tiny = []string{"--batch", "4", "--dims", "2", "--steps", "10", "--unroll", "5", "--hidden", "4", "--valid-runs", "2", "--valid-every", "5",
	"--runs", "1", "--tune-runs", "1", "--rules", "none", "--save-every", "1ns"}

var times = regexp.MustCompile(`"(gradient_|update_)?seconds": ?[0-9.e+-]+,?`)

// timeless returns the text of a log or a result without its times.
func timeless(text string) string { return times.ReplaceAllString(text, "") }

// sameRun fails the test unless two run folders are equal except for times.
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

// For every kind of training, an interrupt followed by --resume gives the same run as no interrupt. A training with --seeds is
// interrupted in its second seed. A training with --init is resumed without its file.
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

// A resumed training with a limit of time runs for the rest of its time.
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

// interrupted returns the folder of a run that was interrupted after the given number of saved states.
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

// goesOn fails the test unless the run in a folder can be resumed.
func goesOn(t *testing.T, dir string) {
	t.Helper()
	r, err := runfolder.Resume(dir, nil, nil)
	if err != nil {
		t.Error(err)
		return
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// A state holds the flags that say how a run is saved and compared, as well as its recipe.
func TestEveryFlagIsSaved(t *testing.T) {
	events := t.TempDir()
	dir := interrupted(t, 5, "--tune-runs", "3", "--runs", "4", "--tensorboard", events, "--save-every", "1us", "--memory", "9", "--name", "it's me", "--seed", "7")
	r, err := runfolder.Resume(dir, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if want := (runfolder.Settings{SaveEvery: time.Microsecond, TensorBoard: events, Runs: 4, TuneRuns: 3, Rules: []string{"none"}}); !reflect.DeepEqual(*r.Settings(), want) {
		t.Errorf("%+v, want %+v", *r.Settings(), want)
	}
	if got := r.Recipe(); got.Defaults != recipe.Latest || *got.Memory != 9 || got.Name != "it's me" || got.Seed != 7 || got.MetaSteps != 30 {
		t.Errorf("%+v", got)
	}
}

// A file from before recipes is verified by its command.
func TestVerifyOfAFileFromBeforeRecipes(t *testing.T) {
	log := lines(t, filepath.Join(beforeRecipes, logFile))
	if log[0]["kernels"] != simd.Float32().Path || log[0]["arch"] != runtime.GOARCH {
		t.Skipf("the bytes are those of %v on %v", log[0]["kernels"], log[0]["arch"])
	}
	if a := succeed(t, "verify", filepath.Join(beforeRecipes, "whole.mopt")); !strings.HasPrefix(a.stdout, "equal: ") {
		t.Errorf("verify says %q", a.stdout)
	}
}

// A second process gets an error that names the process with the folder's lock. A lock left by a dead process is ignored.
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

// nonFinite are flags of a training in which some windows have non-finite values.
var nonFinite = []string{"--task", "rosenbrock", "--inputs", "raw", "--scale", "1e6", "--random-scaling", "14", "--meta-lr", "0.003", "--batch", "1",
	"--seed", "2", "--meta-steps", "60"}

// A non-finite value is logged with everything that is needed to replay it, and the logged command shows it again.
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
		if (command == "") != (seen > runfolder.MaxReplays) {
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
	if seen <= runfolder.MaxReplays {
		t.Fatalf("%d windows were not finite: no test", seen)
	}
	fail(t, exitFailure, []string{"meta-train", "-q", "--replay", firstMatch(t, filepath.Join(dir, "nonfinite-*.mopt")), "--until", "39"}, "everything was finite at meta-step 39")
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

// A training that stopped at a non-finite value can be resumed with another policy.
func TestAStoppedTrainingGoesOnByAnotherPolicy(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	args := slices.Concat([]string{"meta-train", "-q", "--out", dir}, tiny, nonFinite)
	a := cli(t.Context(), append(args, "--on-non-finite", "stop")...)
	if a.code != exitFailure || !strings.Contains(a.stderr, "non-finite values in a window at meta-step") {
		t.Fatalf("exit %d: %s", a.code, a.stderr)
	}
	// Resuming stops at the same value again, and loses nothing.
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

// Every operation on the disk is made to fail once; writes also fail half-way. The run must end with one clear line, and leave
// existing files intact. Then --resume, or the same command if there is no state yet, must give the undisturbed run.
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
	stride := 9 // coprime to the number of operations of a save, so that every kind of operation is met
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
			if op == durable.Write { // as on a full disk
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
				// The whole comparison takes long. For most cases a readable state is enough.
				goesOn(t, "run")
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
