package metaopt_test

import (
	"testing"

	"learnedopt/metaopt"
	"learnedopt/optimizer"
)

// BenchmarkRun measures steps on 15,910 coordinates, the MLP on MNIST, for every form of the parameters.
func BenchmarkRun(b *testing.B) {
	const n = 15_910
	for _, name := range []string{"mlp", "quadratic-uniform"} {
		opt, err := metaopt.Pretrained(name)
		if err != nil {
			b.Fatal(err)
		}
		for _, w := range ways(n) {
			b.Run(name+"/"+w.name, func(b *testing.B) {
				k := w.start(opt.Start(optimizer.Flat(n)))
				for b.Loop() {
					if err := k.step(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/coordinate-step")
			})
		}
	}
}
