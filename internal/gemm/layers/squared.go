package layers

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"learnedopt/internal/operation"
)

// SquaredError is the mean squared error of B rows of C outputs z as one operation,
//
//	f = (1/B) Σ_i Σ_j (z_ij − y_ij)²,
//
// with targets y of B×C elements. The operation can be differentiated once, with respect to z.
func SquaredError(z, y *gorgonia.Node) (*gorgonia.Node, error) {
	if z == nil || y == nil {
		return nil, fmt.Errorf("layers: squared error: missing input")
	}
	if !z.IsMatrix() || !z.Shape().Eq(y.Shape()) {
		return nil, fmt.Errorf("layers: squared error: shapes %v and %v, want two of the same matrix", z.Shape(), y.Shape())
	}
	batch := float64(z.Shape()[0])
	loss := &operation.Op{Name: "squared error", Shape: tensor.ScalarShape(), Fixed: 1}
	loss.Compute = func(out []float32, in [][]float32) error {
		sum := 0.0
		for i, v := range in[0] {
			r := float64(v) - float64(in[1][i])
			sum += r * r
		}
		out[0] = float32(sum / batch)
		return nil
	}
	loss.Derive = func(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
		slope := &operation.Op{Name: "squared error outputs", Shape: z.Shape(), Compute: func(out []float32, in [][]float32) error {
			scale := 2 * float64(in[2][0]) / batch
			for i, v := range in[0] {
				out[i] = float32(scale * (float64(v) - float64(in[1][i])))
			}
			return nil
		}}
		dz, err := slope.Apply(in[0], in[1], grad)
		return gorgonia.Nodes{dz, nil}, err
	}
	return loss.Apply(z, y)
}
