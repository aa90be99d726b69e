package curvature

import (
	"math"

	"learnedopt/internal/gemm"
	"learnedopt/optimizer"
)

// A dense is one layer: weights and bias together are a matrix of in × out numbers in θ, where in counts the bias.
type dense struct {
	at, in, out int
	// a and g are A and G, of which the lower halves count.
	a, g []float32
	// gi is the inverse of G, and ai that of A. If rank is not 0, there is z in place of ai, of in × rank elements, and gi is multiplied by the inverse of A's damping:
	// see reduce.
	ai, gi, z []float32
	rank      int
}

func (d *dense) matrix(x []float32) gemm.Matrix {
	return gemm.Of(x[d.at:d.at+d.in*d.out], d.in, d.out)
}

// inverse returns what stands for the inverse of A.
func (d *dense) inverse() []float32 {
	if d.rank > 0 {
		return d.z
	}
	return d.ai
}

// lay makes the memory of layers of the given sizes.
func (s *kfacState) lay(sizes [][3]int) error {
	covered, largest, half := 0, 0, 0
	for _, size := range sizes {
		at, in, out := size[0], size[1], size[2]
		if at != covered {
			break
		}
		covered += in * out
		largest, half = max(largest, in, out), max(half, in*out)
		d := dense{at: at, in: in, out: out, a: make([]float32, in*in), g: make([]float32, out*out), gi: make([]float32, out*out)}
		if in >= 4*firstRank {
			d.rank = firstRank
		}
		s.layers = append(s.layers, d)
	}
	if covered != s.n {
		s.layers = nil
		return &LayersError{Covered: covered, Coordinates: s.n}
	}
	s.inverter, s.sums = newInverter(largest), make([]float64, largest)
	s.half, s.square = make([]float32, max(half, largest*largest)), make([]float32, largest*largest)
	return nil
}

// estimate moves the averages A and G toward the factors of a minibatch.
func (s *kfacState) estimate(blocks []optimizer.Block, step int) error {
	if s.layers == nil {
		var sizes [][3]int
		for _, b := range blocks {
			sizes = append(sizes, [3]int{b.Weights, b.Inputs + 1, b.Outputs})
		}
		if err := s.lay(sizes); err != nil {
			return err
		}
	}
	for _, b := range blocks {
		for _, x := range [][]float32{b.In, b.Out} {
			if err := finite(step, x); err != nil {
				return err
			}
		}
	}
	s.updates++
	keep := min(1-1/float64(s.updates), s.rule.Decay)
	for l, b := range blocks {
		d := &s.layers[l]
		rows := len(b.In) / b.Inputs
		s.gram(b.In, b.Inputs)
		mix(d.a, d.in, s.half, b.Inputs, keep, rows)
		sums := s.sums[:b.Inputs]
		clear(sums)
		for row := range rows {
			for j, x := range b.In[row*b.Inputs:][:b.Inputs] {
				sums[j] += float64(x)
			}
		}
		ones := d.a[b.Inputs*d.in:]
		for j, sum := range sums {
			ones[j] = float32(keep*float64(ones[j]) + (1-keep)*sum/float64(rows))
		}
		ones[b.Inputs] = 1
		s.gram(b.Out, b.Outputs)
		mix(d.g, d.out, s.half, b.Outputs, keep, len(b.Out)/b.Outputs)
	}
	return nil
}

// gram writes the lower half of xᵀx of rows of n numbers into s.half.
func (s *kfacState) gram(x []float32, n int) {
	rows := len(x) / n
	s.turned = resized(s.turned, len(x))
	transpose(s.turned, x, rows, n)
	for j := 0; j < n; j += block {
		cols := min(block, n-j)
		s.kernel.Mul(gemm.Matrix{Data: s.half[j*n+j:], Rows: n - j, Cols: cols, RowStride: n, ColStride: 1},
			gemm.Of(s.turned[j*rows:], n-j, rows),
			gemm.Matrix{Data: x[j:], Rows: rows, Cols: cols, RowStride: n, ColStride: 1}, false)
	}
}

// mix moves the lower half of a factor, of size stride, toward the first n rows and columns of a sum over a number of rows.
func mix(factor []float32, stride int, sum []float32, n int, keep float64, rows int) {
	old, take := float32(keep), float32((1-keep)/float64(rows))
	for i := range n {
		to, from := factor[i*stride:][:i+1], sum[i*n:][:i+1]
		for j, x := range from {
			to[j] = float32(old*to[j]) + float32(take*x)
		}
	}
}

// leastShare is the least damping as a share of the mean of a factor's diagonal: with less, float32 would decide about directions that have hardly any
// curvature.
const leastShare = 1e-4

// invert inverts the damped factors. grad is the gradient, on which approximate inverses are tried. Rounding can make a factor of small rank indefinite: then it gets up to a
// thousand times the damping.
func (s *kfacState) invert(grad []float32) error {
	root := math.Sqrt(s.rule.Damping)
	for l := range s.layers {
		d := &s.layers[l]
		meanA, meanG := trace(d.a, d.in)/float64(d.in), trace(d.g, d.out)/float64(d.out)
		pi := balance(meanA, meanG)
		dampA, dampG := max(root*pi, leastShare*meanA), max(root/pi, leastShare*meanG)
		if tried, ok := s.inverted(d.gi, d.g, d.out, dampG); !ok {
			return &FactorError{Layer: l, Factor: "outputs", Damping: tried}
		}
		if s.reduce(d, dampA, d.matrix(grad)) {
			for i := range d.gi {
				d.gi[i] *= float32(1 / dampA)
			}
			continue
		}
		if d.ai == nil {
			d.ai = make([]float32, d.in*d.in)
		}
		if tried, ok := s.inverted(d.ai, d.a, d.in, dampA); !ok {
			return &FactorError{Layer: l, Factor: "inputs", Damping: tried}
		}
	}
	return nil
}

// inverted writes the inverse of a damped factor into dst, and returns the damping of the last try and whether it was enough.
func (s *kfacState) inverted(dst, factor []float32, n int, damping float64) (float64, bool) {
	for try := 0; !s.inverter.invert(dst, factor, n, damping); try++ {
		if try == 3 {
			return damping, false
		}
		damping *= 10
	}
	return damping, true
}

// precondition writes A⁻¹VG⁻¹ of a layer into dst, with V its part of grad.
func (s *kfacState) precondition(d *dense, dst, grad []float32) {
	half, v := gemm.Of(s.half[:d.in*d.out], d.in, d.out), d.matrix(grad)
	if d.rank > 0 {
		s.timesReduced(half, d, v)
	} else {
		s.kernel.Mul(half, gemm.Of(d.ai, d.in, d.in), v, false)
	}
	s.kernel.Mul(d.matrix(dst), half, gemm.Of(d.gi, d.out, d.out), false)
}

// balance returns π. A factor of zeros, of a layer whose outputs do not matter, has nothing to be balanced with.
func balance(a, g float64) float64 {
	pi := math.Sqrt(a / g)
	if !(pi > 1e-6 && pi < 1e6) {
		return 1
	}
	return pi
}

func trace(x []float32, n int) (sum float64) {
	for i := range n {
		sum += float64(x[i*n+i])
	}
	return sum
}
