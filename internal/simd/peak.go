package simd

import (
	"runtime"
	"sync"
	"time"
)

// Peak measures the highest rate of float32 multiply-adds of this machine with
// the instructions of k's path, in GFLOP/s. Each of the given number of workers
// runs sixteen independent chains of FMAs in registers, without memory, for
// about the time d. An FMA counts as two operations.
func Peak(k *Kernels[float32], workers int, d time.Duration) float64 {
	const slice = 1 << 14
	var wg sync.WaitGroup
	rate := make([]float64, workers)
	k.chains(slice)
	for w := range rate {
		wg.Go(func() {
			n := 0
			start := time.Now()
			for time.Since(start) < d {
				k.chains(slice)
				n += slice
			}
			rate[w] = float64(n) * 16 * float64(2*k.width) / float64(time.Since(start))
		})
	}
	wg.Wait()
	sum := 0.0
	for _, r := range rate {
		sum += r
	}
	return sum
}

// fmaChains is the twin of the assembly: it uses a scalar multiplication and an
// addition instead of an FMA.
func fmaChains(n int) {
	x := float32(-0.5)
	a, b, c, d, e, f, g, h := x, x, x, x, x, x, x, x
	for range 2 * n {
		a, b, c, d = a+a*a, b+b*b, c+c*c, d+d*d
		e, f, g, h = e+e*e, f+f*f, g+g*g, h+h*h
	}
	runtime.KeepAlive(a + b + c + d + e + f + g + h)
}
