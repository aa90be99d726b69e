package main

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/cobra"
)

// BenchmarkSave is what it takes to save a state, files synced, and how large it is. BenchmarkSave/…/step is the
// meta-step to compare it with.
func BenchmarkSave(b *testing.B) {
	for _, task := range []string{"quadratic-uniform", "mnist"} {
		f := newTrainFlags()
		cmd := &cobra.Command{Use: "meta-train"}
		f.add(cmd)
		if err := cmd.ParseFlags([]string{"--task", task}); err != nil {
			b.Fatal(err)
		}
		t, err := f.prepare(&app{stdout: io.Discard, stderr: io.Discard, quiet: true}, cmd.Flags().Changed)
		if err != nil {
			b.Logf("%s: %v", task, err)
			continue
		}
		t.dir, t.replaying = b.TempDir(), &replaying{out: io.Discard}
		if err := t.trainer.Step(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.Run(task+"/save", func(b *testing.B) {
			for b.Loop() {
				if err := t.save(); err != nil {
					b.Fatal(err)
				}
			}
			info, err := os.Stat(filepath.Join(t.dir, stateFile))
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
