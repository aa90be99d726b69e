package gemm

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// X Xᵀ·v = λv for the left vectors of square, wide and tall matrices, in the order of their λ.
func TestLeftVectors(t *testing.T) {
	for _, c := range []struct{ n, cols int }{{1, 1}, {2, 3}, {9, 9}, {40, 50}, {20, 3}} {
		rng, x := rand.New(rand.NewPCG(uint64(c.n), 1)), Of(make([]float32, c.n*c.cols), c.cols, c.n).T()
		for i := range x.Data {
			x.Data[i] = float32(rng.NormFloat64())
		}
		dst, last := make([]float32, c.n*c.n), math.Inf(1)
		new(QR).LeftVectors(dst, x)
		a := gram(x)
		for k := range c.n {
			product, value, norm := make([]float64, c.n), 0.0, 0.0
			for i := range c.n {
				for j := range c.n {
					product[i] += a[i*c.n+j] * float64(dst[j*c.n+k])
				}
				value += product[i] * float64(dst[i*c.n+k])
				norm += float64(dst[i*c.n+k]) * float64(dst[i*c.n+k])
			}
			for i := range c.n {
				if !(math.Abs(product[i]-value*float64(dst[i*c.n+k])) < 1e-4) {
					t.Errorf("%+v: vector %d is no eigenvector", c, k)
					break
				}
			}
			if !(math.Abs(norm-1) < 1e-5) || value > last+1e-4 {
				t.Errorf("%+v: vector %d has norm² %v, and the eigenvalue %v after %v", c, k, norm, value, last)
			}
			last = value
		}
	}
}

// Above 256 the basis is only near the eigenvectors: of a matrix whose singular values fall quickly it has nearly all on the diagonal.
func TestLeftVectorsOfLargeMatrices(t *testing.T) {
	const n, cols = 260, 12
	x, dst := Of(make([]float32, n*cols), n, cols), make([]float32, n*n)
	rng := rand.New(rand.NewPCG(3, 1))
	for i := range x.Data {
		x.Data[i] = float32(rng.NormFloat64() * math.Pow(2, -float64(i%cols)))
	}
	new(QR).LeftVectors(dst, x)
	diagonal, a := 0.0, gram(x)
	for k := range cols {
		value := 0.0
		for i := range n {
			for j := range n {
				value += float64(dst[i*n+k]) * a[i*n+j] * float64(dst[j*n+k])
			}
		}
		diagonal += value * value
	}
	if all := inner(a, a); !(diagonal > 0.999*all) {
		t.Errorf("the diagonal has %v of %v of the squares", diagonal, all)
	}
}

// The basis is orthogonal, and R = QᵀA is upper triangular, for sizes around the width of a block, tall matrices, and dependent columns. Errors are of the order of √n roundings of 6e-8.
func TestBasis(t *testing.T) {
	for _, c := range []struct{ n, cols, rank int }{{1, 1, 1}, {2, 2, 2}, {5, 3, 3}, {32, 32, 32}, {33, 33, 33}, {70, 65, 65}, {100, 40, 7}, {64, 64, 20}, {9, 4, 0}} {
		rng := rand.New(rand.NewPCG(uint64(c.n), uint64(c.cols)))
		a := make([]float32, c.n*c.cols)
		for range c.rank {
			u, v := make([]float32, c.n), make([]float32, c.cols)
			for i := range u {
				u[i] = float32(rng.NormFloat64())
			}
			for j := range v {
				v[j] = float32(rng.NormFloat64())
			}
			for i := range a {
				a[i] += u[i/c.cols] * v[i%c.cols]
			}
		}
		var q QR
		dst := make([]float32, c.n*c.n)
		for range 2 { // with the memory of the first time
			q.Basis(dst, slices.Clone(a), c.n, c.cols)
		}
		size := 1e-30
		for _, x := range a {
			size += float64(x) * float64(x)
		}
		size = math.Sqrt(size)
		for i := range c.n {
			for j := range c.n {
				sum := 0.0
				for k := range c.n {
					sum += float64(dst[k*c.n+i]) * float64(dst[k*c.n+j])
				}
				if i == j {
					sum--
				}
				if !(math.Abs(sum) < 2e-6) {
					t.Fatalf("%+v: columns %d and %d of the basis have the product %v too much", c, i, j, sum)
				}
			}
			for j := range min(i, c.cols) {
				sum := 0.0
				for k := range c.n {
					sum += float64(dst[k*c.n+i]) * float64(a[k*c.cols+j])
				}
				if !(math.Abs(sum) < 2e-6*size) {
					t.Fatalf("%+v: R has %v below its diagonal, at %d, %d", c, sum, i, j)
				}
			}
		}
	}
	defer func() {
		if recover() != errShape {
			t.Error("no panic for more columns than rows")
		}
	}()
	new(QR).Basis(make([]float32, 1), make([]float32, 2), 1, 2)
}
