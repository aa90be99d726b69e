package layers

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gorgonia.org/tensor"
)

// softmax64 returns the softmax of one row in float64.
func softmax64(row []float32) (p []float64, log float64) {
	sum, top := 0.0, float64(slices.Max(row))
	for _, v := range row {
		p = append(p, math.Exp(float64(v)-top))
		sum += p[len(p)-1]
	}
	for j := range p {
		p[j] /= sum
	}
	return p, top + math.Log(sum)
}

func dense(data []float32, shape ...int) *tensor.Dense {
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))
}

// Gorgonia's own engine is wrong for rows of very different size.
func TestSoftMax(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, shape := range [][]int{{7}, {1, 5}, {5, 1}, {6, 10}, {3, 4, 5}} {
		width, size := shape[len(shape)-1], tensor.Shape(shape).TotalSize()
		for _, axis := range []int{-1, len(shape) - 1} {
			x, d := random(rng, size), random(rng, size)
			for i := range x {
				x[i] += []float32{0, 3000, -3000}[i/width%3]
			}
			check := func(name string, got tensor.Tensor, err error, want func(p []float64, log float64, x, d []float32, j int) float64) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
				data := got.Data().([]float32)
				if len(data) != size || !got.Shape().Eq(tensor.Shape(shape)) {
					t.Fatalf("%s of %v has shape %v", name, shape, got.Shape())
				}
				for at := 0; at < size; at += width {
					p, log := softmax64(x[at : at+width])
					for j := range width {
						w := want(p, log, x[at:at+width], d[at:at+width], j)
						if v := float64(data[at+j]); !(math.Abs(v-w) <= 1e-6*(1+math.Abs(w))) {
							t.Fatalf("%s of %v, axis %d: element %d is %v, want %v", name, shape, axis, at+j, v, w)
						}
					}
				}
			}
			softmax := func(p []float64, _ float64, _, _ []float32, j int) float64 { return p[j] }
			logSoftmax := func(_ []float64, log float64, x, _ []float32, j int) float64 { return float64(x[j]) - log }
			y, err := Engine{}.SoftMax(dense(x, shape...), axis)
			check("SoftMax", y, err, softmax)
			logY, err := Engine{}.LogSoftMax(dense(x, shape...), axis)
			check("LogSoftMax", logY, err, logSoftmax)

			dy := dense(slices.Clone(d), shape...)
			dx, err := Engine{}.SoftMaxB(y, dy, axis)
			check("SoftMaxB", dx, err, func(p []float64, _ float64, _, d []float32, j int) float64 {
				sum := 0.0
				for i, q := range p {
					sum += q * float64(d[i])
				}
				return p[j] * (float64(d[j]) - sum)
			})
			logB := func(p []float64, _ float64, _, d []float32, j int) float64 {
				sum := 0.0
				for _, v := range d {
					sum += float64(v)
				}
				return float64(d[j]) - p[j]*sum
			}
			dx, err = Engine{}.LogSoftMaxB(logY, dy, axis)
			check("LogSoftMaxB", dx, err, logB)

			// The result is in the given memory, which may be the input's memory.
			dx, err = Engine{}.LogSoftMaxB(logY, dy, axis, tensor.WithReuse(dy), tensor.UseUnsafe())
			if dx != tensor.Tensor(dy) {
				t.Error("the tensor to be used again was not used")
			}
			check("LogSoftMaxB in place", dx, err, logB)
			in := dense(slices.Clone(x), shape...)
			y, err = Engine{}.LogSoftMax(in, axis, tensor.WithReuse(in), tensor.UseUnsafe())
			check("LogSoftMax in place", y, err, logSoftmax)
		}
	}
}

// Other axes and number types are left to Gorgonia.
func TestSoftMaxLikeStdEng(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	x := dense(random(rng, 12), 3, 4)
	y := tensor.New(tensor.WithShape(3, 4), tensor.Of(tensor.Float64))
	for i := range y.Float64s() {
		y.Float64s()[i] = rng.Float64()
	}
	for _, c := range []struct {
		x    *tensor.Dense
		axis int
	}{{x, 0}, {y, 0}, {y, 1}} {
		got, err := Engine{}.SoftMax(c.x, c.axis)
		if err != nil {
			t.Fatal(err)
		}
		want, err := tensor.StdEng{}.SoftMax(c.x, c.axis)
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got.Data()) != fmt.Sprint(want.Data()) {
			t.Errorf("axis %d of %v: %v, want %v", c.axis, c.x.Dtype(), got.Data(), want.Data())
		}
	}
	if _, err := (Engine{}).SoftMaxB(x, dense(random(rng, 12), 4, 3), 1); err == nil {
		t.Error("two shapes are accepted")
	}
}
