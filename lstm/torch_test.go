package lstm

import (
	"encoding/json"
	"os"
	"slices"
	"testing"

	"learnedopt/internal/simd"
	"learnedopt/optimizer"
)

// torchNetwork is a network of testdata/torch_meta.json.
type torchNetwork struct {
	Identity bool    `json:"identity"`
	LogSign  float64 `json:"logsign"`
	RNNProp  bool    `json:"rnnprop"`
	ELU      int     `json:"elu"`
	Hidden   int     `json:"hidden"`
	Layers   int     `json:"layers"`
	Readout  string  `json:"readout"`
	Scale    float64 `json:"scale"`
	Eyes     *struct {
		Momenta    bool              `json:"momenta"`
		Clock      bool              `json:"clock"`
		Context    string            `json:"context"`
		FanIn      bool              `json:"fan_in"`
		Orthogonal bool              `json:"orthogonal"`
		Total      int               `json:"total"`
		Layout     []json.RawMessage `json:"layout"`
	} `json:"eyes"`
}

// start is the state of a fresh run on n coordinates.
func (n torchNetwork) start(t *testing.T, c *core[float64], size int) *state[float64] {
	layout := optimizer.Flat(size)
	if n.Eyes != nil {
		var tensors []optimizer.Tensor
		for _, data := range n.Eyes.Layout {
			var tensor struct {
				Kind       string `json:"kind"`
				Shape      []int  `json:"shape"`
				OutputAxis int    `json:"output_axis"`
			}
			if err := json.Unmarshal(data, &tensor); err != nil {
				t.Fatal(err)
			}
			kinds := []optimizer.Kind{optimizer.Vector, optimizer.Bias, optimizer.Matrix, optimizer.Convolution}
			k := slices.IndexFunc(kinds, func(k optimizer.Kind) bool { return k.String() == tensor.Kind })
			if k < 0 {
				t.Fatalf("a tensor of kind %q", tensor.Kind)
			}
			tensors = append(tensors, optimizer.Tensor{Kind: kinds[k], Shape: tensor.Shape, OutputAxis: tensor.OutputAxis})
		}
		var err error
		if layout, err = optimizer.NewLayout(tensors...); err != nil || layout.Len() != size {
			t.Fatal(err, layout.Len())
		}
		if n.Eyes.Total != 9 {
			t.Fatalf("a run of %d steps; unroll tells the network that there are 9", n.Eyes.Total)
		}
	}
	s := &state[float64]{}
	s.init(c, layout)
	return s
}

func (n torchNetwork) config(t *testing.T) Config {
	readout, err := ParseReadout(n.Readout)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{P: n.LogSign, Dense: n.ELU, Hidden: n.Hidden, Layers: n.Layers, Readout: readout, Scale: n.Scale}
	if n.Identity {
		cfg.Inputs |= Raw
	}
	if n.LogSign > 0 {
		cfg.Inputs |= LogAndSign
	}
	if n.RNNProp {
		cfg.Inputs |= RNNProp
	}
	if e := n.Eyes; e != nil {
		if e.Momenta {
			cfg.Inputs |= Momenta
		}
		if e.Clock {
			cfg.Inputs |= Clock
		}
		if cfg.Context, err = ParseContext(e.Context); err != nil {
			t.Fatal(err)
		}
		cfg.FanIn, cfg.Orthogonal = e.FanIn, e.Orthogonal
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// torchQuadratic is f(θ) = mean_b ‖W_b θ_b - y_b‖².
type torchQuadratic struct {
	Batch, Dim   int
	W, Y, Theta0 []float64
}

func (q torchQuadratic) lossGrad(theta, grad []float64) float64 {
	f := 0.0
	clear(grad)
	for b := range q.Batch {
		for i := range q.Dim {
			row := q.W[(b*q.Dim+i)*q.Dim:][:q.Dim]
			r := -q.Y[b*q.Dim+i]
			for j, w := range row {
				r += w * theta[b*q.Dim+j]
			}
			f += r * r / float64(q.Batch)
			for j, w := range row {
				grad[b*q.Dim+j] += 2 * r * w / float64(q.Batch)
			}
		}
	}
	return f
}

func (q torchQuadratic) hessian(dst, v []float64) {
	zero, at0 := make([]float64, len(v)), make([]float64, len(v))
	q.lossGrad(zero, at0)
	q.lossGrad(v, dst)
	for i := range dst {
		dst[i] -= at0[i]
	}
}

// TestMetaGradientAgainstTorch compares losses, end points and meta-gradients of
// two windows per case with PyTorch's values in float64. Both sides round to
// 1e-16 and sum a few thousand terms of O(1).
func TestMetaGradientAgainstTorch(t *testing.T) {
	data, err := os.ReadFile("testdata/torch_meta.json")
	if err != nil {
		t.Fatal(err)
	}
	var fixture struct {
		Problem torchQuadratic
		Cases   []struct {
			Name    string
			Network torchNetwork
			Steps   int
			Phi     []float64
			Windows []struct {
				Losses, Theta []float64
				First         []float64 `json:"grad_first"`
				Second        []float64 `json:"grad_second"`
			}
		}
	}
	if err := json.Unmarshal(data, &fixture); err != nil {
		t.Fatal(err)
	}
	if len(fixture.Cases) == 0 {
		t.Fatal("no cases in the fixture")
	}
	q := fixture.Problem
	for _, tc := range fixture.Cases {
		t.Run(tc.Name, func(t *testing.T) {
			c := newCore(newGeometry(tc.Network.config(t)), simd.Reference[float64](), tc.Phi)
			n := q.Batch * q.Dim
			theta, start := q.Theta0, tc.Network.start(t, c, n)
			w := make([]float64, tc.Steps)
			for i := range w {
				w[i] = 1
			}
			for k, want := range tc.Windows {
				r := unroll(c, q, theta, start, tc.Steps, w, nil, nil)
				sum := 0.0
				for _, f := range want.Losses[1:] {
					sum += f
				}
				if !near(r.loss, sum, 1e-12) {
					t.Errorf("window %d: loss %v, PyTorch has %v", k, r.loss, sum)
				}
				first := make([]float64, c.size)
				new(adjoint[float64]).run(first, start, r.grads[:tc.Steps], r.contexts, r.grads[1:], nil, nil, nil)
				second := full(c, q, r, w)
				for i := range first {
					if !near(first[i], want.First[i], 1e-11) {
						t.Fatalf("window %d, first order: dL/dφ[%d] = %v, PyTorch has %v", k, i, first[i], want.First[i])
					}
					if !near(second[i], want.Second[i], 1e-11) {
						t.Fatalf("window %d, second order: dL/dφ[%d] = %v, PyTorch has %v", k, i, second[i], want.Second[i])
					}
				}
				theta, start = r.theta, r.states[tc.Steps]
				for i := range theta {
					if !near(theta[i], want.Theta[i], 1e-12) {
						t.Fatalf("window %d: θ[%d] = %v, PyTorch has %v", k, i, theta[i], want.Theta[i])
					}
				}
			}
		})
	}
}
