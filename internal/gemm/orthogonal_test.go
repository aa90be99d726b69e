package gemm

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	"learnedopt/internal/simd"
)

// shapes are matrices of both orientations, a convolution whose outputs are between its other axes, and edges.
var shapes = []Axes{{1, 1, 1}, {1, 3, 5}, {5, 3, 1}, {2, 3, 4}, {7, 7, 1}, {1, 40, 90}, {90, 33, 1}, {1, 4, 0}}

func drawn[T simd.Float](n int, seed uint64) []T {
	rng := rand.New(rand.NewPCG(seed, 1))
	x := make([]T, n)
	for i := range x {
		x[i] = T(rng.NormFloat64())
	}
	return x
}

// quintic applies the iteration to a singular value.
func quintic(x float64) float64 {
	for range newtonSchulzSteps {
		x = 3.4445*x - 4.7750*x*x*x + 2.0315*x*x*x*x*x
	}
	return x
}

// TestOrthogonalizer compares the result with that of a singular value decomposition: the iteration acts on the singular
// values, and leaves the vectors as they are.
func TestOrthogonalizer(t *testing.T) {
	for _, axes := range shapes {
		n := axes.Len()
		if n == 0 {
			new(Orthogonalizer[float32]).Run(nil, nil, axes, 1)
			continue
		}
		src := drawn[float64](n, 3)
		at := func(c, j int) int { return (j/axes.After*axes.Outputs+c)*axes.After + j%axes.After }
		m := mat.NewDense(axes.Outputs, axes.Inputs(), nil)
		for c := range axes.Outputs {
			for j := range axes.Inputs() {
				m.Set(c, j, src[at(c, j)])
			}
		}
		var svd mat.SVD
		if !svd.Factorize(m, mat.SVDThin) {
			t.Fatal("no decomposition")
		}
		values, norm := svd.Values(nil), mat.Norm(m, 2)
		for i, s := range values {
			values[i] = 1.5 * quintic(s/norm)
		}
		var u, v, us, want mat.Dense
		svd.UTo(&u)
		svd.VTo(&v)
		us.Mul(&u, mat.NewDiagDense(len(values), values))
		want.Mul(&us, v.T())
		wide, got := make([]float64, n), make([]float32, n)
		new(Orthogonalizer[float64]).Run(wide, src, axes, 1.5)
		for i, x := range src {
			got[i] = float32(x)
		}
		var o Orthogonalizer[float32]
		o.Run(got, got, axes, 1.5)
		for c := range axes.Outputs {
			for j := range axes.Inputs() {
				w := want.At(c, j)
				if d := math.Abs(wide[at(c, j)] - w); !(d < 1e-10) {
					t.Errorf("%v: element (%d, %d) is %v, want %v", axes, c, j, wide[at(c, j)], w)
				}
				if d := math.Abs(float64(got[at(c, j)]) - w); !(d < 2e-3) {
					t.Errorf("%v: element (%d, %d) is %v in float32, want %v", axes, c, j, got[at(c, j)], w)
				}
			}
		}
		if a := testing.AllocsPerRun(5, func() { o.Run(got, got, axes, 1) }); a != 0 {
			t.Errorf("%v: Run allocates %v times", axes, a)
		}
	}
}

// TestOrthogonalizerAdjoint compares the adjoint with central differences, and float32 with float64.
func TestOrthogonalizerAdjoint(t *testing.T) {
	for _, axes := range shapes {
		n := axes.Len()
		src, seed, d := drawn[float64](n, 3), drawn[float64](n, 4), make([]float64, n)
		for i := range src {
			src[i] *= 1e-3
		}
		var o Orthogonalizer[float64]
		o.Adjoint(d, seed, src, axes, 1.5)
		value := func() float64 {
			y, sum := make([]float64, n), 0.0
			o.Run(y, src, axes, 1.5)
			for i, v := range y {
				sum += v * seed[i]
			}
			return sum
		}
		largest := 0.0
		for _, v := range d {
			largest = max(largest, math.Abs(v))
		}
		for i := 0; i < n; i += max(1, n/50) {
			const h = 1e-9
			x := src[i]
			src[i] = x + h
			up := value()
			src[i] = x - h
			down := value()
			src[i] = x
			if want := (up - down) / (2 * h); !(math.Abs(d[i]-want) <= 1e-4*largest+1e-3) {
				t.Errorf("%v: adjoint of element %d is %v, want %v", axes, i, d[i], want)
			}
		}
		narrow, ns := make([]float32, n), make([]float32, n)
		for i := range src {
			narrow[i], ns[i] = float32(src[i]), float32(seed[i])
		}
		new(Orthogonalizer[float32]).Adjoint(narrow, ns, narrow, axes, 1.5)
		for i, v := range narrow {
			if !(math.Abs(float64(v)-d[i]) <= 1e-2*largest) {
				t.Errorf("%v: adjoint of element %d is %v in float32, want %v", axes, i, v, d[i])
			}
		}
	}
}
