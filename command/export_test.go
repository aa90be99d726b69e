package command

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"learnedopt/checkpoints"
	"learnedopt/checkpoints/exchange"
	"learnedopt/metaopt"
)

// Export and import give the same file, byte for byte: weights, configuration and provenance. A file without a name gets none.
func TestExportAndImport(t *testing.T) {
	nameless := trained(t, "--inputs", "logsign+rnnprop+clock", "--p", "10", "--sign-p", "5", "--readout", "exp", "--anneal", "7")
	shipped, err := metaopt.Pretrained("mlp")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	mlp := filepath.Join(dir, "mlp.mopt")
	if err := metaopt.Save(mlp, shipped); err != nil {
		t.Fatal(err)
	}
	for path, original := range map[string]string{nameless: nameless, "pretrained:mlp": mlp} {
		for _, format := range exchange.Formats() {
			// The extension is misleading: only the content counts.
			out, back := filepath.Join(t.TempDir(), "x.l2l"), filepath.Join(t.TempDir(), "back.mopt")
			if a := succeed(t, "export", path, "--format", string(format), "--out", out); !strings.Contains(a.stdout, out) {
				t.Errorf("export says %q", a.stdout)
			}
			// It names the command that compares on the file's own task.
			if text := succeed(t, "import", out, "--out", back).stdout; !strings.HasSuffix(text, "metaopt compare "+back+"\n") {
				t.Errorf("import says %q", text)
			}
			if readFile(t, back) != readFile(t, original) {
				t.Errorf("%s is not the same after a way through %s", path, format)
			}
			succeed(t, "import", out, "--name", "renamed", "--out", back+"2")
			if o, err := metaopt.Load(back + "2"); err != nil || o.Name() != "renamed" {
				t.Errorf("%+v, %v", o, err)
			}
		}
	}
}

func TestExportWritesBeside(t *testing.T) {
	path := trained(t)
	succeed(t, "export", path, "--format", "flax-msgpack")
	out := strings.TrimSuffix(path, ".mopt") + ".msgpack"
	first := readFile(t, out)
	fail(t, exitFailure, []string{"export", path, "--format", "flax-msgpack"}, out+" exists already", "--out")
	fail(t, exitFailure, []string{"export", path, "--format", "npz", "--out", out}, "exists already")
	if readFile(t, out) != first {
		t.Error("the file was overwritten")
	}
	t.Chdir(t.TempDir())
	succeed(t, "export", "pretrained:quadratic", "--format", "npz")
	if _, err := os.Stat("quadratic.npz"); err != nil {
		t.Error(err)
	}
	fail(t, exitFailure, []string{"export", "none.mopt", "--format", "npz"}, "there is no file none.mopt")
	fail(t, exitFailure, []string{"export", path, "--format", "npz", "--out", "none/x.npz"}, "there is no folder none")
}

func TestImportExplains(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	o, err := metaopt.Pretrained("quadratic")
	if err != nil {
		t.Fatal(err)
	}
	var mopt bytes.Buffer
	if err := metaopt.Write(&mopt, o); err != nil {
		t.Fatal(err)
	}
	content := func(change func(f *checkpoints.File), format exchange.Format) []byte {
		f, err := o.File()
		if err != nil {
			t.Fatal(err)
		}
		change(f)
		data, err := exchange.Marshal(f, format)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	whole := content(func(*checkpoints.File) {}, exchange.SafeTensors)
	for _, c := range []struct {
		name  string
		data  []byte
		words []string
	}{
		{"a.npz", mopt.Bytes(), []string{"it is a .mopt file; every command reads it as it is"}},
		{"b.npz", []byte("nonsense"), []string{"it is not an npz, safetensors or msgpack file"}},
		{"c.npz", nil, []string{"it is not an npz, safetensors or msgpack file"}},
		{"d.npz", whole[:len(whole)-1], []string{"bad safetensors: tensor \"readout/b\"", "; "}},
		{"e.l2l", content(func(f *checkpoints.File) { f.Kind = "other" }, exchange.NPZ), []string{`holds a "other"; an optimizer's is "lstm-optimizer"`}},
		{"f.l2l", content(func(f *checkpoints.File) { f.Tensors = f.Tensors[1:] }, exchange.FlaxMsgpack), []string{`tensor "lstm1/w" is missing; keep tensors`}},
		{"g.l2l", content(func(f *checkpoints.File) { f.Tensors[1].Shape = []int{80, 1} }, exchange.NPZ), []string{`tensor "lstm1/b" is float32[80 1], want float32[80]; keep`}},
	} {
		path := write(c.name, c.data)
		out := filepath.Join(dir, "out.mopt")
		fail(t, exitFailure, []string{"import", path, "--out", out}, append(c.words, path)...)
		if _, err := os.Stat(out); err == nil {
			t.Fatalf("%s: a failed import left a file", c.name)
		}
	}
}
