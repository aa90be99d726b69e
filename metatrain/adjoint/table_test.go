package adjoint_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"learnedopt/internal/stream"
	"learnedopt/lstm"
	"learnedopt/metaopt"
	"learnedopt/metatrain"
	"learnedopt/metatrain/adjoint"
	"learnedopt/tasks"
)

// BenchmarkTruncation measures the tables of docs/truncation.md and prints them:
//
//	go test ./metatrain/adjoint -run '^$' -bench Truncation -benchtime 1x
func BenchmarkTruncation(b *testing.B) {
	raw := lstm.Config{Inputs: lstm.Raw, Scale: 1}
	both := lstm.Config{Inputs: lstm.LogAndSign | lstm.RNNProp}
	for _, c := range []struct {
		task, network string
		steps         int
		episodes      int
		net           func(b *testing.B) *lstm.Network
	}{
		{"quadratic-uniform", "random, raw inputs", 100, 8, random(raw)},
		{"quadratic-uniform", "trained, raw inputs", 100, 8, trained(raw)},
		{"quadratic-uniform by differences", "trained, raw inputs", 100, 8, trained(raw)},
		{"mnist", "random, logsign+rnnprop", 100, 2, random(both)},
		{"mnist", "published dm_aug", 20, 32, published("dm_aug.l2l")},
		{"mnist by differences", "published dm_aug", 20, 32, published("dm_aug.l2l")},
		{"mnist", "published dm_aug", 100, 8, published("dm_aug.l2l")},
	} {
		b.Run(c.task+"/"+c.network, func(b *testing.B) {
			name, differences := strings.CutSuffix(c.task, " by differences")
			if name == "mnist" && os.Getenv("METAOPT_DATA") == "" {
				b.Skip("set METAOPT_DATA to a folder with mnist/")
			}
			family, err := tasks.New(name, tasks.Options{})
			if err != nil {
				b.Fatal(err)
			}
			net := c.net(b)
			b.ResetTimer()
			for range b.N {
				report, err := adjoint.Check(b.Context(), adjoint.CheckConfig{Family: family, Network: net, Steps: c.steps, Episodes: c.episodes, Differences: differences})
				if err != nil {
					b.Fatal(err)
				}
				fmt.Printf("\n%s on %s", c.network, table(report)) // b.Log would truncate it
			}
		})
	}
}

// table writes a report as Markdown.
func table(r *adjoint.Report) string {
	out := fmt.Sprintf("%s: %d steps, %d episodes, %d left out\n\n", r.Task, r.Steps, r.Episodes, r.LeftOut) +
		"| K | first order: norm | cosine | of single episodes | second derivatives: norm | cosine | of single episodes |\n|---|---|---|---|---|---|---|\n"
	for _, row := range r.Unrolls {
		out += fmt.Sprintf("| %d | %s | %s |\n", row.Unroll, cells(row.FirstOrder), cells(row.SecondDerivatives))
	}
	return out + fmt.Sprintf("| nudged | | | | %s |\n", cells(r.Nudged))
}

func cells(a adjoint.Agreement) string {
	low, high := slices.Min(a.EpisodeCosines), slices.Max(a.EpisodeCosines)
	return fmt.Sprintf("%.3g | %.3f | %.2f … %.2f", float64(a.Norm), float64(a.Cosine), float64(low), float64(high))
}

func random(cfg lstm.Config) func(b *testing.B) *lstm.Network {
	return func(b *testing.B) *lstm.Network {
		net, err := lstm.Init{}.Random(cfg, stream.New(1, "init", 0))
		if err != nil {
			b.Fatal(err)
		}
		return net
	}
}

// trained is a random network after 500 meta-steps with windows of 20.
func trained(cfg lstm.Config) func(b *testing.B) *lstm.Network {
	return func(b *testing.B) *lstm.Network {
		tr, err := metatrain.NewTrainer(metatrain.TrainConfig{
			Family: tasks.QuadraticUniform{}, Initial: random(cfg)(b), MetaSteps: 500, Seed: 1,
		})
		if err != nil {
			b.Fatal(err)
		}
		opt, err := tr.Train(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		b.Logf("trained: %+v", opt.Provenance)
		return opt.Network
	}
}

// published is an optimizer published by Chen et al. 2020.
func published(file string) func(b *testing.B) *lstm.Network {
	return func(b *testing.B) *lstm.Network {
		f, err := os.Open(filepath.Join(os.Getenv("METAOPT_DATA"), "published", file))
		if err != nil {
			b.Skip(err)
		}
		defer f.Close()
		opt, err := metaopt.ImportL2L(f)
		if err != nil {
			b.Fatal(err)
		}
		return opt.Network
	}
}
