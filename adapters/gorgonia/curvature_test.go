package gorgoniaopt_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	gorgoniaopt "learnedopt/adapters/gorgonia"
	"learnedopt/optimizer"
)

// A classifier is a graph of a network of one hidden layer, and what it should compute, in float64.
type classifier struct {
	in, hidden, out, batch int
	activation             string
	loss                   gorgoniaopt.Loss

	x, y          []float64
	nodes         gorgonia.Nodes // W, b, V, c
	inputs        *gorgonia.Node
	output        *gorgonia.Node
	targets       *gorgonia.Node
	cost          *gorgonia.Node
	machine       gorgonia.VM
	costValue     gorgonia.Value
	probabilities *gorgonia.Node
}

// newClassifier builds a graph with the mean of its loss as the cost. The biases are a vector and a 1 × n matrix: Gorgonia's programs have both.
func newClassifier(t testing.TB, of tensor.Dtype, activation string, loss gorgoniaopt.Loss, batch int) *classifier {
	t.Helper()
	c := &classifier{in: 5, hidden: 4, out: 3, batch: batch, activation: activation, loss: loss}
	rng := rand.New(rand.NewPCG(7, 1))
	g := gorgonia.NewGraph()
	made := func(name string, shape ...int) (*gorgonia.Node, []float64) {
		x := make([]float64, tensor.Shape(shape).TotalSize())
		for i := range x {
			x[i] = float64(float32(rng.NormFloat64())) // so that float32 and float64 have the same numbers
		}
		return leaf(g, of, name, x, shape...), x
	}
	c.inputs, c.x = made("x", batch, c.in)
	w, _ := made("W", c.in, c.hidden)
	b, _ := made("b", c.hidden)
	v, _ := made("V", c.hidden, c.out)
	d, _ := made("c", 1, c.out)
	c.nodes = gorgonia.Nodes{w, b, v, d}
	c.y = make([]float64, batch*c.out)
	for i := range batch {
		if loss == gorgoniaopt.SquaredError {
			for j := range c.out {
				c.y[i*c.out+j] = float64(float32(rng.NormFloat64()))
			}
		} else {
			c.y[i*c.out+rng.IntN(c.out)] = 1
		}
	}
	c.targets = leaf(g, of, "y", c.y, batch, c.out)
	h := gorgonia.Must(gorgonia.BroadcastAdd(gorgonia.Must(gorgonia.Mul(c.inputs, w)), b, nil, []byte{0}))
	switch activation {
	case "relu":
		h = gorgonia.Must(gorgonia.Rectify(h))
	case "leaky":
		h = gorgonia.Must(gorgonia.LeakyRelu(h, 0.25))
	case "tanh":
		h = gorgonia.Must(gorgonia.Tanh(h))
	case "sigmoid":
		h = gorgonia.Must(gorgonia.Sigmoid(h))
	case "softplus":
		h = gorgonia.Must(gorgonia.Softplus(h))
	}
	c.output = gorgonia.Must(gorgonia.BroadcastAdd(gorgonia.Must(gorgonia.Mul(h, v)), d, nil, []byte{0}))
	c.cost, c.probabilities = meanLoss(c.output, c.targets, loss)
	return c
}

// start differentiates the cost and makes the machine.
func (c *classifier) start(t testing.TB) {
	t.Helper()
	gorgonia.Read(c.cost, &c.costValue)
	if _, err := gorgonia.Grad(c.cost, c.nodes...); err != nil {
		t.Fatal(err)
	}
	c.machine = gorgonia.NewTapeMachine(c.cost.Graph(), gorgonia.BindDualValues(c.nodes...))
	t.Cleanup(func() { c.machine.Close() })
}

// step runs the machine and takes a step.
func (c *classifier) step(solver *gorgoniaopt.Solver) error {
	if err := c.machine.RunAll(); err != nil {
		return err
	}
	c.machine.Reset()
	return solver.StepLoss(gorgonia.NodesToValueGrads(c.nodes), c.costValue)
}

