package tasks

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
)

var _ Scored = (*Classifier)(nil)

// evaluateRows is the number of images that EvaluateSplit handles at a time.
const evaluateRows = 500

// EvaluateSplit implements Scored: the mean cross-entropy and the accuracy of
// the network θ over a whole split. A tie counts for the lowest class. It does
// not use the graph, so it may run beside it.
func (f *Classifier) EvaluateSplit(theta []float32, split Split) (loss, accuracy float64, err error) {
	checkLengths(len(theta), dim(f.widths), errTheta)
	n := f.data.Len(split)
	if n == 0 {
		return 0, 0, fmt.Errorf("tasks: data set %s has no examples in its %v split", f.data.name, split)
	}
	layers := make([]blas32.General, len(f.widths))
	for l, width := range f.widths {
		layers[l] = blas32.General{Cols: width, Stride: width, Data: make([]float32, min(n, evaluateRows)*width)}
	}
	correct := 0
	for start := 0; start < n; start += evaluateRows {
		rows := min(evaluateRows, n-start)
		x := layers[0]
		for i := range rows {
			f.data.Image(x.Data[i*x.Cols:(i+1)*x.Cols], split, start+i)
		}
		f.forward(layers, theta, rows)
		z := layers[len(layers)-1]
		for i := range rows {
			label := f.data.Label(split, start+i)
			l, best := crossEntropy(z.Data[i*z.Cols:(i+1)*z.Cols], label)
			loss += l
			if best == label {
				correct++
			}
		}
	}
	return loss / float64(n), float64(correct) / float64(n), nil
}

// forward fills layers[1:] from layers[0]; the last one holds the logits.
func (f *Classifier) forward(layers []blas32.General, theta []float32, rows int) {
	at := 0
	for l := range len(layers) - 1 {
		in, out := layers[l], layers[l+1]
		in.Rows, out.Rows = rows, rows
		w := blas32.General{Rows: in.Cols, Cols: out.Cols, Stride: out.Cols, Data: theta[at : at+in.Cols*out.Cols]}
		at += len(w.Data)
		bias := theta[at : at+out.Cols]
		at += out.Cols
		for i := range rows {
			copy(out.Data[i*out.Cols:], bias)
		}
		blas32.Gemm(blas.NoTrans, blas.NoTrans, 1, in, w, 1, out)
		if l < len(layers)-2 {
			activate(out.Data[:rows*out.Cols], f.config.Activation)
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
