package python_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"learnedopt/internal/pythontest"
)

// docs/format.md shows the reader in this folder.
func TestTheDocumentShowsTheReader(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "docs", "format.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(doc), "```python\n")
	shown, _, ends := strings.Cut(rest, "```")
	program, err := os.ReadFile("read_mopt.py")
	if err != nil {
		t.Fatal(err)
	}
	if !ok || !ends || !strings.Contains(shown, "def load(path)") || !strings.Contains(string(program), "\n"+shown) {
		t.Errorf("docs/format.md shows another reader than read_mopt.py:\n%s", shown)
	}
}

func TestReadMopt(t *testing.T) {
	python := pythontest.Find(t, "msgpack, numpy", "python3-msgpack and python3-numpy")
	got := python.Run(t, "read_mopt.py", filepath.Join(corpus, "sign_p.mopt"))
	for _, want := range []string{
		"config.sign_p: 3.5\n", "config.p: 10.0\n", "config.inputs: 'logsign'\n", "config.hidden: 5\n", "config.scale: 0.1\n",
		"provenance.seed: 18446744073709551615\n", "provenance.name: 'sign_p'\n",
		"lstm1/w: float32[7, 20]\nlstm1/b: float32[20]\nlstm2/w: float32[10, 20]\n", "readout/b: float32[1]\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("read_mopt.py does not print %q:\n%s", want, got)
		}
	}
}
