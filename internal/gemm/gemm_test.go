package gemm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"learnedopt/internal/simd"
)

func TestMain(m *testing.M) {
	fmt.Printf("gemm: %s in use of %v\n", Default().Path, simd.Paths())
	os.Exit(m.Run())
}

// eachPath runs a test on every path of this CPU.
func eachPath(t *testing.T, test func(t *testing.T, k *Kernel)) {
	for _, path := range simd.Paths() {
		k := Select(path)
		if k.Path != path {
			t.Fatalf("path %s is %s", path, k.Path)
		}
		t.Run(path, func(t *testing.T) { test(t, k) })
	}
}

func random(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

func (x Matrix) at(i, j int) float64 { return float64(x.Data[i*x.RowStride+j*x.ColStride]) }

// layouts are the layouts that an r×c operand may have in memory: row-major,
// transposed, part of a wider matrix of either kind, and with gaps in both directions.
func layouts(rng *rand.Rand, r, c int) map[string]Matrix {
	all := map[string]Matrix{
		"rows":    {Rows: r, Cols: c, RowStride: c, ColStride: 1},
		"columns": {Rows: r, Cols: c, RowStride: 1, ColStride: r},
		"wide":    {Rows: r, Cols: c, RowStride: c + 5, ColStride: 1},
		"tall":    {Rows: r, Cols: c, RowStride: 1, ColStride: r + 3},
		"gaps":    {Rows: r, Cols: c, RowStride: 3 * c, ColStride: 2},
	}
	for name, x := range all {
		// The slice ends with the last element, so that Fits would see a longer shape.
		x.Data = random(rng, max(0, (r-1)*x.RowStride+(c-1)*x.ColStride+1))
		all[name] = x
	}
	return all
}

// check compares a product with float64. There are k products and k additions. Each has an error
// of at most 2⁻²⁴ of a number no larger than Σ|terms|, and a term is part of at most
// k + 1 of these numbers.
func check(t *testing.T, kern *Kernel, a, b Matrix, wide, offset int, acc bool, rng *rand.Rand, what string) {
	t.Helper()
	m, n, k := a.Rows, b.Cols, a.Cols
	const canary = 12345.5
	cr := n + wide
	buffer := random(rng, offset+m*cr+8)
	for i := range buffer {
		if at := i - offset; at < 0 || at >= m*cr || at%cr >= n {
			buffer[i] = canary
		}
	}
	before := append([]float32(nil), buffer...)
	c := Matrix{Data: buffer[offset:], Rows: m, Cols: n, RowStride: cr, ColStride: 1}
	kern.Mul(c, a, b, acc)
	for i, v := range buffer {
		at := i - offset
		if at < 0 || at >= m*cr || at%cr >= n {
			if v != canary {
				t.Fatalf("%s: wrote outside of C, at %d", what, at)
			}
			continue
		}
		row, col := at/cr, at%cr
		var want, size float64
		if acc {
			want = float64(before[i])
			size = math.Abs(want)
		}
		for p := range k {
			term := a.at(row, p) * b.at(p, col)
			want += term
			size += math.Abs(term)
		}
		if diff := math.Abs(float64(v) - want); !(diff <= float64(k+2)*0x1p-24*size) {
			t.Fatalf("%s: element (%d, %d) is %v, want %v", what, row, col, v, want)
		}
	}
}

func TestMulMatchesFloat64(t *testing.T) {
	eachPath(t, func(t *testing.T, k *Kernel) {
		rng := rand.New(rand.NewPCG(1, 1))
		for _, rows := range []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 15, 16, 17, 31} {
			for cols := range 70 {
				depth := rng.IntN(20)
				a, b := Of(random(rng, rows*depth), rows, depth), Of(random(rng, depth*cols), depth, cols)
				check(t, k, a, b, rng.IntN(3), rng.IntN(17), rng.IntN(2) == 0, rng, fmt.Sprintf("%d×%d×%d", rows, depth, cols))
			}
		}
	})
}

func TestMulLayouts(t *testing.T) {
	eachPath(t, func(t *testing.T, k *Kernel) {
		rng := rand.New(rand.NewPCG(2, 2))
		for _, size := range [][3]int{{9, 7, 20}, {20, 10, 33}, {1, 5, 1}, {3, depth + 1, 10}, {12, 2*depth + 100, 5}, {10, 3, 600}} {
			for an, a := range layouts(rng, size[0], size[1]) {
				for bn, b := range layouts(rng, size[1], size[2]) {
					for _, acc := range []bool{false, true} {
						check(t, k, a, b, 2, 3, acc, rng, fmt.Sprintf("%v, a %s, b %s, acc %v", size, an, bn, acc))
					}
				}
			}
		}
	})
}

func TestMulMNISTShapes(t *testing.T) {
	eachPath(t, func(t *testing.T, k *Kernel) {
		rng := rand.New(rand.NewPCG(3, 3))
		x, w, dz := Of(random(rng, 128*784), 128, 784), Of(random(rng, 784*20), 784, 20), Of(random(rng, 128*20), 128, 20)
		check(t, k, x, w, 0, 0, false, rng, "x·W")
		check(t, k, x.T(), dz, 0, 0, false, rng, "xᵀ·dz")
		check(t, k, dz, w.T(), 0, 0, false, rng, "dz·Wᵀ")
	})
}

