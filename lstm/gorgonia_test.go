package lstm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// graphUnroll is the unrolled computation as a Gorgonia graph in float64, written
// from the papers' formulas. It shares only the layout of φ and of the state with
// the package's code. Coordinates are the rows of every matrix. There is no
// broadcast, slice or concatenation: the only derivatives that Gorgonia needs are
// the derivatives of products, sums and functions of one variable.
type graphUnroll struct {
	cfg   Config
	n     int
	g     *G.ExprGraph
	steps int // of the run before the next update

	params G.Nodes
	index  [][]int        // where in φ the elements of each param are
	at     int            // how much of φ is cut
	layers [][4]graphGate // gates in the order i, f, g, o
	read   graphGate      // one column
	hidden [][2]*G.Node   // h and c of each layer, n×H
	mv     [2]*G.Node     // the moving averages of RNNProp, n×1
	// Number of gradients that log-and-sign treated as large, and as small.
	large, small int
}

// A graphGate is an affine map: a matrix for each of its inputs, and a bias in
// a row.
type graphGate struct {
	weights G.Nodes
	bias    *G.Node
}

// matrix is a leaf of the graph. Its name has a number, because Gorgonia treats two
// leaves with the same name and shape as one.
func (u *graphUnroll) matrix(rows, cols int, at func(i, j int) float64) *G.Node {
	data := make([]float64, rows*cols)
	for k := range data {
		data[k] = at(k/cols, k%cols)
	}
	return G.NewMatrix(u.g, G.Float64, G.WithShape(rows, cols), G.WithName(fmt.Sprint("m", len(u.g.AllNodes()))),
		G.WithValue(tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(data))))
}

func (u *graphUnroll) column(x []float64) *G.Node {
	return u.matrix(len(x), 1, func(i, _ int) float64 { return x[i] })
}

// times is v·x for a column x.
func (u *graphUnroll) times(v float64, x *G.Node) *G.Node {
	return mul(u.matrix(u.n, 1, func(int, int) float64 { return v }), x)
}

func add(a, b *G.Node) *G.Node { return G.Must(G.Add(a, b)) }
func sub(a, b *G.Node) *G.Node { return G.Must(G.Sub(a, b)) }
func mul(a, b *G.Node) *G.Node { return G.Must(G.HadamardProd(a, b)) }
func dot(a, b *G.Node) *G.Node { return G.Must(G.Mul(a, b)) }

// cut makes affine maps from the next elements of φ. The maps lead from inputs of the
// given widths to several outputs of one width. φ holds for each input a row with the
// weights of all outputs, and then a row of biases.
func (u *graphUnroll) cut(phi []float64, widths []int, outputs, width int) []graphGate {
	gates := make([]graphGate, outputs)
	stride := outputs * width
	piece := func(k, rows int) *G.Node {
		index := make([]int, rows*width)
		for i := range index {
			index[i] = u.at + i/width*stride + k*width + i%width
		}
		node := u.matrix(rows, width, func(i, j int) float64 { return phi[index[i*width+j]] })
		u.params, u.index = append(u.params, node), append(u.index, index)
		return node
	}
	for _, rows := range widths {
		for k := range gates {
			gates[k].weights = append(gates[k].weights, piece(k, rows))
		}
		u.at += rows * stride
	}
	for k := range gates {
		gates[k].bias = piece(k, 1)
	}
	u.at += stride
	return gates
}

func (u *graphUnroll) affine(a graphGate, inputs ...*G.Node) *G.Node {
	ones := u.matrix(u.n, 1, func(int, int) float64 { return 1 })
	z := dot(ones, a.bias)
	for i, x := range inputs {
		z = add(z, dot(x, a.weights[i]))
	}
	return z
}

// newGraphUnroll is c, a network of two LSTM layers, in the state of start.
func newGraphUnroll(c *core[float64], start *state[float64]) *graphUnroll {
	u := &graphUnroll{cfg: c.cfg, n: start.n, g: G.NewGraph(), steps: start.steps}
	h := c.cfg.Hidden
	widths := slices.Repeat([]int{1}, c.features)
	rows := func(width, at int) *G.Node {
		return u.matrix(u.n, width, func(i, j int) float64 { return start.block(nil, i/lanes)[at+j*lanes+i%lanes] })
	}
	for l := range 2 {
		u.layers = append(u.layers, [4]graphGate(u.cut(c.phi, append(widths, h), 4, h)))
		u.hidden = append(u.hidden, [2]*G.Node{rows(h, c.state.h[l]), rows(h, c.state.c[l])})
		widths = []int{h}
	}
	u.read = u.cut(c.phi, widths, 1, 1)[0]
	if c.cfg.Inputs&RNNProp != 0 {
		u.mv = [2]*G.Node{rows(1, c.state.m), rows(1, c.state.v)}
	}
	return u
}

