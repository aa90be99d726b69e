package runfolder

import (
	"os"
	"path/filepath"
	"testing"

	"learnedopt/recipe"
)

// BenchmarkSave measures the time to save a state, with synced files, and its size. BenchmarkSave/…/step is a meta-step, for
// comparison.
func BenchmarkSave(b *testing.B) {
	for _, task := range []string{"quadratic-uniform", "mnist"} {
		r, err := recipe.Recipe{}.With(recipe.Setting{Name: "task", Text: task})
		if err != nil {
			b.Fatal(err)
		}
		t, err := New(r, recipe.Local{}, DefaultSettings(), nil)
		if err != nil {
			b.Logf("%s: %v", task, err)
			continue
		}
		t.dir, t.replaying = b.TempDir(), &replayer{}
		if err := t.trainer.Step(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.Run(task+"/save", func(b *testing.B) {
			for b.Loop() {
				if err := t.save(); err != nil {
					b.Fatal(err)
				}
			}
			info, err := os.Stat(filepath.Join(t.dir, StateFile))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(info.Size()), "bytes")
		})
		b.Run(task+"/step", func(b *testing.B) {
			for b.Loop() {
				if err := t.trainer.Step(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
		t.trainer.Close()
	}
}