// meanLoss returns the mean over the examples as Gorgonia's programs write it, and the probabilities, if there are any.
func meanLoss(z, y *gorgonia.Node, loss gorgoniaopt.Loss) (cost, p *gorgonia.Node) {
	if loss == gorgoniaopt.SquaredError {
		square := gorgonia.Must(gorgonia.Square(gorgonia.Must(gorgonia.Sub(z, y))))
		if z.Dims() == 2 {
			square = gorgonia.Must(gorgonia.Sum(square, 1))
		}
		return gorgonia.Must(gorgonia.Mean(square)), nil
	}
	p = gorgonia.Must(gorgonia.SoftMax(z))
	terms := gorgonia.Must(gorgonia.HadamardProd(gorgonia.Must(gorgonia.Log(p)), y))
	return gorgonia.Must(gorgonia.Neg(gorgonia.Must(gorgonia.Mean(gorgonia.Must(gorgonia.Sum(terms, 1)))))), p
}

// leaf is a node with a value of a type.
func leaf(g *gorgonia.ExprGraph, of tensor.Dtype, name string, x []float64, shape ...int) *gorgonia.Node {
	return gorgonia.NewTensor(g, of, len(shape), gorgonia.WithName(name), gorgonia.WithShape(shape...), gorgonia.WithValue(valueOf(of, x, shape...)))
}

func valueOf(of tensor.Dtype, x []float64, shape ...int) *tensor.Dense {
	if of == tensor.Float64 {
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(slices.Clone(x)))
	}
	narrow := make([]float32, len(x))
	for i, v := range x {
		narrow[i] = float32(v)
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(narrow))
}

func (c *classifier) predictions() gorgoniaopt.Predictions {
	return gorgoniaopt.Predictions{Output: c.output, Targets: c.targets, Cost: c.cost, Loss: c.loss}
}

func (c *classifier) curvature(t testing.TB) *gorgoniaopt.Curvature {
	t.Helper()
	return curvatureOf(t, c.predictions(), c.nodes...)
}

func curvatureOf(t testing.TB, p gorgoniaopt.Predictions, nodes ...*gorgonia.Node) *gorgoniaopt.Curvature {
	t.Helper()
	made, err := gorgoniaopt.NewCurvature(p, nodes...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { made.Close() })
	return made
}

// theta returns the weights.
func (c *classifier) theta() (all []float64) {
	for _, n := range c.nodes {
		all = append(all, wide(n.Value())...)
	}
	return all
}

func wide(v gorgonia.Value) (x []float64) {
	switch d := v.Data().(type) {
	case []float64:
		return slices.Clone(d)
	case []float32:
		for _, e := range d {
			x = append(x, float64(e))
		}
	case float32:
		return []float64{float64(d)}
	case float64:
		return []float64{d}
	}
	return x
}

// along returns the outputs at θ and J v, by the product rule.
func (c *classifier) along(theta, v []float64) (z, dz []float64) {
	w, b := theta[:c.in*c.hidden], theta[c.in*c.hidden:][:c.hidden]
	at := (c.in + 1) * c.hidden
	dw, db := v[:c.in*c.hidden], v[c.in*c.hidden:][:c.hidden]
	for i := range c.batch {
		h, dh := make([]float64, c.hidden), make([]float64, c.hidden)
		for j := range c.hidden {
			s, ds := b[j], db[j]
			for k := range c.in {
				s += c.x[i*c.in+k] * w[k*c.hidden+j]
				ds += c.x[i*c.in+k] * dw[k*c.hidden+j]
			}
			sigmoid := 1 / (1 + math.Exp(-s))
			h[j], dh[j] = s, ds
			switch c.activation {
			case "relu":
				h[j], dh[j] = max(s, 0), 0
				if s >= 0 {
					dh[j] = ds
				}
			case "leaky":
				if s < 0 {
					h[j], dh[j] = 0.25*s, 0.25*ds
				}
			case "tanh":
				h[j] = math.Tanh(s)
				dh[j] = (1 - h[j]*h[j]) * ds
			case "sigmoid":
				h[j], dh[j] = sigmoid, sigmoid*(1-sigmoid)*ds
			case "softplus":
				h[j], dh[j] = math.Log1p(math.Exp(s)), sigmoid*ds
			}
		}
		for o := range c.out {
			s, ds := theta[at+c.hidden*c.out+o], v[at+c.hidden*c.out+o]
			for j := range c.hidden {
				s += h[j] * theta[at+j*c.out+o]
				ds += dh[j]*theta[at+j*c.out+o] + h[j]*v[at+j*c.out+o]
			}
			z, dz = append(z, s), append(dz, ds)
		}
	}
	return z, dz
}

