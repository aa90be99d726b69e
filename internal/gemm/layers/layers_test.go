package layers

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// A program is a graph's scalar output and its derivatives.
type program struct {
	machine   G.VM
	value     G.Value
	gradients []G.Value
}

// compile differentiates out with respect to wrt.
func compile(t *testing.T, g *G.ExprGraph, out *G.Node, inputs, wrt G.Nodes) *program {
	t.Helper()
	p := &program{gradients: make([]G.Value, len(wrt))}
	derivatives, err := G.Grad(out, wrt...)
	if err != nil {
		t.Fatal(err)
	}
	reads := G.Nodes{G.Read(out, &p.value)}
	for i, d := range derivatives {
		reads = append(reads, G.Read(d, &p.gradients[i]))
	}
	code, locations, err := G.CompileFunction(g, inputs, reads)
	if err != nil {
		t.Fatal(err)
	}
	p.machine = G.NewTapeMachine(g, G.WithPrecompiled(code, locations), G.WithEngine(Engine{}))
	t.Cleanup(func() { p.machine.Close() })
	return p
}

func (p *program) run(t *testing.T) (float64, [][]float32) {
	t.Helper()
	if err := p.machine.RunAll(); err != nil {
		t.Fatal(err)
	}
	p.machine.Reset()
	var gradients [][]float32
	for _, v := range p.gradients {
		gradients = append(gradients, v.Data().([]float32))
	}
	return float64(p.value.Data().(float32)), gradients
}

func node(g *G.ExprGraph, name string, data []float32, shape ...int) *G.Node {
	return G.NewTensor(g, tensor.Float32, len(shape), G.WithName(name), G.WithShape(shape...),
		G.WithValue(tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))))
}

