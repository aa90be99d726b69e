package simd

import (
	"fmt"
	"testing"
	"time"
)

// eachPath runs a benchmark for every path of this CPU.
func eachPath(b *testing.B, f func(b *testing.B, k *Kernels[float32])) {
	for _, k := range available() {
		b.Run(k.Path, func(b *testing.B) { f(b, k) })
	}
}

// gflops reports the rate of a benchmark whose every iteration does flops.
func gflops(b *testing.B, flops int) {
	b.ReportMetric(float64(flops)*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
}

func ramp(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(i%37)/16 - 1
	}
	return x
}

func BenchmarkMatMul(b *testing.B) {
	for _, s := range []struct{ m, k, lda int }{{80, 22, 80}, {80, 40, 80}, {20, 80, 22}, {40, 80, 40}, {1, 20, 1}, {20, 1, 20}} {
		b.Run(fmt.Sprintf("%dx%d", s.m, s.k), func(b *testing.B) {
			eachPath(b, func(b *testing.B, k *Kernels[float32]) {
				c, a, x, bias := ramp(s.m*Lanes), ramp(s.k*s.lda), ramp(s.k*Lanes), ramp(s.m)
				for b.Loop() {
					k.MatMul(c, a, x, bias, s.lda, s.m, s.k, false)
				}
				gflops(b, 2*s.m*s.k*Lanes)
			})
		})
	}
}

// tuned is the number of hidden units of the paper's network.
const tuned = 20

// BenchmarkCell applies Cell to its own result, so that z converges to the activations' fixed points.
func BenchmarkCell(b *testing.B) {
	eachPath(b, func(b *testing.B, k *Kernels[float32]) {
		n := tuned * Lanes
		z, prev, c, tc, h, h2 := ramp(4*n), ramp(n), ramp(n), ramp(n), ramp(n), ramp(n)
		for b.Loop() {
			k.Cell(z, prev, c, tc, h, h2, tuned)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/unit")
	})
}

func BenchmarkELU(b *testing.B) {
	n := tuned * Lanes
	x, dx := ramp(n), ramp(n)
	b.Run("ELU", func(b *testing.B) {
		eachPath(b, func(b *testing.B, k *Kernels[float32]) {
			for b.Loop() {
				k.ELU(x, tuned)
			}
		})
	})
	b.Run("ELUAdjoint", func(b *testing.B) {
		eachPath(b, func(b *testing.B, k *Kernels[float32]) {
			for b.Loop() {
				k.ELUAdjoint(dx, dx, x, tuned)
			}
		})
	})
}

// BenchmarkCellAdjoint copies z and dc before each call, because they would otherwise become
// subnormal numbers. The copies are 12 KiB and a third of the time.
func BenchmarkCellAdjoint(b *testing.B) {
	eachPath(b, func(b *testing.B, k *Kernels[float32]) {
		n := tuned * Lanes
		z, from, c, tc, dh, dc := ramp(4*n), ramp(4*n), ramp(n), ramp(n), ramp(n), ramp(n)
		for b.Loop() {
			copy(z, from)
			copy(dc, from)
			k.CellAdjoint(z, c, tc, dh, dc, tuned)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/unit")
	})
}

func BenchmarkOuter(b *testing.B) {
	const steps, m, stride = 20, 4 * tuned, 367 * Lanes
	for _, k := range []int{tuned + 3, 2*tuned + 1} {
		b.Run(fmt.Sprintf("%dx%d", k, m), func(b *testing.B) {
			eachPath(b, func(b *testing.B, ker *Kernels[float32]) {
				rec, dw := ramp(steps*stride), make([]float32, k*m*ker.Parts)
				for b.Loop() {
					ker.Outer(dw, rec, rec[k*Lanes:], k, m, steps, stride)
				}
				gflops(b, 2*k*m*Lanes*steps)
			})
		})
	}
}

func BenchmarkDrain(b *testing.B) {
	const n = 5141
	eachPath(b, func(b *testing.B, k *Kernels[float32]) {
		sum, dw := make([]float64, n), make([]float32, n*k.Parts)
		for b.Loop() {
			k.Drain(sum, dw)
		}
	})
}

func BenchmarkInputs(b *testing.B) {
	x, g, m, v := ramp(2*Lanes), ramp(Lanes), ramp(Lanes), make([]float32, Lanes)
	b.Run("LogAndSign", func(b *testing.B) {
		eachPath(b, func(b *testing.B, k *Kernels[float32]) {
			for b.Loop() {
				k.LogAndSign(x, g, 5, 148.41316)
			}
		})
	})
	b.Run("RNNProp", func(b *testing.B) {
		eachPath(b, func(b *testing.B, k *Kernels[float32]) {
			for b.Loop() {
				k.RNNProp(x, g, m, v, m, v, 0.95, 0.05, 2, 1e-8)
			}
		})
	})
}

func BenchmarkMomenta(b *testing.B) {
	x, n, g, m, corr := ramp(MomentaRows*Lanes), ramp((Directions+1)*Lanes), ramp(Lanes), ramp(Moments*Lanes), ramp(Moments)
	for i := range m {
		m[i] *= m[i]
	}
	for i := range corr {
		corr[i] = 1
	}
	y, z, dz, dn, dg, dm := ramp(Lanes), ramp((Mixed+1)*Lanes), ramp((Mixed+1)*Lanes), ramp(Directions*Lanes), ramp(Lanes), ramp(Moments*Lanes)
	var sum [SumRows]float64
	for _, c := range []struct {
		name string
		run  func(k *Kernels[float32])
	}{
		{"Momenta", func(k *Kernels[float32]) { k.Momenta(x, n, g, m, m, corr, 1) }},
		{"MomentaAdjoint", func(k *Kernels[float32]) { k.MomentaAdjoint(dg, x, dn, n, g, m, dm, corr, 1) }},
		{"Mix", func(k *Kernels[float32]) {
			clear(z[Mixed*Lanes:]) // E of E of E … would overflow
			k.Mix(y, z, n)
		}},
		{"MixAdjoint", func(k *Kernels[float32]) { k.MixAdjoint(dz, dn, g, y, z, n) }},
		{"Sums", func(k *Kernels[float32]) { k.Sums(&sum, g, y, x, m) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			eachPath(b, func(b *testing.B, k *Kernels[float32]) {
				for b.Loop() {
					c.run(k)
				}
			})
		})
	}
}

func BenchmarkPeak(b *testing.B) {
	for _, workers := range []int{1, 2} {
		b.Run(fmt.Sprint(workers), func(b *testing.B) {
			eachPath(b, func(b *testing.B, k *Kernels[float32]) {
				sum := 0.0
				for b.Loop() {
					sum += Peak(k, workers, 10*time.Millisecond)
				}
				b.ReportMetric(sum/float64(b.N), "GFLOP/s")
				b.ReportMetric(0, "ns/op")
			})
		})
	}
}
