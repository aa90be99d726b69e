package tasks

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

func graphOf(t *testing.T, build func(g *G.ExprGraph) (Expression, error)) *Graph {
	t.Helper()
	p, err := NewGraph(build)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func newVector(g *G.ExprGraph, name string, n int, opts ...G.NodeConsOpt) *G.Node {
	return G.NewVector(g, G.Float32, append(opts, G.WithName(name), G.WithShape(n))...)
}

// The starting point consists of the values that the graph binds to its parameters, in the order of the
// parameters, and of 0 for parameters without a value.
func TestGraphStartsAtBoundValues(t *testing.T) {
	p := graphOf(t, func(g *G.ExprGraph) (Expression, error) { return scalarExpression(g, nil) })
	theta := []float32{9, 9, 9, 9}
	p.Init(theta)
	if want := [4]float32{0.5, 0, 1, 1}; [4]float32(theta) != want {
		t.Errorf("θ_0 = %v, want %v", theta, want)
	}
	theta = []float32{3, 0.5, 2, -1}
	grad := make([]float32, 4)
	loss, err := p.LossGrad(theta, grad)
	if err != nil {
		t.Fatal(err)
	}
	if want := [4]float32{4 + 2*3*0.25, 2 * 9 * 0.5, 4, -2}; loss != 4+9*0.25+5 || [4]float32(grad) != want {
		t.Errorf("f = %v, ∇f = %v, want 11.25, %v", loss, grad, want)
	}
}

// Constant gradients, and two parameters that share one gradient
// node: Gorgonia's compiler treats both as special cases.
func TestGraphLinear(t *testing.T) {
	p := graphOf(t, func(g *G.ExprGraph) (Expression, error) {
		a, b := newVector(g, "a", 2), newVector(g, "b", 2)
		loss := G.Must(G.Sum(G.Must(G.Add(a, b))))
		return Expression{Params: G.Nodes{b, a}, Loss: loss}, nil
	})
	grad := make([]float32, 4)
	for step := range 3 { // dual values would add up
		loss, err := p.LossGrad([]float32{1, 2, 3, 4}, grad)
		if err != nil {
			t.Fatal(err)
		}
		if loss != 10 || [4]float32(grad) != [4]float32{1, 1, 1, 1} {
			t.Errorf("step %d: f = %v, ∇f = %v", step, loss, grad)
		}
	}
}

func TestGraphStartAndFeed(t *testing.T) {
	data := []float32{0, 0}
	broken := errors.New("tape torn")
	p := graphOf(t, func(g *G.ExprGraph) (Expression, error) {
		w := newVector(g, "w", 2)
		x := newVector(g, "x", 2, G.WithValue(tensor.New(tensor.WithShape(2), tensor.WithBacking(data))))
		return Expression{
			Params: G.Nodes{w}, Loss: G.Must(G.Sum(G.Must(G.HadamardProd(w, x)))),
			Start: func(theta []float32) { theta[0], theta[1] = 5, 6 },
			Feed: func(t int) error {
				data[0], data[1] = float32(t), 1
				if t == 4 {
					return broken
				}
				return nil
			},
		}, nil
	})
	theta, grad := make([]float32, 2), make([]float32, 2)
	p.Init(theta)
	p.Seek(2)
	for _, want := range []float64{16, 21} {
		if loss, err := p.LossGrad(theta, grad); loss != want || err != nil {
			t.Errorf("f = %v, %v, want %v", loss, err, want)
		}
	}
	if _, err := p.LossGrad(theta, grad); !errors.Is(err, broken) || !strings.Contains(err.Error(), "step 4") {
		t.Errorf("error %v", err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	mustPanic(t, errClosed, func() { _, _ = p.LossGrad(theta, grad) })
}

func TestNewGraphRejects(t *testing.T) {
	broken := errors.New("no data")
	square := func(w *G.Node) *G.Node { return G.Must(G.Sum(G.Must(G.Square(w)))) }
	for name, c := range map[string]struct {
		build func(g *G.ExprGraph) (Expression, error)
		want  string
	}{
		"build fails":  {func(*G.ExprGraph) (Expression, error) { return Expression{}, broken }, "no data"},
		"build panics": {func(*G.ExprGraph) (Expression, error) { panic("shapes differ") }, "shapes differ"},
		"no parameters": {func(g *G.ExprGraph) (Expression, error) {
			return Expression{Loss: square(newVector(g, "w", 2))}, nil
		}, "no parameters"},
		"no loss": {func(g *G.ExprGraph) (Expression, error) {
			return Expression{Params: G.Nodes{newVector(g, "w", 2)}}, nil
		}, "want a float32 scalar"},
		"vector loss": {func(g *G.ExprGraph) (Expression, error) {
			w := newVector(g, "w", 2)
			return Expression{Params: G.Nodes{w}, Loss: G.Must(G.Square(w))}, nil
		}, "want a float32 scalar"},
		"float64": {func(g *G.ExprGraph) (Expression, error) {
			w := G.NewVector(g, G.Float64, G.WithName("w"), G.WithShape(2))
			return Expression{Params: G.Nodes{w}, Loss: square(w)}, nil
		}, "want a float32 scalar"},
		"float64 parameter": {func(g *G.ExprGraph) (Expression, error) {
			w, v := newVector(g, "w", 2), G.NewVector(g, G.Float64, G.WithName("v"), G.WithShape(2))
			return Expression{Params: G.Nodes{w, v}, Loss: square(w)}, nil
		}, "parameter v is of type float64"},
		"another graph": {func(*G.ExprGraph) (Expression, error) {
			w := newVector(G.NewGraph(), "w", 2)
			return Expression{Params: G.Nodes{w}, Loss: square(w)}, nil
		}, "of the graph that was passed in"},
		"twice": {func(g *G.ExprGraph) (Expression, error) {
			w := newVector(g, "w", 2)
			return Expression{Params: G.Nodes{w, w}, Loss: square(w)}, nil
		}, "parameter w is listed twice"},
		"not a variable": {func(g *G.ExprGraph) (Expression, error) {
			s := square(newVector(g, "w", 2))
			return Expression{Params: G.Nodes{s}, Loss: s}, nil
		}, "not a variable"},
		"unused": {func(g *G.ExprGraph) (Expression, error) {
			w, v := newVector(g, "w", 2), newVector(g, "v", 2)
			return Expression{Params: G.Nodes{w, v}, Loss: square(w)}, nil
		}, "differentiating the graph"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := NewGraph(c.build)
			if p != nil || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("NewGraph = %v, error %v, want %q", p, err, c.want)
			}
			family := GraphFamily{Label: name, Build: func(g *G.ExprGraph, _ *rand.Rand) (Expression, error) { return c.build(g) }}
			if p, err := family.Sample(nil); p != nil || err == nil {
				t.Errorf("Sample = %v, %v", p, err)
			}
		})
	}
}

// plainMLP is a classifier in Gorgonia's own operations, as users write it.
func plainMLP(xs, ys []float32, rows int, widths []int) func(g *G.ExprGraph) (Expression, error) {
	return func(g *G.ExprGraph) (Expression, error) {
		last := len(widths) - 1
		b := &layerBuilder{g: g}
		h, y := b.input("x", xs, rows, widths[0]), b.input("y", ys, rows, widths[last])
		var params G.Nodes
		for l, in := range widths[:last] {
			w := G.NewMatrix(g, G.Float32, G.WithName(fmt.Sprint("w", l)), G.WithShape(in, widths[l+1]))
			c := newVector(g, fmt.Sprint("c", l), widths[l+1])
			params = append(params, w, c)
			h = b.try(G.BroadcastAdd(b.try(G.Mul(h, w)), c, nil, []byte{0}))
			if l < last-1 {
				h = b.try(G.Rectify(h))
			}
		}
		picked := b.try(G.Sum(b.try(G.HadamardProd(b.try(G.LogSoftMax(h, 1)), y))))
		return Expression{Params: params, Loss: b.try(G.Mul(picked, G.NewConstant(float32(-1)/float32(rows))))}, b.err
	}
}

// The loss and gradient of a classifier as a user writes it agree with an independent float64
// implementation. Its matrix products and softmax run in package layers. The logits of an example differ by
// hundreds, which overflows Gorgonia's own softmax. The bounds are those of
// TestClassifierMatchesFloat64.
func TestGraphOfGorgoniasOperations(t *testing.T) {
	const rows = 40
	widths := []int{784, 20, 10}
	data := noise(t, 100, 1)
	x, labels := minibatch(data, Train, 5, 0, rows)
	xs, ys := make([]float32, rows*784), make([]float32, rows*10)
	for i := range rows {
		for j := range x[i] {
			x[i][j] *= float32(1 + i%7)
		}
		copy(xs[i*784:], x[i])
		ys[i*10+labels[i]] = 1
	}
	p := graphOf(t, plainMLP(xs, ys, rows, widths))
	theta, grad := make([]float32, p.Dim()), make([]float32, p.Dim())
	rng := rand.New(rand.NewPCG(6, 6))
	for i := range theta {
		theta[i] = float32(rng.NormFloat64())
	}
	want, wantGrad := mlp64(theta, widths, "relu", x, labels)
	loss, err := p.LossGrad(theta, grad)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(loss-want) > 2e-6*(1+want) {
		t.Errorf("loss %.9g, want %.9g", loss, want)
	}
	largest := 0.0
	for _, v := range wantGrad {
		largest = max(largest, math.Abs(v))
	}
	for i, v := range grad {
		if math.Abs(float64(v)-wantGrad[i]) > 5e-6*largest {
			t.Fatalf("gradient of coordinate %d is %v, want %v (largest %v)", i, v, wantGrad[i], largest)
		}
	}
}
