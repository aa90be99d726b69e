package conv

import "learnedopt/internal/gemm"

// group is the least number of pixels whose products are added in float32. All further sums over pixels are in float64: a minibatch
// may have 100,000 pixels, too many for a sum of float32 numbers one after the other.
const group = 512

// A sum adds a layer's gradients of weights over the images of a minibatch.
type sum struct {
	Layer
	part   []float32 // the sum over the group so far
	pixels int       // how many pixels part has
	total  []float64 // the sum over all groups before
}

func newSum(k Layer) sum {
	return sum{Layer: k, part: make([]float32, k.weights()), total: make([]float64, k.weights())}
}

// add adds the products of an image's inputs, which start at its first pixel in a raster, with a raster of one image of derivatives.
func (s *sum) add(g *gemm.Kernel, x, dz []float32) {
	s.correlate(g, s.part, x, s.inside(dz), s.pixels > 0)
	if s.pixels += s.outputs(); s.pixels >= group {
		s.flush()
	}
}

func (s *sum) flush() {
	if s.pixels == 0 {
		return
	}
	for i, v := range s.part {
		s.total[i] += float64(v)
	}
	s.pixels = 0
}

// write writes the sum into dst and starts a new one.
func (s *sum) write(dst []float32) {
	s.flush()
	for i, v := range s.total {
		dst[i] = float32(v)
	}
	clear(s.total)
}

// sumRows writes the sum of the rows of x into dst.
func sumRows(dst, x []float32) {
	var total [64]float64
	for from := 0; from < len(dst); from += len(total) {
		part := dst[from:min(from+len(total), len(dst))]
		sums := total[:len(part)]
		clear(sums)
		for at := from; at < len(x); at += len(dst) {
			for j, v := range x[at : at+len(part)] {
				sums[j] += float64(v)
			}
		}
		for j, v := range sums {
			part[j] = float32(v)
		}
	}
}