func softmaxOf(z []float64) []float64 {
	p, sum := make([]float64, len(z)), 0.0
	for j, v := range z {
		p[j] = math.Exp(v - slices.Max(z))
		sum += p[j]
	}
	for j := range p {
		p[j] /= sum
	}
	return p
}

// matrix returns F, n × n, from the whole Jacobian and explicit matrices Λ_i. label is the label of example 0 for SampledFisher.
func (c *classifier) matrix(metric optimizer.Metric, label int) [][]float64 {
	theta := c.theta()
	n := len(theta)
	jacobian, z := make([][]float64, n), []float64(nil) // by columns
	for k := range n {
		e := make([]float64, n)
		e[k] = 1
		z, jacobian[k] = c.along(theta, e)
	}
	f := make([][]float64, n)
	for k := range f {
		f[k] = make([]float64, n)
	}
	for i := range c.batch {
		row := z[i*c.out : (i+1)*c.out]
		p := softmaxOf(row)
		lambda := make([][]float64, c.out)
		for a := range lambda {
			lambda[a] = make([]float64, c.out)
			for b := range lambda[a] {
				score := func(j int) float64 {
					switch {
					case c.loss == gorgoniaopt.SquaredError:
						return 2 * (row[j] - c.y[i*c.out+j])
					case metric == optimizer.SampledFisher && j == label:
						return p[j] - 1
					case metric == optimizer.SampledFisher:
						return p[j]
					}
					return p[j] - c.y[i*c.out+j]
				}
				switch {
				case metric != optimizer.Fisher:
					lambda[a][b] = score(a) * score(b)
				case c.loss == gorgoniaopt.SquaredError && a == b:
					lambda[a][b] = 2
				case c.loss == gorgoniaopt.CrossEntropy && a == b:
					lambda[a][b] = p[a] * (1 - p[a])
				case c.loss == gorgoniaopt.CrossEntropy:
					lambda[a][b] = -p[a] * p[b]
				}
			}
		}
		for k := range n {
			for l := range n {
				for a := range c.out {
					for b := range c.out {
						f[k][l] += jacobian[k][i*c.out+a] * lambda[a][b] * jacobian[l][i*c.out+b] / float64(c.batch)
					}
				}
			}
		}
	}
	return f
}

// columns returns the matrix that the products are.
func columns(t testing.TB, c *gorgoniaopt.Curvature, metric optimizer.Metric, step int) [][]float64 {
	t.Helper()
	n := c.Len()
	f := make([][]float64, n)
	for k := range f {
		f[k] = make([]float64, n)
		f[k][k] = 1
		if err := c.Product(f[k], f[k], metric, step); err != nil { // dst may be v
			t.Fatal(err)
		}
	}
	return f
}

// off returns the largest difference of two matrices, relative to the largest element of the second.
func off(got, want [][]float64) float64 {
	d, top := 0.0, 0.0
	for k := range want {
		for l := range want[k] {
			if !(math.Abs(got[k][l]-want[k][l]) <= d) {
				d = math.Abs(got[k][l] - want[k][l])
			}
			top = max(top, math.Abs(want[k][l]))
		}
	}
	return d / top
}

// The products of a 5-4-3 net are those of explicit matrices, in every metric, for every activation, loss and number type.
func TestProductsAreThoseOfMatrices(t *testing.T) {
	for _, activation := range []string{"relu", "leaky", "tanh", "sigmoid", "softplus"} {
		for _, loss := range []gorgoniaopt.Loss{gorgoniaopt.CrossEntropy, gorgoniaopt.SquaredError} {
			for of, tolerance := range map[tensor.Dtype]float64{tensor.Float32: 1e-5, tensor.Float64: 1e-12} {
				c := newClassifier(t, of, activation, loss, 7)
				made := c.curvature(t)
				for _, metric := range []optimizer.Metric{optimizer.Fisher, optimizer.EmpiricalFisher} {
					if d := off(columns(t, made, metric, 0), c.matrix(metric, 0)); !(d <= tolerance) {
						t.Errorf("%s, %v, %v, metric %b: off by %.2g of the largest element", activation, loss, of, metric, d)
					}
				}
			}
		}
	}
}

