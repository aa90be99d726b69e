package command

import (
	"bytes"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"learnedopt/lstm"
	"learnedopt/metaopt"
	"learnedopt/tasks"
)

func TestInspect(t *testing.T) {
	path := trained(t, "--name", "mine", "--seed", "5", "--p", "7")
	a := succeed(t, "inspect", path)
	for _, want := range []string{"mine", "logsign (p = 7)", "2 LSTM × 4", "linear × 0.1", defaultTask + " dims=10 batch=4", "seed 5",
		"windows of 5 of 10 steps", "lstm1/w", "6×16", "readout/b", "metaopt meta-train --task"} {
		if !strings.Contains(a.stdout, want) {
			t.Errorf("inspect lacks %q:\n%s", want, a.stdout)
		}
	}
	in := readJSON(t, succeed(t, "inspect", path, "--json").stdout)
	if in["name"] != "mine" || in["provenance"].(map[string]any)["seed"] != 5.0 || len(in["tensors"].([]any)) != 6 {
		t.Errorf("inspect --json gives %v", in)
	}
	// (2+4)·16 + 16 + (4+4)·16 + 16 + 4 + 1
	if in["parameters"] != 261.0 {
		t.Errorf("%v parameters, want 261", in["parameters"])
	}
}

// A network with everything is described, with its orthogonal direction.
func TestInspectSeveralTasks(t *testing.T) {
	a := succeed(t, "inspect", trained(t, severalTasks...))
	if want := "mix × 0.01, with an orthogonalized momentum of one weight a tensor, divided by the fan-in and the size of inputs"; !strings.Contains(a.stdout, want) {
		t.Errorf("no %q in\n%s", want, a.stdout)
	}
}

func TestTensorNorms(t *testing.T) {
	got := recordTensor(lstm.Tensor{Name: "w", Shape: []int{2, 2}, Data: []float32{1, -5, 1, 3}})
	if got.Mean != 0 || got.Std != 3 || got.MaxAbs != 5 || got.L2 != 6 {
		t.Errorf("mean, std, max, norm of (1, -5, 1, 3): %+v", got)
	}
}

func TestInspectPlot(t *testing.T) {
	path := trained(t)
	picture := filepath.Join(t.TempDir(), "update.png")
	succeed(t, "inspect", path, "--plot", picture)
	image, err := png.Decode(bytes.NewReader([]byte(readFile(t, picture))))
	if err != nil || image.Bounds().Dx() < 500 {
		t.Errorf("%v, %v", image, err)
	}
	picture = filepath.Join(filepath.Dir(picture), "update.svg")
	succeed(t, "inspect", path, "--plot", picture)
	if svg := readFile(t, picture); !strings.Contains(svg, "step 1<") || !strings.Contains(svg, "step 50<") {
		t.Error("the picture does not name the steps")
	}
}

func TestImport(t *testing.T) {
	dir := t.TempDir()
	junk := filepath.Join(dir, "junk.l2l")
	if err := os.WriteFile(junk, []byte("cos\nsystem\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	fail(t, exitFailure, []string{"import", junk}, junk)
	if _, err := os.Stat(filepath.Join(dir, "junk.mopt")); err == nil {
		t.Error("a failed import left a file")
	}
	fail(t, exitFailure, []string{"import", filepath.Join(dir, "none.l2l")}, "none.l2l")
	fail(t, exitFailure, []string{"import", junk, "--out", junk}, "exists already", "--out")

	data, err := tasks.DataDir("")
	if err != nil {
		t.Skip(err)
	}
	published := filepath.Join(data, "published", "dm_aug.l2l")
	if _, err := os.Stat(published); err != nil {
		t.Skipf("no published optimizer: %v; %s names a folder that holds published/dm_aug.l2l", err, tasks.DataDirEnv)
	}
	out := filepath.Join(dir, "dm_aug.mopt")
	succeed(t, "import", published, "--out", out)
	if o, err := metaopt.Load(out); err != nil || o.Name() != "dm_aug" {
		t.Errorf("%+v, %v", o, err)
	}
	fail(t, exitUsage, []string{"compare", out}, out, "--task")
}
