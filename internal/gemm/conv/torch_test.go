package conv_test

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"learnedopt/internal/gemm/conv"
	"learnedopt/internal/gemm/mlp"
	"learnedopt/internal/gemm/mlp/mlptest"
)

// A torchCase is a network as testdata/torch_conv.py prints it.
type torchCase struct {
	Channels, Rows, Cols int
	Filters              []int
	Classes, Batch       int
	Activation           string
	X, Theta, V          []float32
	Labels               []int

	Loss                              float64
	Logits, Gradient, Hessian, Fisher []float64
}

func torchCases(t *testing.T) []torchCase {
	t.Helper()
	data, err := os.ReadFile("testdata/torch_conv.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []torchCase }
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) == 0 {
		t.Fatal("no cases")
	}
	return file.Cases
}

// Everything agrees with PyTorch in float64, up to the rounding of float32.
func TestMatchesTorch(t *testing.T) {
	for _, c := range torchCases(t) {
		a, ok := mlp.ActivationOf(c.Activation)
		if !ok {
			t.Fatal(c.Activation)
		}
		n := conv.New(conv.Shape{Channels: c.Channels, Rows: c.Rows, Cols: c.Cols, Filters: c.Filters, Classes: c.Classes}, a, c.Batch)
		y := make([]float32, c.Batch*c.Classes)
		for i, label := range c.Labels {
			y[i*c.Classes+label] = 1
		}
		got := make([]float32, len(c.Theta))
		if loss := n.LossGrad(got, c.Theta, c.X, y); math.Abs(loss-c.Loss) > 1e-6*(1+c.Loss) {
			t.Errorf("%v: loss %.9g, PyTorch has %.9g", c.Filters, loss, c.Loss)
		}
		if d := mlptest.Far(got, c.Gradient); !(d <= 5e-6) {
			t.Errorf("%v: the gradient is %.2g of its largest coordinate from PyTorch", c.Filters, d)
		}
		n.Hessian(got, c.V)
		if d := mlptest.Far(got, c.Hessian); !(d <= 5e-6) {
			t.Errorf("%v: H·v is %.2g of its largest coordinate from PyTorch", c.Filters, d)
		}
		n.Fisher(got, c.V)
		if d := mlptest.Far(got, c.Fisher); !(d <= 5e-6) {
			t.Errorf("%v: F·v is %.2g of its largest coordinate from PyTorch", c.Filters, d)
		}
		if d := mlptest.Far(n.Logits(c.Theta, c.X), c.Logits); !(d <= 5e-6) {
			t.Errorf("%v: the logits are %.2g of the largest from PyTorch", c.Filters, d)
		}
	}
}
