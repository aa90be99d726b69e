package layers

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gorgonia.org/tensor"
)

func random(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

// operands are r×c tensors of float32 with all the memory layouts that
// occur in a graph.
func operands(t *testing.T, rng *rand.Rand, r, c int) map[string]*tensor.Dense {
	transposed := tensor.New(tensor.WithShape(c, r), tensor.WithBacking(random(rng, r*c)))
	if err := transposed.T(); err != nil {
		t.Fatal(err)
	}
	wide := tensor.New(tensor.WithShape(r+2, c+3), tensor.WithBacking(random(rng, (r+2)*(c+3))))
	slice, err := wide.Slice(tensor.S(1, r+1), tensor.S(2, c+2))
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*tensor.Dense{
		"rows":       tensor.New(tensor.WithShape(r, c), tensor.WithBacking(random(rng, r*c))),
		"columns":    tensor.New(tensor.WithShape(r, c), tensor.AsFortran(random(rng, r*c))),
		"transposed": transposed,
		"slice":      slice.(*tensor.Dense),
	}
}

func at(t *testing.T, x *tensor.Dense, i, j int) float64 {
	t.Helper()
	v, err := x.At(i, j)
	if err != nil {
		t.Fatal(err)
	}
	return float64(v.(float32))
}

func TestEngineMatMul(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, size := range [][3]int{{5, 4, 3}, {20, 33, 10}, {2, 2, 2}, {3, 330, 33}} {
		m, k, n := size[0], size[1], size[2]
		for an, a := range operands(t, rng, m, k) {
			for bn, b := range operands(t, rng, k, n) {
				for _, order := range []string{"rows", "columns"} {
					c := operands(t, rng, m, n)[order]
					if err := (Engine{}).MatMul(a, b, c); err != nil {
						t.Fatal(err)
					}
					for i := range m {
						for j := range n {
							var want, size float64
							for p := range k {
								term := at(t, a, i, p) * at(t, b, p, j)
								want += term
								size += math.Abs(term)
							}
							if got := at(t, c, i, j); !(math.Abs(got-want) <= float64(k+1)*0x1p-24*size) {
								t.Fatalf("%v, a %s, b %s, c %s: element (%d, %d) is %v, want %v", size, an, bn, order, i, j, got, want)
							}
						}
					}
				}
			}
		}
	}
}

// Matrices of one row or column, and other number types, give the same results as Gorgonia's
// own engine.
func TestEngineMatMulLikeStdEng(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for _, size := range [][3]int{{1, 4, 1}, {5, 1, 3}, {1, 1, 1}, {6, 3, 1}, {1, 5, 7}} {
		for _, dtype := range []tensor.Dtype{tensor.Float32, tensor.Float64, tensor.Complex64} {
			build := func(r, c int) *tensor.Dense {
				x := tensor.New(tensor.WithShape(r, c), tensor.Of(dtype))
				for i := range r * c {
					switch v := float64(rng.IntN(19) - 9); dtype {
					case tensor.Float32:
						x.Float32s()[i] = float32(v)
					case tensor.Float64:
						x.Float64s()[i] = v
					default:
						x.Complex64s()[i] = complex(float32(v), 1)
					}
				}
				return x
			}
			a, b, got, want := build(size[0], size[1]), build(size[1], size[2]), build(size[0], size[2]), build(size[0], size[2])
			if err := (Engine{}).MatMul(a, b, got); err != nil {
				t.Fatal(err)
			}
			if err := (tensor.StdEng{}).MatMul(a, b, want); err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(got.Data()) != fmt.Sprint(want.Data()) { // small integers: exact
				t.Errorf("%v of %v: %v, want %v", size, dtype, got.Data(), want.Data())
			}
		}
	}
}

func TestEngineMatMulErrors(t *testing.T) {
	x := func(r, c int, d tensor.Dtype) *tensor.Dense { return tensor.New(tensor.WithShape(r, c), tensor.Of(d)) }
	if err := (Engine{}).MatMul(x(2, 3, tensor.Float32), x(3, 2, tensor.Float64), x(2, 2, tensor.Float32)); err == nil {
		t.Error("two number types are accepted")
	}
}
