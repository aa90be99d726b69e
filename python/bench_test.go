//go:build unix

package python_test

import (
	"syscall"
	"testing"

	"learnedopt/internal/stream"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
)

// BenchmarkUpdate is bench.py's measurement in Go. cpu-ns/op is processor time, as in bench.py.
func BenchmarkUpdate(b *testing.B) {
	opt, err := metaopt.Pretrained("mlp")
	if err != nil {
		b.Fatal(err)
	}
	theta, grad := make([]float32, 15910), make([]float32, 15910)
	rng := stream.New(0, "bench", 0)
	for i := range grad {
		grad[i] = float32(rng.NormFloat64())
	}
	run := opt.Start(optimizer.Flat(len(theta)))
	step := func() {
		if err := run.Step(theta, grad); err != nil {
			b.Fatal(err)
		}
	}
	step()
	b.ReportAllocs()
	begin := processorTime(b)
	for b.Loop() {
		step()
	}
	b.ReportMetric(float64(processorTime(b)-begin)/float64(b.N), "cpu-ns/op")
}

// processorTime returns the processor time of the process so far, in nanoseconds.
func processorTime(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