func wide(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

// differences returns central differences of f, in float64, with respect to
// every element of x. With h = 10⁻⁴ the truncation error is h²·f”'/6, some 10⁻⁸ for the
// functions here, and the error from cancellation is 10⁻¹² of f.
func differences(f func() float64, x []float64) []float64 {
	const h = 1e-4
	d := make([]float64, len(x))
	for i, v := range x {
		x[i] = v + h
		above := f()
		x[i] = v - h
		d[i] = (above - f()) / (2 * h)
		x[i] = v
	}
	return d
}

// near compares relative to the largest element. The results are float32 sums of some dozens
// of terms after an activation with an error of at most 7 ulp. If there is one element, its terms may cancel.
func near(t *testing.T, what string, got []float32, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	largest := 0.0
	for _, v := range want {
		largest = max(largest, math.Abs(v))
	}
	for i, v := range got {
		if !(math.Abs(float64(v)-want[i]) <= 1e-5*largest+1e-9) {
			t.Fatalf("%s: element %d is %v, want %v (largest %v)", what, i, v, want[i], largest)
		}
	}
}

var functions = map[string]func(z float64) float64{
	"":           func(z float64) float64 { return z },
	"sigmoid":    func(z float64) float64 { return 1 / (1 + math.Exp(-z)) },
	"tanh":       math.Tanh,
	"relu":       func(z float64) float64 { return max(z, 0) },
	"gelu":       func(z float64) float64 { return z * (1 + math.Erf(z/math.Sqrt2)) / 2 },
	"silu":       func(z float64) float64 { return z / (1 + math.Exp(-z)) },
	"leaky-relu": func(z float64) float64 { return max(z, z/100) },
	"elu": func(z float64) float64 {
		if z > 0 {
			return z
		}
		return math.Exp(z) - 1
	},
}

// The loss is Σ r∘h, so that every element of the layer's output has its own
// derivative.
func TestDenseMatchesDifferences(t *testing.T) {
	for name, f := range functions {
		for _, size := range [][3]int{{4, 5, 3}, {1, 1, 1}, {1, 6, 2}, {7, 1, 5}, {33, 12, 1}, {5, 9, 21}} {
			t.Run(fmt.Sprint(name, size), func(t *testing.T) {
				batch, features, units := size[0], size[1], size[2]
				rng := rand.New(rand.NewPCG(1, uint64(units)))
				x, w, b, r := random(rng, batch*features), random(rng, features*units), random(rng, units), random(rng, batch*units)
				g := G.NewGraph()
				nodes := G.Nodes{node(g, "x", x, batch, features), node(g, "w", w, features, units), node(g, "b", b, units)}
				rn := node(g, "r", r, batch, units)
				h, err := Dense(nodes[0], nodes[1], nodes[2], name)
				if err != nil {
					t.Fatal(err)
				}
				p := compile(t, g, G.Must(G.Sum(G.Must(G.HadamardProd(h, rn)))), append(nodes, rn), nodes)
				for step := range 2 { // the second run reuses the memory of the first
					x64, w64, b64 := wide(x), wide(w), wide(b)
					loss := func() float64 {
						sum := 0.0
						for i := range batch {
							for j := range units {
								z := b64[j]
								for k := range features {
									z += x64[i*features+k] * w64[k*units+j]
								}
								sum += float64(r[i*units+j]) * f(z)
							}
						}
						return sum
					}
					got, gradients := p.run(t)
					if want := loss(); math.Abs(got-want) > 1e-5*(1+math.Abs(want)) {
						t.Errorf("step %d: loss %v, want %v", step, got, want)
					}
					near(t, "x", gradients[0], differences(loss, x64))
					near(t, "W", gradients[1], differences(loss, w64))
					near(t, "b", gradients[2], differences(loss, b64))
					copy(x, random(rng, len(x)))
					copy(b, random(rng, len(b)))
				}
			})
		}
	}
}

// Operations after the loss scale the derivatives: here by 3, twice.
func TestCrossEntropyMatchesDifferences(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for _, size := range [][2]int{{1, 2}, {6, 10}, {40, 3}, {3, 1}} {
		for _, soft := range []bool{false, true} {
			for _, shift := range []float32{0, 5000, -5000} {
				batch, classes := size[0], size[1]
				z, y := random(rng, batch*classes), make([]float32, batch*classes)
				for i := range batch {
					if soft {
						sum := float32(0)
						for j := range classes {
							y[i*classes+j] = rng.Float32()
							sum += y[i*classes+j]
						}
						for j := range classes {
							y[i*classes+j] /= sum
						}
					} else {
						y[i*classes+rng.IntN(classes)] = 1
					}
				}
				for i := range z {
					z[i] += shift
				}
				g := G.NewGraph()
				zn, yn := node(g, "z", z, batch, classes), node(g, "y", y, batch, classes)
				f, err := CrossEntropy(zn, yn)
				if err != nil {
					t.Fatal(err)
				}
				nine := G.NewConstant(float32(3))
				p := compile(t, g, G.Must(G.Mul(G.Must(G.Mul(f, nine)), nine)), G.Nodes{zn, yn}, G.Nodes{zn})
				z64 := wide(z)
				loss := func() float64 {
					sum := 0.0
					for i := range batch {
						row, total := z64[i*classes:(i+1)*classes], 0.0
						top := slices.Max(row)
						for _, v := range row {
							total += math.Exp(v - top)
						}
						for j, v := range row {
							sum -= 9 * float64(y[i*classes+j]) * (v - top - math.Log(total)) / float64(batch)
						}
					}
					return sum
				}
				got, gradients := p.run(t)
				if want := loss(); math.Abs(got-want) > 2e-6*(1+want) {
					t.Errorf("%v, soft %v, shift %v: loss %v, want %v", size, soft, shift, got, want)
				}
				near(t, "z", gradients[0], differences(loss, z64))
			}
		}
	}
}

// Operations after the squared error scale its derivatives, too.
func TestSquaredErrorMatchesDifferences(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for _, size := range [][2]int{{1, 1}, {7, 1}, {6, 5}} {
		batch, outputs := size[0], size[1]
		z, y := random(rng, batch*outputs), random(rng, batch*outputs)
		g := G.NewGraph()
		zn, yn := node(g, "z", z, batch, outputs), node(g, "y", y, batch, outputs)
		f, err := SquaredError(zn, yn)
		if err != nil {
			t.Fatal(err)
		}
		p := compile(t, g, G.Must(G.Mul(f, G.NewConstant(float32(3)))), G.Nodes{zn, yn}, G.Nodes{zn})
		z64 := wide(z)
		loss := func() (sum float64) {
			for i, v := range z64 {
				sum += 3 * (v - float64(y[i])) * (v - float64(y[i])) / float64(batch)
			}
			return sum
		}
		got, gradients := p.run(t)
		if want := loss(); math.Abs(got-want) > 2e-6*(1+want) {
			t.Errorf("%v: loss %v, want %v", size, got, want)
		}
		near(t, "z", gradients[0], differences(loss, z64))
	}
}

// A non-finite logit of a diverging optimizee must not be hidden.
func TestCrossEntropyNonFinite(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1)} {
		g := G.NewGraph()
		zn, yn := node(g, "z", []float32{1, float32(bad), 2, 3, 4, 5}, 2, 3), node(g, "y", []float32{1, 0, 0, 1, 0, 0}, 2, 3)
		f, err := CrossEntropy(zn, yn)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := compile(t, g, f, G.Nodes{zn, yn}, G.Nodes{zn}).run(t)
		if !math.IsNaN(got) && !math.IsInf(got, 0) {
			t.Errorf("logit %v: loss %v", bad, got)
		}
	}
}