// features returns the network's features of gradient g, one column for each. The values of g,
// which must not be 0, decide which branch of log-and-sign each coordinate takes.
func (u *graphUnroll) features(g *G.Node, value []float64) (x G.Nodes) {
	if u.cfg.Inputs&Raw != 0 {
		x = append(x, g)
	}
	if u.cfg.Inputs&LogAndSign != 0 {
		// (s·ln|g|/p - (1-s), sgn g·s + (1-s)·e^p·g), s = 1 where g is large
		large, sign, small := make([]float64, u.n), make([]float64, u.n), make([]float64, u.n)
		for i, v := range value {
			if math.Abs(v) >= math.Exp(-u.cfg.P) {
				large[i], sign[i] = 1, math.Copysign(1, v)
				u.large++
			} else {
				small[i] = 1
				u.small++
			}
		}
		ln := u.times(0.5/u.cfg.P, G.Must(G.Log(mul(g, g))))
		x = append(x, sub(mul(u.column(large), ln), u.column(small)),
			add(u.column(sign), mul(u.column(small), u.times(math.Exp(u.cfg.P), g))))
	}
	if u.cfg.Inputs&RNNProp != 0 {
		const beta, epsilon = 0.95, 1e-8
		for k, moment := range []*G.Node{g, mul(g, g)} {
			u.mv[k] = add(u.times(beta, u.mv[k]), u.times(1-beta, moment))
		}
		unbiased := 1 / (1 - math.Pow(beta, float64(u.steps+1)))
		root := G.Must(G.Sqrt(u.times(unbiased, u.mv[1])))
		d := add(root, u.matrix(u.n, 1, func(int, int) float64 { return epsilon }))
		x = append(x, G.Must(G.HadamardDiv(u.times(unbiased, u.mv[0]), d)), G.Must(G.HadamardDiv(g, d)))
	}
	return x
}

// update returns the network's update when it reads x.
func (u *graphUnroll) update(x G.Nodes) *G.Node {
	for l, gates := range u.layers {
		x = append(x, u.hidden[l][0])
		var z [4]*G.Node
		for k, gate := range gates {
			if z[k] = u.affine(gate, x...); k == 2 {
				z[k] = G.Must(G.Tanh(z[k]))
			} else {
				z[k] = G.Must(G.Sigmoid(z[k]))
			}
		}
		c := add(mul(z[1], u.hidden[l][1]), mul(z[0], z[2]))
		h := mul(z[3], G.Must(G.Tanh(c)))
		u.hidden[l] = [2]*G.Node{h, c}
		x = G.Nodes{h}
	}
	u.steps++
	y := u.affine(u.read, x...)
	if u.cfg.Readout == Tanh {
		y = G.Must(G.Tanh(y))
	}
	return u.times(u.cfg.Scale, y)
}

// run builds L = Σ_{t=1..K} w_t ‖Wθ_t - y‖², has Gorgonia differentiate it, and
// returns L, θ_K and dL/dφ. The gradients that the network reads are the given
// ones, as constants; if through is set they are 2Wᵀ(Wθ_t - y) in the graph.
func (u *graphUnroll) run(q torchQuadratic, theta0, w []float64, grads [][]float64, through bool) (loss float64, theta, dphi []float64, err error) {
	at := func(i, j int) float64 { return q.W[i*q.Dim+j] }
	a, y := u.matrix(u.n, u.n, at), u.column(q.Y)
	a2 := u.matrix(u.n, u.n, func(i, j int) float64 { return 2 * at(j, i) })
	point := u.column(theta0)
	residual := sub(dot(a, point), y)
	sum := u.column(make([]float64, u.n))
	for t, wt := range w {
		g := u.column(grads[t])
		if through {
			g = dot(a2, residual)
		}
		point = add(point, u.update(u.features(g, grads[t])))
		residual = sub(dot(a, point), y)
		sum = add(sum, u.times(wt, mul(residual, residual)))
	}
	cost := G.Must(G.Sum(sum))

	derivatives, err := G.Grad(cost, u.params...)
	if err != nil {
		return 0, nil, nil, err
	}
	k := len(derivatives)
	values := make([]G.Value, k+2)
	for i, node := range append(derivatives, cost, point) {
		G.Read(node, &values[i])
	}
	machine := G.NewTapeMachine(u.g)
	defer machine.Close()
	if err := machine.RunAll(); err != nil {
		return 0, nil, nil, err
	}
	dphi = make([]float64, u.at)
	for i, index := range u.index {
		for j, d := range values[i].Data().([]float64) {
			dphi[index[j]] = d
		}
	}
	return values[k].Data().(float64), values[k+1].Data().([]float64), dphi, nil
}

