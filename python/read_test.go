package python_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"learnedopt/internal/pythontest"
)

// Checks are errors: an assertion would not run under python -O.
func TestNoAssertions(t *testing.T) {
	files, err := filepath.Glob("*.py")
	if err != nil || len(files) < 4 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		program, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(program), "assert ") {
			t.Errorf("%s has an assertion", file)
		}
	}
}

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
	if !ok || !ends || !strings.Contains(shown, "def unpack(data)") || !strings.Contains(string(program), "\n"+shown) {
		t.Errorf("docs/format.md shows another reader than read_mopt.py:\n%s", shown)
	}
}

func TestReadMopt(t *testing.T) {
	python := pythontest.Find(t, "numpy", "python3-numpy")
	got := python.Run(t, "-W", "error::ResourceWarning", "read_mopt.py", filepath.Join(corpus, "sign_p.mopt"))
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
