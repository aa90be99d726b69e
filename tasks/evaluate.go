package tasks

import (
	"fmt"
	"math"

	"learnedopt/internal/gemm"
)

var _ scored = (*Classifier)(nil)

// evaluateRows is the number of images that EvaluateSplit evaluates at a time.
const evaluateRows = 500

// EvaluateSplit returns the mean cross-entropy and the accuracy of
// the network θ over a whole split, as in scored. Of equal logits the lowest class counts as the prediction. It does
// not use the graph, so it may run at the same time as the graph.
func (f *Classifier) EvaluateSplit(theta []float32, split Split) (loss, accuracy float64, err error) {
	checkLengths(len(theta), dim(f.widths), errTheta)
	n := f.data.Len(split)
	if n == 0 {
		return 0, 0, fmt.Errorf("tasks: data set %s has no examples in its %v split", f.data.name, split)
	}
	layers := make([][]float32, len(f.widths)) // rows of activations
	for l, width := range f.widths {
		layers[l] = make([]float32, min(n, evaluateRows)*width)
	}
	features, classes := f.widths[0], f.widths[len(f.widths)-1]
	correct := 0
	for start := 0; start < n; start += evaluateRows {
		rows := min(evaluateRows, n-start)
		for i := range rows {
			f.data.Image(layers[0][i*features:(i+1)*features], split, start+i)
		}
		f.forward(layers, theta, rows)
		z := layers[len(layers)-1]
		for i := range rows {
			label := f.data.Label(split, start+i)
			l, best := crossEntropy(z[i*classes:(i+1)*classes], label)
			loss += l
			if best == label {
				correct++
			}
		}
	}
	return loss / float64(n), float64(correct) / float64(n), nil
}

// forward fills layers[1:] from layers[0]; the last one holds the logits.
func (f *Classifier) forward(layers [][]float32, theta []float32, rows int) {
	for l := range len(layers) - 1 {
		in, out := f.widths[l], f.widths[l+1]
		w, bias, h := theta[:in*out], theta[in*out:(in+1)*out], layers[l+1][:rows*out]
		theta = theta[(in+1)*out:]
		for i := range rows {
			copy(h[i*out:], bias)
		}
		gemm.Default().Mul(gemm.Of(h, rows, out), gemm.Of(layers[l], rows, in), gemm.Of(w, in, out), true)
		if l < len(layers)-2 {
			activate(h, f.config.Activation)
		}
	}
}

// activate applies a hidden layer's non-linearity in place.
func activate(x []float32, name string) {
	switch name {
	case "sigmoid":
		for i, v := range x {
			x[i] = float32(1 / (1 + math.Exp(-float64(v))))
		}
	case "relu":
		for i, v := range x {
			x[i] = max(v, 0)
		}
	case "tanh":
		for i, v := range x {
			x[i] = float32(math.Tanh(float64(v)))
		}
	case "elu":
		for i, v := range x {
			if v < 0 {
				x[i] = float32(math.Expm1(float64(v)))
			}
		}
	}
}

// crossEntropy returns −log softmax(z)[label] and the index of the largest z.
func crossEntropy(z []float32, label int) (loss float64, best int) {
	for i, v := range z {
		if v > z[best] {
			best = i
		}
	}
	sum, top := 0.0, float64(z[best])
	for _, v := range z {
		sum += math.Exp(float64(v) - top)
	}
	return math.Log(sum) + top - float64(z[label]), best
}
