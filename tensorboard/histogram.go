package tensorboard

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// A histogram is a HistogramProto.
type histogram struct {
	min, max, num, sum, squares float64
	limits                      []float64 // right ends
	counts                      []float64
}

// buckets is the number of buckets of a histogram, the same as in TensorFlow.
const buckets = 30

// newHistogram counts the finite values. If all of them are equal, they lie in one bucket of width 1 around the value.
func newHistogram(values []float32) histogram {
	h := histogram{min: math.Inf(1), max: math.Inf(-1)}
	for _, v := range values {
		if x := float64(v); !math.IsNaN(x) && !math.IsInf(x, 0) {
			h.min, h.max = min(h.min, x), max(h.max, x)
			h.num++
			h.sum += x
			h.squares += x * x
		}
	}
	switch {
	case h.num == 0:
		return h
	case h.min == h.max:
		h.limits, h.counts = []float64{h.max + 0.5}, []float64{h.num}
		return h
	}
	width := (h.max - h.min) / buckets
	h.counts = make([]float64, buckets)
	for i := range buckets - 1 {
		h.limits = append(h.limits, h.min+float64(i+1)*width)
	}
	h.limits = append(h.limits, h.max)
	for _, v := range values {
		if x := float64(v); x >= h.min && x <= h.max {
			h.counts[min(buckets-1, int((x-h.min)/width))]++
		}
	}
	return h
}

// The field numbers of HistogramProto. The fields min, max, num, sum and sum_squares are doubles with the field numbers
// from 1 on; bucket_limit and bucket are packed lists of doubles.
const (
	histogramMin    = 1
	histogramLimits = 6
)

func (h histogram) proto() []byte {
	var b []byte
	for i, x := range [...]float64{h.min, h.max, h.num, h.sum, h.squares} {
		b = appendDouble(protowire.AppendTag(b, histogramMin+protowire.Number(i), protowire.Fixed64Type), x)
	}
	for i, row := range [...][]float64{h.limits, h.counts} {
		b = protowire.AppendTag(b, histogramLimits+protowire.Number(i), protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(8*len(row)))
		for _, x := range row {
			b = appendDouble(b, x)
		}
	}
	return b
}

func appendDouble(b []byte, x float64) []byte { return protowire.AppendFixed64(b, math.Float64bits(x)) }
