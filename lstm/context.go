package lstm

import (
	"fmt"
	"math"
	"strings"

	"learnedopt/internal/gemm"
	"learnedopt/optimizer"
)

// Context is the set of features that are one number for a tensor and step. They enter the network through the bias
// of its first map, so their cost does not grow with the number of coordinates. The adjoint takes them as given.
// Sets combine with |. Features enter in the order of the constants. Every feature is clipped to ±2.
type Context uint8

const (
	// ShapeContext says what the tensor is, seven features: 1 if its kind is known, 1 if it is a bias, 1 if it is a
	// convolution, ln(1+inputs)/8, ln(1+outputs)/8, ln(size)/16, and its layer's place between 0 and 1. A bias has the
	// inputs of its layer's weights.
	ShapeContext Context = 1 << iota
	// NormContext holds ratios of root mean squares over the tensor, seven features. None of them changes if the loss is
	// multiplied by a constant:
	//
	//	rms(m̂)/√V  for β = 0.9 and 0.99     how much of the gradient is signal
	//	ln(V'/V)/5                           gradients of the last ten steps against the average
	//	ln(V/V_1)/10                         the average against the first gradient
	//	ln(rms(u)/rms(θ))/5                  the previous update against the parameters
	//	ln(rms(θ)·√inputs)/5                 the parameters against their usual size
	//	ln(inputs·rms(x)/248)/5              how far one unit of update moves the layer's outputs
	//
	// V and V' are moving averages of the mean of g² over the tensor, β = 0.999 and 0.9. rms(x), the root mean square of
	// the layer's inputs, is estimated as √(V of the weights/V of the biases).
	NormContext
	// FeedbackContext says whether the previous updates overshot, three features: the cosine of the angle between g_t and
	// u_{t−1} over the tensor, and its moving averages, β = 0.9 and 0.99 (Baydin et al. 2018, arXiv:1703.04782, use the
	// product of the two as the gradient of the step size).
	FeedbackContext
	// TimeContext is the time in the run, five features: ln(t)/5−1 and 1/t for step t ≥ 1; and if the number of steps T
	// is known, 1, the remaining fraction 1−t/T, and ln(T−t+1)/5−1; otherwise 0, 0, 0.
	TimeContext
	contextEnd
)

var contextNames = []string{"shape", "norms", "feedback", "time"}

var contextWidths = [...]int{7, 7, 3, 5}

// String returns the set as "shape+norms"; the empty set is "".
func (c Context) String() string { return joined(uint8(c), contextNames) }

// ParseContext is the inverse of String. It also reads "none".
func ParseContext(s string) (Context, error) {
	if s == "" || s == "none" {
		return 0, nil
	}
	set, ok := parseJoined(s, contextNames)
	if !ok {
		return 0, fmt.Errorf("lstm: unknown context %q%s Use %s, or several joined by +, or none", s, nearPart(s, contextNames), strings.Join(contextNames, ", "))
	}
	return Context(set), nil
}

// features returns the number of features.
func (c Context) features() int {
	n := 0
	for i, width := range contextWidths {
		if c&(1<<i) != 0 {
			n += width
		}
	}
	return n
}

// standardGain is inputs·rms(x) of the first layer of the MNIST network, 784 pixels with root mean square 0.32. An
// update of size 0.01 suits it.
const standardGain = 248

// A part is a tensor of a state's layout, as the network sees it.
type part struct {
	from, n int // coordinates
	block   int // its first block
	inputs  float64
	shape   [7]float64
	// axes say how a matrix or convolution is read as a matrix; for other parts they are 0.
	axes gemm.Axes
	// weights and biases are the indices of the parts of this part's layer, −1 if there is none or it is not known.
	weights, biases int
}

// partsOf returns the parts of a layout, each beginning with a block of its own.
func partsOf(layout optimizer.Layout) []part {
	tensors := layout.Tensors()
	layers := 0
	for _, t := range tensors {
		if t.Outputs() > 0 {
			layers++
		}
	}
	parts := make([]part, len(tensors))
	block, layer := 0, 0
	for i, t := range tensors {
		p := part{from: t.From, n: t.Len(), block: block, inputs: float64(t.Inputs()), weights: -1, biases: -1}
		block += blocks(p.n)
		outputs := float64(t.Outputs())
		switch {
		case t.Outputs() > 0:
			p.weights = i
			before, after := t.AroundOutputs()
			p.axes = gemm.Axes{Before: before, Outputs: t.Outputs(), After: after}
			layer++
		case t.Kind == optimizer.Bias && i > 0 && tensors[i-1].Outputs() == p.n:
			p.weights, p.biases = i-1, i
			parts[i-1].biases = i
			p.inputs, outputs = parts[i-1].inputs, float64(p.n)
		}
		truth := func(b bool) float64 {
			if b {
				return 1
			}
			return 0
		}
		place := 0.5
		if layers > 0 {
			place = (max(float64(layer), 1) - 0.5) / float64(layers)
		}
		p.shape = [7]float64{
			truth(t.Kind != optimizer.Vector), truth(t.Kind == optimizer.Bias), truth(t.Kind == optimizer.Convolution),
			math.Log1p(p.inputs) / 8, math.Log1p(outputs) / 8, math.Log(max(float64(p.n), 1)) / 16, place,
		}
		parts[i] = p
	}
	return parts
}
