package layers

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"learnedopt/internal/gemm/mlp"
	"learnedopt/internal/operation"
)

// CrossEntropy is the mean cross-entropy of B rows of C logits z as one
// operation,
//
//	f = −(1/B) Σ_i Σ_j y_ij log softmax(z_i)_j,
//
// with labels y of B×C elements. Each row of y has the sum 1: it holds one 1 and zeros, or
// probabilities. The operation can be differentiated once, with respect to z.
func CrossEntropy(z, y *gorgonia.Node) (*gorgonia.Node, error) {
	if z == nil || y == nil {
		return nil, fmt.Errorf("layers: cross-entropy: missing input")
	}
	if !z.IsMatrix() || !z.Shape().Eq(y.Shape()) {
		return nil, fmt.Errorf("layers: cross-entropy: shapes %v and %v, want two of the same matrix", z.Shape(), y.Shape())
	}
	batch, classes := z.Shape()[0], z.Shape()[1]
	p := make([]float64, classes)
	loss := &operation.Op{Name: "cross-entropy", Shape: tensor.ScalarShape(), Fixed: 1}
	loss.Compute = func(out []float32, in [][]float32) error {
		sum := 0.0
		for at := 0; at < len(in[0]); at += classes {
			row, labels := in[0][at:at+classes], in[1][at:at+classes]
			sumExp, top := mlp.Exponentials(p, row)
			log := math.Log(sumExp) + float64(top)
			for j, label := range labels {
				if label != 0 {
					sum += float64(label) * (log - float64(row[j]))
				}
			}
		}
		out[0] = float32(sum / float64(batch))
		return nil
	}
	loss.Derive = func(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
		p := make([]float64, classes)
		slope := &operation.Op{Name: "cross-entropy logits", Shape: z.Shape(), Compute: func(out []float32, in [][]float32) error {
			scale := float64(in[2][0]) / float64(batch)
			for at := 0; at < len(out); at += classes {
				sum, _ := mlp.Exponentials(p, in[0][at:at+classes])
				for j, label := range in[1][at : at+classes] {
					out[at+j] = float32(scale * (p[j]/sum - float64(label)))
				}
			}
			return nil
		}}
		dz, err := slope.Apply(in[0], in[1], grad)
		return gorgonia.Nodes{dz, nil}, err
	}
	return loss.Apply(z, y)
}
