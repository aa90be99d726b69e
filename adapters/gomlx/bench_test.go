package gomlxopt

import (
	"testing"

	"github.com/gomlx/gomlx/pkg/core/dtypes"
	"github.com/gomlx/gomlx/pkg/core/shapes"
	"github.com/gomlx/gomlx/pkg/ml/train/optimizers"

	"learnedopt/adapters/gomlx/internal/cputime"
	"learnedopt/optimizer"
)

// BenchmarkUpdate measures one update of the 15,910 coordinates of the classifier of 784-20-10 units by
// the pretrained optimizer "mlp", once with its network as operations of GoMLX's pure-Go backend and
// once with the library's own kernels, and by GoMLX's Adam. It reports processor time, because machines are busy.
func BenchmarkUpdate(b *testing.B) {
	net := pretrained(b, "mlp")
	classifier := []shapes.Shape{
		shapes.Make(dtypes.Float32, 784, 20), shapes.Make(dtypes.Float32, 20), shapes.Make(dtypes.Float32, 20, 10), shapes.Make(dtypes.Float32, 10),
	}
	const n = 784*20 + 20 + 20*10 + 10
	grad := gradients(1, n)[0]
	for name, rule := range map[string]optimizers.Interface{"graph": New(net), "adam": optimizers.Adam().Done()} {
		b.Run(name, func(b *testing.B) {
			on := newBench(b, rule, classifier...)
			if err := on.step(grad); err != nil { // compiles
				b.Fatal(err)
			}
			defer reportCPU(b)()
			for b.Loop() {
				if err := on.step(grad); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("kernels", func(b *testing.B) {
		s, u := net.NewState(n), make([]float32, n)
		defer reportCPU(b)()
		for b.Loop() {
			s.Update(u, optimizer.Point{Grad: grad})
		}
	})
}

// reportCPU adds the processor time of an iteration to the results when the returned function is called.
func reportCPU(b *testing.B) func() {
	since := cputime.Used()
	return func() { b.ReportMetric(float64(cputime.Used()-since)/1e6/float64(b.N), "cpu-ms/op") }
}
