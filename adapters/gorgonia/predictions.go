package gorgoniaopt

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"learnedopt/internal/divergence"
	"learnedopt/optimizer"
)

// A Loss says what a graph's outputs mean.
type Loss int

const (
	// CrossEntropy has logits: −Σ_j y_j log softmax(z)_j for each example. The targets y_j of an example sum to 1.
	CrossEntropy Loss = iota + 1
	// SquaredError has predictions with independent errors of variance ½: Σ_j (z_j − y_j)² for each example.
	SquaredError
)

// String returns what errors call the loss.
func (l Loss) String() string {
	switch l {
	case CrossEntropy:
		return "cross-entropy"
	case SquaredError:
		return "squared error"
	}
	return fmt.Sprintf("loss %d", int(l))
}

// Predictions names the nodes of a graph that rules with curvature need. All nodes belong to one graph, and are float32 or float64.
type Predictions struct {
	// Output is what the model predicts for the B examples of a minibatch, B × C: logits before the softmax, or numbers. A vector is
	// B predictions of one number.
	Output *gorgonia.Node
	// Targets has the shape of Output: one-hot labels or probabilities, or the numbers to predict.
	Targets *gorgonia.Node
	// Cost is the scalar that the graph minimizes: the mean of Loss over the examples. Terms that do not depend on Output, such as a
	// penalty of the weights, may be added to it.
	Cost *gorgonia.Node
	// Loss is CrossEntropy or SquaredError.
	Loss Loss
}

// size returns B and C.
func (p *Predictions) size() (rows, columns int) {
	shape := p.Output.Shape()
	if len(shape) == 1 {
		return shape[0], 1
	}
	return shape[0], shape[1]
}

// check returns an error unless the nodes fit together.
func (p *Predictions) check() error {
	for _, n := range []struct {
		name string
		node *gorgonia.Node
	}{{"Output", p.Output}, {"Targets", p.Targets}, {"Cost", p.Cost}} {
		switch {
		case n.node == nil:
			return fmt.Errorf("%w: Predictions.%s is nil; name the node", ErrModel, n.name)
		case n.node.Graph() == nil || n.node.Graph() != p.Output.Graph():
			return fmt.Errorf("%w: Predictions.%s is not in the graph of Predictions.Output", ErrModel, n.name)
		}
		if t := n.node.Dtype(); t != p.Output.Dtype() || t != tensor.Float32 && t != tensor.Float64 {
			return fmt.Errorf("%w: Predictions.%s is %v; want all of them float32, or all float64", ErrModel, n.name, t)
		}
	}
	if op := p.Output.Op(); op != nil && p.Loss == CrossEntropy && typeName(op) == "*gorgonia.softmaxOp" {
		return fmt.Errorf("%w: Predictions.Output is %v; name the logits, which are its input", ErrModel, op)
	}
	if op := p.Output.Op(); op != nil && p.Loss == CrossEntropy && typeName(op) == "*gorgonia.softmaxOp" {
		return fmt.Errorf("%w: Predictions.Output is %v; name the logits, which are its input", ErrModel, op)
	}
	shape := p.Output.Shape()
	if len(shape) != 1 && len(shape) != 2 {
		return fmt.Errorf("%w: Predictions.Output has shape %v; want (examples, outputs), or (examples)", ErrModel, shape)
	}
	rows, columns := p.size()
	switch p.Loss {
	case CrossEntropy:
		if columns < 2 {
			return fmt.Errorf("%w: Predictions.Output has shape %v; cross-entropy needs the logits of at least 2 classes", ErrModel, shape)
		}
	case SquaredError:
	default:
		return fmt.Errorf("%w: Predictions.Loss is %v; set it to CrossEntropy or SquaredError", ErrModel, p.Loss)
	}
	if t := p.Targets.Shape(); t.TotalSize() != rows*columns || t[0] != rows {
		return fmt.Errorf("%w: Predictions.Targets has shape %v, Predictions.Output %v; both must be the same", ErrModel, t, shape)
	}
	if !p.Cost.IsScalar() {
		return fmt.Errorf("%w: Predictions.Cost has shape %v; want a scalar", ErrModel, p.Cost.Shape())
	}
	return nil
}

// score writes ∂ℓ/∂z of one example.
func (l Loss) score(dst, z, y []float64) {
	if l == SquaredError {
		for j := range dst {
			dst[j] = 2 * (z[j] - y[j])
		}
		return
	}
	divergence.LogSoftmax(dst, z)
	for j, v := range dst {
		dst[j] = math.Exp(v) - y[j]
	}
}

