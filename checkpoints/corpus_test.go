package checkpoints

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var add = flag.Bool("add", false, "write files that the corpus lacks; files that are there are never changed")

// Every later version must read the corpus. As long as Version is 1,
// writing the corpus' content must also give its bytes.
func TestCorpus(t *testing.T) {
	recipe := full(t)
	recipe.Provenance.Recipe = `{"defaults":2,"meta_steps":1000,"seed":18446744073709551615}`
	for name, f := range map[string]*File{"v1-full.mopt": full(t), "v1-minimal.mopt": minimal(), "v1-recipe.mopt": recipe} {
		path := filepath.Join("testdata", name)
		if _, err := os.Stat(path); *add && os.IsNotExist(err) {
			if err := Save(path, f); err != nil {
				t.Fatal(err)
			}
		}
		got, err := Load(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if d := cmp.Diff(f, got, sameBits); d != "" {
			t.Errorf("%s (-want +read):\n%s", name, d)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(data, bytesOf(t, f)) {
			t.Errorf("%s: writing its content no longer gives its bytes; raise Version", name)
		}
	}
}

func TestCorpusOfOthers(t *testing.T) {
	got, err := Load(filepath.Join("testdata", "v1-python.mopt"))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(pythonFile(t), got, sameBits); d != "" {
		t.Error(d)
	}
}