// With one label and one example the sampled matrix is the one of a label, and over the steps labels come as often as the model says.
// With more examples and labels it comes near the exact matrix like S^−½.
func TestSampledProducts(t *testing.T) {
	c := newClassifier(t, tensor.Float64, "tanh", gorgoniaopt.CrossEntropy, 1)
	made := c.curvature(t)
	const steps = 200
	var counts [3]float64
	var ofLabel [3][][]float64
	for label := range ofLabel {
		ofLabel[label] = c.matrix(optimizer.SampledFisher, label)
	}
	for step := range steps {
		v, f := make([]float64, made.Len()), make([]float64, made.Len())
		v[0], v[made.Len()-1] = 1, 1
		if err := made.Product(f, v, optimizer.SampledFisher, step); err != nil {
			t.Fatal(err)
		}
		label := slices.IndexFunc([]int{0, 1, 2}, func(label int) bool {
			m, d := ofLabel[label], 0.0
			for k := range f {
				d = max(d, math.Abs(m[k][0]+m[k][made.Len()-1]-f[k]))
			}
			return d < 1e-12
		})
		if label < 0 {
			t.Fatalf("step %d: F v = %v is not that of any label", step, f)
		}
		counts[label]++
	}
	z, _ := c.along(c.theta(), make([]float64, made.Len()))
	for j, p := range softmaxOf(z) {
		if d := math.Abs(counts[j]/steps - p); d > 4*math.Sqrt(p*(1-p)/steps) {
			t.Errorf("label %d has the share %v of %d draws, its probability is %v", j, counts[j]/steps, steps, p)
		}
	}
	for _, loss := range []gorgoniaopt.Loss{gorgoniaopt.CrossEntropy, gorgoniaopt.SquaredError} {
		c := newClassifier(t, tensor.Float64, "tanh", loss, 7)
		made, exact := c.curvature(t), c.matrix(optimizer.Fisher, 0)
		distance := func(labels int) (mean float64) {
			const draws = 6
			for step := range draws {
				square, of := 0.0, 0.0
				got := columns(t, made, optimizer.Sampled(labels), step)
				for k := range exact {
					for l := range exact[k] {
						square += (got[k][l] - exact[k][l]) * (got[k][l] - exact[k][l])
						of += exact[k][l] * exact[k][l]
					}
				}
				mean += math.Sqrt(square/of) / draws
			}
			return mean
		}
		few, many := distance(1), distance(64)
		if ratio := few / many; !(ratio > 4 && ratio < 16) { // √64 = 8
			t.Errorf("%v: 1 label is off by %.3f, 64 by %.3f: a ratio of %.2f", loss, few, many, ratio)
		}
	}
}