// A product has the same bits whether it is computed element by
// element, row by row or at once.
func TestMulPartsHaveTheSameBits(t *testing.T) {
	eachPath(t, func(t *testing.T, k *Kernel) {
		rng := rand.New(rand.NewPCG(4, 4))
		const m, n, depth = 13, 45, 700
		a, b := Of(random(rng, m*depth), m, depth), Of(random(rng, depth*n), depth, n)
		whole, part := make([]float32, m*n), make([]float32, 1)
		k.Mul(Of(whole, m, n), a, b, false)
		for i := range m {
			for j := range n {
				k.Mul(Of(part, 1, 1), Of(a.Data[i*depth:], 1, depth), Matrix{b.Data[j:], depth, 1, n, 1}, false)
				if part[0] != whole[i*n+j] {
					t.Fatalf("element (%d, %d) alone is %v, with others %v", i, j, part[0], whole[i*n+j])
				}
			}
		}
	})
}

// Infinities and NaN reach only the elements that depend on them.
func TestMulNonFinite(t *testing.T) {
	eachPath(t, func(t *testing.T, k *Kernel) {
		rng := rand.New(rand.NewPCG(5, 5))
		inf, nan := float32(math.Inf(1)), float32(math.NaN())
		const m, n, depth = 9, 21, 4
		for _, bad := range []float32{inf, -inf, nan} {
			a, b, c := Of(random(rng, m*depth), m, depth), Of(random(rng, depth*n), depth, n), Of(make([]float32, m*n), m, n)
			for i := range a.Data {
				a.Data[i] = float32(1 + rng.IntN(3))
			}
			b.Data[2*n+20] = bad
			a.Data[8*depth+1] = bad
			b.Data[1*n+7] = 0
			k.Mul(c, a, b, false)
			for i := range m {
				for j := range n {
					finite := !math.IsInf(c.at(i, j), 0) && !math.IsNaN(c.at(i, j))
					if finite != (i != 8 && j != 20) {
						t.Fatalf("%v: element (%d, %d) is %v", bad, i, j, c.at(i, j))
					}
				}
			}
			if !math.IsNaN(c.at(8, 7)) {
				t.Errorf("%v·0 is %v", bad, c.at(8, 7))
			}
		}
	})
}

func TestMulPanics(t *testing.T) {
	ok := func(r, c int) Matrix { return Of(make([]float32, r*c), r, c) }
	short := ok(3, 4)
	short.Data = short.Data[:11]
	negative := ok(3, 4)
	negative.RowStride = -4
	for name, x := range map[string][3]Matrix{
		"rows":          {ok(2, 5), ok(3, 4), ok(4, 5)},
		"columns":       {ok(3, 6), ok(3, 4), ok(4, 5)},
		"inner":         {ok(3, 5), ok(3, 4), ok(3, 5)},
		"short a":       {ok(3, 5), short, ok(4, 5)},
		"short b":       {ok(2, 4), ok(2, 3), short},
		"short c":       {short, ok(3, 2), ok(2, 4)},
		"stride":        {ok(3, 5), negative, ok(4, 5)},
		"transposed c":  {ok(5, 3).T(), ok(3, 4), ok(4, 5)},
		"negative size": {ok(3, 5), ok(3, 4), Matrix{Rows: 4, Cols: -5}},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if got := recover(); got != errShape {
					t.Errorf("panicked with %v", got)
				}
			}()
			Default().Mul(x[0], x[1], x[2], false)
		})
	}
}

func TestMulAllocatesNothing(t *testing.T) {
	k := Default()
	a, b, c := Of(make([]float32, 600), 20, 30), Of(make([]float32, 600), 20, 30), Of(make([]float32, 400), 20, 20)
	if n := testing.AllocsPerRun(100, func() { k.Mul(c, a, b.T(), false) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Every byte gives the bits of the division, at all alignments and lengths.
func TestPixels(t *testing.T) {
	eachPath(t, func(t *testing.T, k *Kernel) {
		src := make([]byte, 600)
		for i := range src {
			src[i] = byte(i)
		}
		for offset := range 33 {
			for n := range 300 {
				if n > 70 && n < 256 && offset > 0 {
					continue
				}
				dst := make([]float32, n+40)
				for i := range dst {
					dst[i] = -1
				}
				k.Pixels(dst[offset%16:offset%16+n], src[offset:offset+n])
				for i, v := range dst {
					want := float32(-1)
					if at := i - offset%16; at >= 0 && at < n {
						want = float32(src[offset+at]) / 255
					}
					if v != want {
						t.Fatalf("offset %d, length %d: element %d is %v, want %v", offset, n, i, v, want)
					}
				}
			}
		}
	})
	defer func() {
		if got := recover(); got != errPixels {
			t.Errorf("panicked with %v", got)
		}
	}()
	Default().Pixels(make([]float32, 3), make([]byte, 4))
}

func BenchmarkPixels(b *testing.B) {
	dst, src := make([]float32, 128*784), make([]byte, 128*784)
	for _, path := range simd.Paths() {
		b.Run(path, func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			for b.Loop() {
				Select(path).Pixels(dst, src)
			}
		})
	}
}

func BenchmarkMul(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	x, w, dz := Of(random(rng, 128*784), 128, 784), Of(random(rng, 784*20), 784, 20), Of(random(rng, 128*20), 128, 20)
	z, dw, dx := Of(random(rng, 128*20), 128, 20), Of(random(rng, 784*20), 784, 20), Of(random(rng, 128*784), 128, 784)
	for _, path := range simd.Paths() {
		k := Select(path)
		for _, c := range []struct {
			name    string
			c, a, b Matrix
		}{{"forward", z, x, w}, {"weights", dw, x.T(), dz}, {"inputs", dx, dz, w.T()}} {
			b.Run(path+"/"+c.name, func(b *testing.B) {
				for b.Loop() {
					k.Mul(c.c, c.a, c.b, false)
				}
				b.ReportMetric(float64(2*c.a.Rows*c.a.Cols*c.b.Cols)*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
			})
		}
	}
}
