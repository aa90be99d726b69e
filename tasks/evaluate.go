package tasks

import (
	"fmt"
	"math"

	"learnedopt/internal/gemm"
	"learnedopt/internal/precondition"
)

var _ scored = (*Classifier)(nil)

// The number of images that EvaluateSplit evaluates at a time: with convolutions an image takes more memory.
const (
	evaluateRows         = 500
	evaluateConvolutions = 100
)

// EvaluateSplit returns the mean cross-entropy and the accuracy of
// the network θ over a whole split, as in scored. Of equal logits the lowest class counts as the prediction. A
// regression has the mean squared error, and NaN for the accuracy that it does not have. It does not use the graph, so it may run at the same time as the graph.
func (f *Classifier) EvaluateSplit(theta []float32, split Split) (loss, accuracy float64, err error) {
	precondition.Length("tasks", "theta", theta, f.layout.Len())
	n := f.data.Len(split)
	if n == 0 {
		return 0, 0, fmt.Errorf("tasks: data set %s has no examples in its %v split", f.data.name, split)
	}
	chunk := evaluateRows
	if f.conv != nil {
		chunk = evaluateConvolutions
	}
	chunk = min(n, chunk)
	logits, err := f.logits(chunk)
	if err != nil {
		return 0, 0, err
	}
	features, classes := f.data.Features(), f.data.classes
	x, correct := make([]float32, chunk*features), 0
	for start := 0; start < n; start += chunk {
		rows := min(chunk, n-start)
		for i := range rows {
			f.data.Image(x[i*features:(i+1)*features], split, start+i)
		}
		z := logits(theta, x[:rows*features])
		for i := range rows {
			if f.data.regression() {
				r := float64(z[i]) - float64(f.data.Target(split, start+i))
				loss += r * r
				continue
			}
			label := f.data.Label(split, start+i)
			l, best := crossEntropy(z[i*classes:(i+1)*classes], label)
			loss += l
			if best == label {
				correct++
			}
		}
	}
	if f.data.regression() {
		return loss / float64(n), math.NaN(), nil
	}
	return loss / float64(n), float64(correct) / float64(n), nil
}

// logits returns a function that returns the logits of up to the given number of images x, one row for each. Its next call
// overwrites them.
func (f *Classifier) logits(images int) (func(theta, x []float32) []float32, error) {
	if f.conv != nil {
		net, err := newConvolution(*f.conv, f.config.Activation, images)
		if err != nil {
			return nil, err
		}
		return net.Logits, nil
	}
	outputs := make([][]float32, len(f.widths)-1) // of each layer
	for l, width := range f.widths[1:] {
		outputs[l] = make([]float32, images*width)
	}
	return func(theta, x []float32) []float32 { return f.forward(outputs, theta, x) }, nil
}

// forward computes the outputs of all layers of a multilayer perceptron and returns those of the last one.
func (f *Classifier) forward(outputs [][]float32, theta, x []float32) []float32 {
	rows := len(x) / f.widths[0]
	for l := range outputs {
		in, out := f.widths[l], f.widths[l+1]
		w, bias, h := theta[:in*out], theta[in*out:(in+1)*out], outputs[l][:rows*out]
		theta = theta[(in+1)*out:]
		for i := range rows {
			copy(h[i*out:], bias)
		}
		gemm.Default().Mul(gemm.Of(h, rows, out), gemm.Of(x, rows, in), gemm.Of(w, in, out), true)
		if l < len(outputs)-1 {
			activate(h, f.config.Activation)
		}
		x = h
	}
	return x
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
	case "gelu":
		for i, v := range x {
			z := float64(v)
			x[i] = float32(z * math.Erfc(-z/math.Sqrt2) / 2)
		}
	case "silu":
		for i, v := range x {
			x[i] = float32(float64(v) / (1 + math.Exp(-float64(v))))
		}
	case "leaky-relu":
		for i, v := range x {
			x[i] = max(v, 0.01*v)
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
