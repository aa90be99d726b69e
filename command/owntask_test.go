package command

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"learnedopt/optimizer"
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