// A vector of outputs, a scalar among the learnables, a learnable that the output does not depend on, a penalty, and weights in another
// memory layout.
func TestProductsOfARegression(t *testing.T) {
	for of, tolerance := range map[tensor.Dtype]float64{tensor.Float32: 1e-5, tensor.Float64: 1e-12} {
		const batch, in, hidden = 6, 4, 3
		rng := rand.New(rand.NewPCG(3, 3))
		draw := func(n int) []float64 {
			x := make([]float64, n)
			for i := range x {
				x[i] = float64(float32(rng.NormFloat64()))
			}
			return x
		}
		g := gorgonia.NewGraph()
		xs, ws, vs, ys := draw(batch*in), draw(in*hidden), draw(hidden), draw(batch)
		x := leaf(g, of, "x", xs, batch, in)
		transposed := valueOf(of, ws, hidden, in) // element (k, j) of W is ws[j·in + k]
		if err := transposed.T(); err != nil {
			t.Fatal(err)
		}
		w := gorgonia.NewMatrix(g, of, gorgonia.WithName("W"), gorgonia.WithShape(in, hidden), gorgonia.WithValue(transposed))
		v := leaf(g, of, "v", vs, hidden)
		y := leaf(g, of, "y", ys, batch)
		idle := leaf(g, of, "idle", draw(2), 2)
		var c *gorgonia.Node
		if of == tensor.Float64 {
			c = gorgonia.NewScalar(g, of, gorgonia.WithName("c"), gorgonia.WithValue(0.5))
		} else {
			c = gorgonia.NewScalar(g, of, gorgonia.WithName("c"), gorgonia.WithValue(float32(0.5)))
		}
		out := gorgonia.Must(gorgonia.Add(gorgonia.Must(gorgonia.Mul(gorgonia.Must(gorgonia.Tanh(gorgonia.Must(gorgonia.Mul(x, w)))), v)), c))
		cost, _ := meanLoss(out, y, gorgoniaopt.SquaredError)
		cost = gorgonia.Must(gorgonia.Add(cost, gorgonia.Must(gorgonia.Sum(gorgonia.Must(gorgonia.Square(idle))))))
		made := curvatureOf(t, gorgoniaopt.Predictions{Output: out, Targets: y, Cost: cost, Loss: gorgoniaopt.SquaredError}, idle, c, w, v)
		n := made.Len()
		want := make([][]float64, n)
		for k := range want {
			want[k] = make([]float64, n)
		}
		for i := range batch {
			j := make([]float64, n) // two of idle, c, W, v
			j[2] = 1
			for a := range hidden {
				s := 0.0
				for k := range in {
					s += xs[i*in+k] * ws[a*in+k]
				}
				h := math.Tanh(s)
				j[3+in*hidden+a] = h
				for k := range in {
					j[3+k*hidden+a] = xs[i*in+k] * (1 - h*h) * vs[a]
				}
			}
			for k := range n {
				for l := range n {
					want[k][l] += 2 * j[k] * j[l] / batch
				}
			}
		}
		if d := off(columns(t, made, optimizer.Fisher, 0), want); !(d <= tolerance) {
			t.Errorf("%v: off by %.2g", of, d)
		}
	}
}

// Products leave the graph alone: its weights, inputs and gradients, and the steps of its machine.
func TestProductsLeaveTheGraphAlone(t *testing.T) {
	var runs [2][]float64
	for i := range runs {
		c := newClassifier(t, tensor.Float32, "relu", gorgoniaopt.CrossEntropy, 5)
		c.start(t)
		solver, made := gorgoniaopt.New(rules(t)["adam"]), c.curvature(t)
		v := make([]float64, made.Len())
		for k := range v {
			v[k] = math.Sin(float64(k))
		}
		for range 5 {
			if err := c.machine.RunAll(); err != nil {
				t.Fatal(err)
			}
			if i == 1 {
				inputs, before := wide(c.inputs.Value()), c.theta()
				grad, _ := c.nodes[0].Grad()
				was := wide(grad)
				if err := made.Product(make([]float64, len(v)), v, optimizer.Fisher, 0); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(inputs, wide(c.inputs.Value())) || !slices.Equal(before, c.theta()) || !slices.Equal(was, wide(grad)) {
					t.Fatal("a product changed a value of the graph")
				}
			}
			c.machine.Reset()
			if err := solver.Step(gorgonia.NodesToValueGrads(c.nodes)); err != nil {
				t.Fatal(err)
			}
		}
		runs[i] = c.theta()
	}
	if !slices.Equal(runs[0], runs[1]) {
		t.Errorf("a run with products ends at %v, without at %v", runs[1], runs[0])
	}
	// The products follow the graph's weights and inputs.
	c := newClassifier(t, tensor.Float64, "tanh", gorgoniaopt.CrossEntropy, 5)
	made := c.curvature(t)
	for i := range 2 {
		if d := off(columns(t, made, optimizer.Fisher, 0), c.matrix(optimizer.Fisher, 0)); !(d <= 1e-12) {
			t.Errorf("point %d: off by %.2g", i, d)
		}
		for k := range c.x {
			c.x[k] = math.Cos(float64(k))
		}
		if err := gorgonia.Let(c.inputs, valueOf(tensor.Float64, c.x, c.batch, c.in)); err != nil {
			t.Fatal(err)
		}
		c.nodes[0].Value().Data().([]float64)[3] = 2
	}
}