// TestMetaGradientAgainstGorgonia compares loss, end point and both meta-gradients
// of a window with a graph that Gorgonia differentiated symbolically. Both
// sides sum the same few hundred products of O(1), rounded by 1e-16 each, in
// different orders. Four steps with weights of 0.4 magnify the rounding little: the
// results differ by 5e-16 of the largest component. 1e-12 leaves room for other machines'
// exp and tanh; a wrong derivative is off by far more. Each map of φ is compared on the
// scale of its own largest component, so that a large read-out cannot hide an error in layer 1.
func TestMetaGradientAgainstGorgonia(t *testing.T) {
	for _, cfg := range []Config{
		{Hidden: 3, P: 0.5}, // p so that both branches are taken
		{Hidden: 3, P: 2, Readout: Tanh, Scale: 0.5},
		{Hidden: 3, Inputs: RNNProp},
		{Hidden: 3, Inputs: RNNProp, Readout: Tanh, Scale: 0.5},
		{Hidden: 3, Inputs: Raw},
		{Hidden: 3, Inputs: Raw | LogAndSign | RNNProp, P: 1.5, Readout: Tanh, Scale: 0.5},
	} {
		t.Run(name(cfg), func(t *testing.T) {
			const n, tol = 5, 1e-12
			w := []float64{1, 0.5, 2, 1.5}
			rng := rand.New(rand.NewPCG(7, 8))
			q := torchQuadratic{Batch: 1, Dim: n, W: make([]float64, n*n), Y: make([]float64, n)}
			theta := make([]float64, n)
			for _, x := range [][]float64{q.W, q.Y, theta} {
				for i := range x {
					x[i] = 0.5 * rng.NormFloat64()
				}
			}
			c := randomCore(cfg, rng)
			start := warm(c, n, 3)
			r := unroll(c, q, theta, start, len(w), w, nil, nil)
			first := make([]float64, c.size)
			new(adjoint[float64]).run(first, start, r.grads[:len(w)], nil, r.grads[1:], w, nil, nil)

			var wants [2][]float64
			for mode, dphi := range [][]float64{first, full(c, q, r, w)} {
				u := newGraphUnroll(c, start)
				loss, end, want, err := u.run(q, theta, w, r.grads, mode == 1)
				if err != nil {
					t.Fatal(err)
				}
				if c.cfg.Inputs&LogAndSign != 0 && (u.large == 0 || u.small == 0) {
					t.Fatalf("log-and-sign has seen %d large and %d small gradients", u.large, u.small)
				}
				compare(t, "loss", []float64{r.loss}, []float64{loss}, tol)
				compare(t, "end point", r.theta, end, tol)
				if len(want) != len(dphi) || slices.Contains(want, 0) {
					t.Fatalf("the graph has gradients %v of a network of %d parameters", want, len(dphi))
				}
				for _, m := range c.maps {
					what := fmt.Sprintf("order %d: dL/dφ of %s,", mode+1, m.name)
					compare(t, what, dphi[m.off:][:m.size()], want[m.off:][:m.size()], tol)
				}
				wants[mode] = want
			}
			apart := 0.0 // as far as second derivatives matter
			for i, d := range wants[0] {
				apart = max(apart, math.Abs(d-wants[1][i]))
			}
			if apart < 1e-3 {
				t.Errorf("the two meta-gradients are only %v apart", apart)
			}
		})
	}
}
