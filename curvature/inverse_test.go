package curvature

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// gram returns a symmetric n × n matrix XᵀX/rows of normal numbers, of rank min(n, rows).
func gram(seed uint64, n, rows int) []float32 {
	rng := rand.New(rand.NewPCG(seed, 1))
	x, a := make([]float64, rows*n), make([]float32, n*n)
	for i := range x {
		x[i] = rng.NormFloat64()
	}
	for i := range n {
		for j := range n {
			sum := 0.0
			for r := range rows {
				sum += x[r*n+i] * x[r*n+j]
			}
			a[i*n+j] = float32(sum / float64(rows))
		}
	}
	return a
}

// (A + γI)(A + γI)⁻¹ = I for sizes around the size of a block, also for a singular A. The error of a float32 inverse is of the order of n·6e-8 times the
// condition number, here up to some hundred.
func TestInverse(t *testing.T) {
	for _, n := range []int{1, 2, 63, 64, 65, 128, 150} {
		for _, rows := range []int{2 * n, n/2 + 1} {
			a, dst := gram(uint64(n), n, rows), make([]float32, n*n)
			was := slices.Clone(a)
			if !newInverter(160).invert(dst, a, n, 0.05) {
				t.Fatalf("n = %d, rank %d: not positive definite", n, rows)
			}
			if !slices.Equal(a, was) {
				t.Errorf("n = %d: the matrix changed", n)
			}
			worst := 0.0
			for i := range n {
				for j := range n {
					sum := 0.0
					for k := range n {
						x := float64(a[i*n+k])
						if i == k {
							x += 0.05
						}
						sum += x * float64(dst[k*n+j])
					}
					if i == j {
						sum--
					}
					worst = max(worst, math.Abs(sum))
				}
			}
			if !(worst <= 2e-4) {
				t.Errorf("n = %d, rank %d: the product is %.2g from the identity", n, rows, worst)
			}
		}
	}
}

func TestInverseRefuses(t *testing.T) {
	v, dst := newInverter(100), make([]float32, 100*100)
	a := gram(1, 100, 300)
	for name, change := range map[string]func(){
		"indefinite": func() { a[99*100+99] = -1 }, "NaN": func() { a[70*100+3] = float32(math.NaN()) }, "infinite": func() { a[70*100+70] = float32(math.Inf(1)) },
		"0": func() { clear(a) },
	} {
		was := slices.Clone(a)
		change()
		if v.invert(dst, a, 100, 0) {
			t.Errorf("%s: inverted", name)
		}
		copy(a, was)
	}
	if !v.invert(dst, a, 100, 0) {
		t.Error("refuses a good matrix after bad ones")
	}
}

func BenchmarkInverse(b *testing.B) {
	for _, n := range []int{129, 785} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			a, dst, v := gram(1, n, n+5), make([]float32, n*n), newInverter(n)
			b.ResetTimer()
			began := time.Now()
			for b.Loop() {
				v.invert(dst, a, n, 0.01)
			}
			b.ReportMetric(float64(b.N)*math.Pow(float64(n), 3)/time.Since(began).Seconds()/1e9, "n³/ns")
		})
	}
}