// Layers of the same shape on the same input have separate memory, even if only their
// activations differ. The gradients of an input that both read are
// added up.
func TestLayersShareNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	const n = 4
	x, w, v, b := random(rng, n*n), random(rng, n*n), random(rng, n*n), random(rng, n)
	g := G.NewGraph()
	in := G.Nodes{node(g, "x", x, n, n), node(g, "w", w, n, n), node(g, "v", v, n, n), node(g, "b", b, n)}
	first, err := Dense(in[0], in[1], in[3], "tanh")
	if err != nil {
		t.Fatal(err)
	}
	second, err := Dense(in[0], in[2], in[3], "tanh")
	if err != nil {
		t.Fatal(err)
	}
	third, err := Dense(in[0], in[2], in[3], "sigmoid")
	if err != nil {
		t.Fatal(err)
	}
	p := compile(t, g, G.Must(G.Sum(G.Must(G.HadamardProd(G.Must(G.HadamardProd(first, second)), third)))), in, in)
	x64, w64, v64, b64 := wide(x), wide(w), wide(v), wide(b)
	loss := func() float64 {
		sum := 0.0
		for i := range n {
			for j := range n {
				y, z := b64[j], b64[j]
				for k := range n {
					y += x64[i*n+k] * w64[k*n+j]
					z += x64[i*n+k] * v64[k*n+j]
				}
				sum += math.Tanh(y) * math.Tanh(z) / (1 + math.Exp(-z))
			}
		}
		return sum
	}
	got, gradients := p.run(t)
	if want := loss(); math.Abs(got-want) > 1e-5 {
		t.Errorf("loss %v, want %v", got, want)
	}
	for i, data := range [][]float64{x64, w64, v64, b64} {
		near(t, in[i].Name(), gradients[i], differences(loss, data))
	}
}

func TestLayersReject(t *testing.T) {
	g := G.NewGraph()
	m := func(name string, r, c int) *G.Node { return node(g, name, make([]float32, r*c), r, c) }
	x, w, b := m("x", 2, 3), m("w", 3, 4), node(g, "b", make([]float32, 4), 4)
	double := G.NewMatrix(g, tensor.Float64, G.WithName("double"), G.WithShape(3, 4))
	for name, c := range map[string]struct {
		build func() (*G.Node, error)
		want  string
	}{
		"inner sizes":    {func() (*G.Node, error) { return Dense(x, m("u", 4, 4), b, "") }, "do not fit"},
		"bias":           {func() (*G.Node, error) { return Dense(x, w, node(g, "c", make([]float32, 3), 3), "") }, "do not fit"},
		"vector":         {func() (*G.Node, error) { return Dense(b, w, b, "") }, "do not fit"},
		"activation":     {func() (*G.Node, error) { return Dense(x, w, b, "swish") }, `activation "swish"`},
		"nil":            {func() (*G.Node, error) { return Dense(nil, w, b, "") }, "missing input"},
		"float64":        {func() (*G.Node, error) { return Dense(x, double, b, "") }, "float64"},
		"labels":         {func() (*G.Node, error) { return CrossEntropy(x, w) }, "two of the same matrix"},
		"targets":        {func() (*G.Node, error) { return SquaredError(x, w) }, "two of the same matrix"},
		"missing target": {func() (*G.Node, error) { return SquaredError(x, nil) }, "missing input"},
		"missing label":  {func() (*G.Node, error) { return CrossEntropy(x, nil) }, "missing input"},
		"second derivative": {func() (*G.Node, error) {
			f, err := CrossEntropy(x, m("y", 2, 3))
			if err != nil {
				return nil, err
			}
			d, err := G.Grad(f, x)
			if err != nil {
				return nil, err
			}
			d, err = G.Grad(G.Must(G.Sum(d[0])), x)
			if err != nil {
				return nil, err
			}
			return d[0], nil
		}, "ifferenti"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := c.build(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// A value with another size than in the graph is an error.
func TestLayerValueOfWrongSize(t *testing.T) {
	g := G.NewGraph()
	x, w, b := node(g, "x", make([]float32, 6), 2, 3), node(g, "w", make([]float32, 12), 3, 4), node(g, "b", make([]float32, 4), 4)
	h, err := Dense(x, w, b, "")
	if err != nil {
		t.Fatal(err)
	}
	small := tensor.New(tensor.WithShape(2, 2), tensor.WithBacking(make([]float32, 4)))
	other := tensor.New(tensor.WithShape(2, 3), tensor.Of(tensor.Int32))
	for name, bad := range map[string]*tensor.Dense{"small": small, "int32": other} {
		if _, err := h.Op().Do(bad, w.Value(), b.Value()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := h.Op().Do(x.Value(), w.Value()); err == nil {
		t.Error("two inputs of three: no error")
	}
}

// A transposed view computes what its copy does.
func TestLayerOfView(t *testing.T) {
	g := G.NewGraph()
	x, w, b := node(g, "x", make([]float32, 6), 2, 3), node(g, "w", []float32{1, 10, 100}, 3, 1), node(g, "b", []float32{0}, 1)
	h, err := Dense(x, w, b, "")
	if err != nil {
		t.Fatal(err)
	}
	turned := tensor.New(tensor.WithShape(3, 2), tensor.WithBacking([]float32{1, 4, 2, 5, 3, 6}))
	if err := turned.T(); err != nil {
		t.Fatal(err)
	}
	got, err := h.Op().Do(turned, w.Value(), b.Value())
	if err != nil {
		t.Fatal(err)
	}
	if v := got.Data().([]float32); v[0] != 321 || v[1] != 654 {
		t.Errorf("%v, want [321 654]", v)
	}
}
