package command

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"learnedopt/baselines"
	"learnedopt/compare"
	"learnedopt/lstm"
	"learnedopt/metatrain"
	"learnedopt/optimizer"
	"learnedopt/runfolder"
	"learnedopt/tasks"
)

// The whole command knows the tasks of a program of four lines.
func TestAProgramWithATaskOfItsOwn(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program; not with -short")
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "metaopt.exe")
	if out, err := exec.Command("go", "build", "-o", program, "../examples/owntask").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, c := range []struct {
		line string
		code int
		want string
	}{
		{"meta-train --task logistic --dims 2,3 --spread 0.5,2 --meta-steps 6 --steps 20 --valid-every 3 --runs 6 --tune-runs 1 --rules adam --out run", exitOK, "logistic dims=2,3 batch=16 spread=0.5,2"},
		{"inspect run/optimizer.mopt", exitOK, "--task logistic --batch 16 --dims 2,3 --spread 0.5,2"},
		{"verify run", exitOK, "bit for bit"},
		{"compare run --spread 1 --steps 20 --runs 6 --tune-runs 1 --rules adam", exitOK, "logistic dims=2,3 batch=16:"},
		{"sweep run/optimizer.mopt --axis spread=0,1 --axis dims=2 --steps 20 --runs 6 --tune-runs 1 --rules adam --out swept", exitOK, "of 2 cells"},
		{"check-gradient --task logistic --spread 2 --units 3", exitUsage, "--units does not apply to the task logistic; its options are --dims, --batch, --spread"},
		{"check-gradient --task logistic --dims 2 --steps 20 --unrolls 10,20", exitOK, "Cosine"},
		{"compare run --spread 7", exitUsage, "the task logistic: spread 7, want 0 to 5"},
		{"report run", exitOK, "report.html"},
		{"meta-train --task logistics", exitUsage, `did you mean "logistic"`},
		{"meta-train --help", exitOK, "logistic: standard deviation of the logarithm"},
	} {
		var out bytes.Buffer
		cmd := exec.Command(program, strings.Fields(c.line)...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &out
		code := 0
		if err := cmd.Run(); err != nil {
			code = cmd.ProcessState.ExitCode()
		}
		if code != c.code || !strings.Contains(out.String(), c.want) {
			t.Fatalf("metaopt %s: exit %d, want %d and %q:\n%s", c.line, code, c.code, c.want, out.String())
		}
	}
}

// An option of a task must not take the place of a flag of some command.
func TestOwnOptionsAreNoFlagsOfACommand(t *testing.T) {
	for _, key := range []string{"steps", "runs", "out", "axis", "listen", "format", "seed", "guard"} {
		err := register([]tasks.Definition{{
			Name: "mine", Numbers: []tasks.Number{{Key: key, Help: "something"}},
			New: func(tasks.Options) (optimizer.Family, error) { return tasks.Quadratic{}, nil },
		}})
		if err == nil || !strings.Contains(err.Error(), "--"+key+" is a flag of metaopt ") {
			t.Errorf("number %s: %v", key, err)
		}
	}
}

// A training and a comparison of a program's own are shown as the command's own are.
func TestFolderOfATrainingOfOnesOwn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mine")
	o, err := runfolder.Train(t.Context(), dir, metatrain.TrainConfig{
		Family: tasks.Quadratic{Dims: 2, Batch: 2}, Network: lstm.Config{Hidden: 3, Layers: 1, Scale: 0.1}, Steps: 20, MetaSteps: 4, ValidEvery: 2, ValidRuns: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	succeed(t, "report", dir, "-o", filepath.Join(t.TempDir(), "early.html"))
	c, err := compare.Evaluate(t.Context(), compare.EvalConfig{Family: tasks.Quadratic{Dims: 2, Batch: 2}, Steps: 20, Runs: 6, Contenders: []compare.Contender{
		{Name: "mine", Kind: compare.Learned, Rule: o.Rule()}, {Name: "by hand", Kind: compare.Baseline, Rule: baselines.Adam{LearningRate: 0.1}, LearningRate: 0.1},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := runfolder.WriteComparison(dir, c); err != nil {
		t.Fatal(err)
	}
	alone := filepath.Join(t.TempDir(), "alone")
	if err := runfolder.WriteComparison(alone, c); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{dir, alone} {
		succeed(t, "report", folder, "-o", filepath.Join(folder, "report.html"))
		page := readFile(t, filepath.Join(folder, "report.html"))
		for _, want := range []string{"by hand", "quadratic dims=2 batch=2"} {
			if !strings.Contains(page, want) {
				t.Errorf("%s: the page does not have %q", folder, want)
			}
		}
	}
	fail(t, exitFailure, []string{"meta-train", "--resume", dir}, "is finished")
}