// multiply writes Λ t into t, in place, for one example with outputs z and targets y. draws is the state of the labels of
// SampledFisher. p and q are scratch memory.
func (l Loss) multiply(t, z, y []float64, metric optimizer.Metric, draws *rand.Rand, p, q []float64) {
	if l == CrossEntropy {
		divergence.LogSoftmax(p, z)
		for j, v := range p {
			p[j] = math.Exp(v)
		}
	}
	if metric == optimizer.Fisher {
		if l == SquaredError {
			for j := range t {
				t[j] *= 2
			}
			return
		}
		mean := dotted(p, t)
		for j := range t {
			t[j] = p[j] * (t[j] - mean)
		}
		return
	}
	along := slices.Clone(t)
	clear(t)
	labels := max(1, metric.Labels())
	for range labels {
		switch {
		case metric == optimizer.EmpiricalFisher:
			l.score(q, z, y)
		case l == SquaredError:
			for j := range q {
				q[j] = math.Sqrt2 * draws.NormFloat64()
			}
		default:
			copy(q, p)
			q[drawn(p, draws.Float64())]--
		}
		s := dotted(q, along) / float64(labels)
		for j := range t {
			t[j] += s * q[j]
		}
	}
}

// drawn returns the class of distribution p at quantile u.
func drawn(p []float64, u float64) int {
	for j, v := range p[:len(p)-1] {
		if u -= v; u < 0 {
			return j
		}
	}
	return len(p) - 1
}

func dotted(a, b []float64) (sum float64) {
	for i, x := range a {
		sum += x * b[i]
	}
	return sum
}

// divergence returns KL of the predictions z and w of one example. p and q are scratch memory.
func (l Loss) divergence(z, w, p, q []float64) (kl float64) {
	if l == SquaredError {
		for j := range z {
			kl += (z[j] - w[j]) * (z[j] - w[j])
		}
		return kl
	}
	divergence.LogSoftmax(p, z)
	divergence.LogSoftmax(q, w)
	return divergence.Of(p, q)
}

// A LossError says that the cost of Predictions is not the mean over the examples of the loss that they name. It wraps ErrModel.
type LossError struct {
	Loss Loss
	// Factor is the multiple of that mean that the cost is, 0 if it is none.
	Factor float64
}

// Error implements error.
func (e *LossError) Error() string {
	if e.Factor == 0 {
		return fmt.Sprintf("%v: the derivative of Predictions.Cost with respect to Predictions.Output is not that of the mean %v with Predictions.Targets; "+
			"name the logits before the softmax, or the right Loss", ErrModel, e.Loss)
	}
	return fmt.Sprintf("%v: Predictions.Cost is %.6g times the mean over the examples of the %v; multiply the cost by %.6g",
		ErrModel, e.Factor, e.Loss, 1/e.Factor)
}

// Unwrap returns ErrModel.
func (e *LossError) Unwrap() error { return ErrModel }

// lossTolerance is how far derivatives in float32 may be from those of the loss, relative to their size: sums over an example have
// some thousand terms of 6e-8 at most.
const lossTolerance = 1e-3

// fits returns a *LossError unless the derivative of the cost is 1/B of each example's score.
func (p *Predictions) fits(derivative, z, y []float64) error {
	rows, columns := p.size()
	want := make([]float64, rows*columns)
	for at := 0; at < len(z); at += columns {
		p.Loss.score(want[at:at+columns], z[at:at+columns], y[at:at+columns])
	}
	square := dotted(want, want)
	if square == 0 || dotted(derivative, derivative) == 0 || math.IsNaN(square) {
		return nil // there is nothing to see at such a point
	}
	factor, off := dotted(derivative, want)/square, 0.0
	for i, w := range want {
		off = max(off, math.Abs(derivative[i]-factor*w))
	}
	top := 0.0
	for _, w := range want {
		top = max(top, math.Abs(w))
	}
	factor *= float64(rows)
	switch {
	case !(off*float64(rows) <= lossTolerance*math.Abs(factor)*top):
		return &LossError{Loss: p.Loss}
	case !(math.Abs(factor-1) <= lossTolerance):
		return &LossError{Loss: p.Loss, Factor: factor}
	}
	return nil
}
