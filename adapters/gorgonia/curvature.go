package gorgoniaopt

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gorgonia.org/gorgonia"

	"learnedopt/internal/precondition"
	"learnedopt/internal/stream"
	"learnedopt/optimizer"
)

// A Curvature multiplies Fisher matrices of a Gorgonia graph by vectors, exactly. With z the graph's output for the B examples of the
// minibatch that its inputs hold, and J_i = ∂z_i/∂θ,
//
//	F v = 1/B Σ_i J_iᵀ Λ_i J_i v
//
// The metrics optimizer.Fisher, SampledFisher and EmpiricalFisher have the Λ_i that package optimizer says. J v is computed from a
// graph that Gorgonia derives: Jᵀu with a vector u as an input is linear in u, so that ∂(vᵀJᵀu)/∂u = J v. No second derivative of
// the model is needed, and there are no differences. A product costs about two gradients.
//
// A Curvature works on copies of the graph and of the weights; the graph and its machine are left alone. It reads the minibatch from
// the graph's other inputs at each product. So it belongs to the goroutine that runs that machine.
type Curvature struct {
	predictions Predictions
	nodes       gorgonia.Nodes
	own         []int // where the coordinates of each node begin in vectors of Product
	size        int

	weights, along []array // the values of the copies, and of v
	data           []datum
	cotangent      array // u
	// push computes z and J v, pull Jᵀu, outcome z and the cost, derivative ∂cost/∂z and the targets.
	push, pull, outcome, derivative *program
	reached                         []int // the nodes whose gradients pull computes, in its order
	rows, columns                   int
	checked                         bool
	z, y, t, p, q, one              []float64
}

// A datum is an input of the graph that is not a weight, and its copies.
type datum struct {
	node   *gorgonia.Node
	copies gorgonia.Nodes
}

// NewCurvature returns the curvature of the graph of the predictions with respect to the learnables: the nodes that a solver gets.
//
// An operation that Gorgonia cannot differentiate, or that draws random numbers or behaves differently in training, as dropout and
// batch normalization, is an *OpError. Other faults of the nodes are errors that wrap ErrModel.
func NewCurvature(predictions Predictions, learnables ...*gorgonia.Node) (*Curvature, error) {
	c := &Curvature{predictions: predictions, nodes: slices.Clone(learnables)}
	if err := predictions.check(); err != nil {
		return nil, err
	}
	c.rows, c.columns = predictions.size()
	outputs := c.rows * c.columns
	c.z, c.y, c.t = make([]float64, outputs), make([]float64, outputs), make([]float64, outputs)
	c.p, c.q, c.one = make([]float64, c.columns), make([]float64, c.columns), make([]float64, 1)
	values := map[*gorgonia.Node]gorgonia.Value{}
	for i, n := range learnables {
		s, err := describe(i, n)
		if err != nil {
			return nil, err
		}
		switch {
		case n.Graph() != predictions.Output.Graph():
			return nil, fmt.Errorf("%w: %s is not in the graph of Predictions.Output", ErrModel, s.label(i))
		case values[n] != nil:
			return nil, fmt.Errorf("%w: %s is listed twice", ErrModel, s.label(i))
		}
		v, a, err := zeros(n)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrModel, s.label(i), err)
		}
		values[n] = v
		c.weights, c.own = append(c.weights, a), append(c.own, c.size)
		c.size += s.size
	}
	if c.size == 0 {
		return nil, errEmpty
	}
	if err := c.build(values); err != nil {
		return nil, err
	}
	return c, nil
}

// build makes the programs. values are the values of the copies of the learnables.
func (c *Curvature) build(values map[*gorgonia.Node]gorgonia.Value) error {
	p := &c.predictions
	// Jᵀu, in a copy of the graph, and J v, in a copy of that one.
	back, err := replicate(nil, p.Output)
	if err != nil {
		return err
	}
	z := back.copies[p.Output]
	u := like(z, "cotangent")
	var wrt gorgonia.Nodes
	for i, n := range c.nodes {
		if copied, ok := back.copies[n]; ok {
			wrt, c.reached = append(wrt, copied), append(c.reached, i)
		}
	}
	if len(wrt) == 0 {
		return fmt.Errorf("%w: Predictions.Output does not depend on any of the learnables", ErrModel)
	}
	grads, err := backpropagate(z, u, wrt)
	if err != nil {
		return err
	}
	forth, err := replicate(back, append(gorgonia.Nodes{z, u}, grads...)...)
	if err != nil {
		return err
	}
	jv, err := c.tangent(forth, u, grads)
	if err != nil {
		return err
	}
	cost, err := replicate(nil, p.Output, p.Targets, p.Cost)
	if err != nil {
		return err
	}
	slope, err := backpropagate(cost.copies[p.Cost], unit(cost.copies[p.Cost]), gorgonia.Nodes{cost.copies[p.Output]})
	if err != nil {
		return err
	}
	// One value for each weight and for u, whatever the copies are.
	cotangent, a, err := zeros(u)
	if err != nil {
		return err
	}
	c.cotangent = a
	for _, r := range []*replica{back, cost} {
		if err := c.bind(r, r.leaves, func(n *gorgonia.Node) *gorgonia.Node { return r.copies[n] }, values); err != nil {
			return err
		}
	}
	if err := c.bind(forth, back.leaves, func(n *gorgonia.Node) *gorgonia.Node { return forth.copies[back.copies[n]] }, values); err != nil {
		return err
	}
	for _, n := range (gorgonia.Nodes{u, forth.copies[u]}) {
		if err := gorgonia.Let(n, cotangent); err != nil {
			return err
		}
	}
	for _, q := range []struct {
		dst   **program
		nodes gorgonia.Nodes
	}{
		{&c.push, gorgonia.Nodes{forth.copies[z], jv}},
		{&c.pull, grads},
		{&c.outcome, gorgonia.Nodes{cost.copies[p.Output], cost.copies[p.Cost]}},
		{&c.derivative, gorgonia.Nodes{cost.copies[p.Output], slope[0], cost.copies[p.Targets]}},
	} {
		if *q.dst, err = compile(q.nodes...); err != nil {
			return err
		}
	}
	return nil
}

// tangent returns J v in a replica of the gradients Jᵀu, and makes the leaves for v.
func (c *Curvature) tangent(r *replica, u *gorgonia.Node, grads gorgonia.Nodes) (*gorgonia.Node, error) {
	var terms gorgonia.Nodes
	c.along = make([]array, len(grads))
	for i, g := range grads {
		g = r.copies[g]
		v := like(g, fmt.Sprint("tangent ", i))
		value, a, err := zeros(v)
		if err == nil {
			err = gorgonia.Let(v, value)
		}
		if err != nil {
			return nil, err
		}
		c.along[i] = a
		term, err := gorgonia.HadamardProd(g, v)
		if err == nil && !term.IsScalar() {
			term, err = gorgonia.Sum(term)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrModel, err)
		}
		terms = append(terms, term)
	}
	sum, err := gorgonia.ReduceAdd(terms)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrModel, err)
	}
	jv, err := backpropagate(sum, unit(sum), gorgonia.Nodes{r.copies[u]})
	if err != nil {
		return nil, err
	}
	return jv[0], nil
}

// bind gives the copies of weights their values, and remembers those of data.
func (c *Curvature) bind(r *replica, leaves gorgonia.Nodes, of func(*gorgonia.Node) *gorgonia.Node, values map[*gorgonia.Node]gorgonia.Value) error {
	for _, n := range leaves {
		copied := of(n)
		if copied == nil {
			continue // the gradients do not depend on it
		}
		if v, ok := values[n]; ok {
			if err := gorgonia.Let(copied, v); err != nil {
				return fmt.Errorf("%w: %w", ErrModel, err)
			}
			continue
		}
		i := slices.IndexFunc(c.data, func(d datum) bool { return d.node == n })
		if i < 0 {
			i, c.data = len(c.data), append(c.data, datum{node: n})
		}
		c.data[i].copies = append(c.data[i].copies, copied)
	}
	return nil
}

// refresh takes over the minibatch, and checks the cost at the first point.
func (c *Curvature) refresh() error {
	for _, d := range c.data {
		v := d.node.Value()
		if v == nil {
			return fmt.Errorf("%w: the input %s has no value; give it one by gorgonia.Let before the step", ErrModel, d.node.Name())
		}
		for _, copied := range d.copies {
			if err := gorgonia.Let(copied, v); err != nil {
				return fmt.Errorf("%w: the input %s: %w", ErrModel, d.node.Name(), err)
			}
		}
	}
	if c.checked {
		return nil
	}
	if err := c.differentiate(); err != nil {
		return err
	}
	if err := c.predictions.fits(c.t, c.z, c.y); err != nil {
		return err
	}
	if err := c.transpose(); err != nil {
		return err
	}
	c.checked = true
	return nil
}

// transpose returns a *DerivativeError unless ⟨u, Jv⟩ = ⟨Jᵀu, v⟩ for some u and v: J v is from derivatives of Gorgonia's derivatives,
// which are wrong for some operations.
func (c *Curvature) transpose() error {
	rng, jv := rand.New(rand.NewPCG(1, 1)), make([]float64, len(c.t))
	var along []float64
	for _, a := range c.along {
		v := make([]float64, a.size)
		for i := range v {
			v[i] = rng.NormFloat64()
		}
		a.set(v)
		along = append(along, v...)
	}
	u := make([]float64, len(c.t))
	for i := range u {
		u[i] = rng.NormFloat64()
	}
	c.cotangent.set(u)
	if err := c.push.run(); err != nil {
		return err
	}
	if err := c.push.result(1, jv); err != nil {
		return err
	}
	if err := c.pull.run(); err != nil {
		return err
	}
	var back []float64
	for k, a := range c.along {
		g := make([]float64, a.size)
		if err := c.pull.result(k, g); err != nil {
			return err
		}
		back = append(back, g...)
	}
	forward, backward := dotted(u, jv), dotted(back, along)
	// The terms of the sums carry errors of float32, and so do u and v themselves.
	scale := math.Sqrt(dotted(u, u)*dotted(jv, jv)) + math.Sqrt(dotted(back, back)*dotted(along, along))
	if math.Abs(forward-backward) > transposeTolerance*scale {
		return &DerivativeError{Forward: forward, Backward: backward}
	}
	return nil
}

// transposeTolerance is far above errors of float32, and far below what a wrong derivative gives: about 1/√n of the scale, for n outputs.
const transposeTolerance = 1e-4

// differentiate sets z, y and t = ∂cost/∂z.
func (c *Curvature) differentiate() error {
	if err := c.derivative.run(); err != nil {
		return err
	}
	for i, dst := range [][]float64{c.z, c.t, c.y} {
		if err := c.derivative.result(i, dst); err != nil {
			return err
		}
	}
	return nil
}

// Len returns n, the number of coordinates: the elements of each learnable in row-major order, one learnable after the other.
func (c *Curvature) Len() int { return c.size }

// Metrics returns the metrics of Product.
func (c *Curvature) Metrics() optimizer.Metric {
	return optimizer.Fisher | optimizer.SampledFisher | optimizer.EmpiricalFisher
}

// Product writes F v into dst, at the current weights and inputs of the graph; both have length Len, and dst may be v. step selects the labels that
// SampledFisher draws: they are the same at every call with the same step. The precision is that of the graph, float32 or float64.
//
// At the first call it checks that the cost is the loss of the predictions, and returns a *LossError if it is not. Other errors are
// Gorgonia's, and wrap ErrModel. Numbers that overflow are returned as they are. Wrong lengths and other metrics panic.
func (c *Curvature) Product(dst, v []float64, metric optimizer.Metric, step int) error {
	precondition.Length("gorgoniaopt", "dst", dst, c.size)
	precondition.Length("gorgoniaopt", "v", v, c.size)
	for i, n := range c.nodes {
		a, err := read(n.Value())
		if err != nil {
			return fmt.Errorf("%w: %s has %w", ErrModel, n.Name(), err)
		}
		flat := make([]float64, a.size)
		a.copyTo(flat)
		c.weights[i].set(flat)
	}
	return c.product(dst, v, metric, step, c.own)
}

// product is Product at the weights of the copies. Node i begins at at[i] in dst and v.
func (c *Curvature) product(dst, v []float64, metric optimizer.Metric, step int, at []int) error {
	if kind := metric.Kind(); kind&c.Metrics() == 0 || kind&(kind-1) != 0 || kind != metric && kind != optimizer.SampledFisher {
		panic(errMetric)
	}
	if err := c.refresh(); err != nil {
		return err
	}
	for k, i := range c.reached {
		c.along[k].set(v[at[i] : at[i]+c.along[k].size])
	}
	if err := c.push.run(); err != nil {
		return err
	}
	for i, to := range [][]float64{c.z, c.t} {
		if err := c.push.result(i, to); err != nil {
			return err
		}
	}
	var draws *rand.Rand
	switch metric.Kind() {
	case optimizer.SampledFisher:
		draws = stream.New(0, "fisher labels", uint64(step))
	case optimizer.EmpiricalFisher:
		if err := c.targets(); err != nil {
			return err
		}
	}
	for i := 0; i < len(c.t); i += c.columns {
		to := i + c.columns
		c.predictions.Loss.multiply(c.t[i:to], c.z[i:to], c.y[i:to], metric, draws, c.p, c.q)
	}
	for i := range c.t {
		c.t[i] /= float64(c.rows)
	}
	c.cotangent.set(c.t)
	if err := c.pull.run(); err != nil {
		return err
	}
	clear(dst)
	for k, i := range c.reached {
		if err := c.pull.result(k, dst[at[i]:at[i]+c.along[k].size]); err != nil {
			return err
		}
	}
	return nil
}

// targets sets y.
func (c *Curvature) targets() error {
	t := slices.Clone(c.t)
	err := c.differentiate()
	copy(c.t, t)
	return err
}

// evaluate writes the outputs at the weights of the copies, and returns the cost.
func (c *Curvature) evaluate(z []float64) (float64, error) {
	if err := c.outcome.run(); err != nil {
		return 0, err
	}
	if err := c.outcome.result(0, z); err != nil {
		return 0, err
	}
	err := c.outcome.result(1, c.one)
	return c.one[0], err
}

// divergence returns the mean of KL of the predictions w from z.
func (c *Curvature) divergence(z, w []float64) (kl float64) {
	for i := 0; i < len(z); i += c.columns {
		kl += c.predictions.Loss.divergence(z[i:i+c.columns], w[i:i+c.columns], c.p, c.q)
	}
	return kl / float64(c.rows)
}

// Close releases the machines.
func (c *Curvature) Close() error {
	for _, p := range []*program{c.push, c.pull, c.outcome, c.derivative} {
		if err := p.machine.Close(); err != nil {
			return err
		}
	}
	return nil
}

// A view is a Curvature at the vectors of a solver's rule, on the data of its current step.
type view struct {
	*Curvature
	at          []int // where the coordinates of each node begin in the rule's vectors
	step        int
	wide, along []float64
	// The outputs and the cost of the last point that Try compared with.
	theta []float32
	z, w  []float64
	cost  float64
	tried bool // whether there is such a point at this step
}

var (
	_ optimizer.Curvature = (*view)(nil)
	_ optimizer.Trier     = (*view)(nil)
)

// viewOf returns the view for the slots of a solver.
func (c *Curvature) viewOf(slots []slot) (*view, error) {
	v := &view{Curvature: c, at: make([]int, len(c.nodes)), wide: make([]float64, c.size), along: make([]float64, c.size), theta: make([]float32, c.size),
		z: make([]float64, len(c.z)), w: make([]float64, len(c.z))}
	if len(slots) != len(c.nodes) {
		return nil, fmt.Errorf("%w: the curvature is of %d nodes, the solver has %d; make it with the nodes that the solver gets", ErrModel, len(c.nodes), len(slots))
	}
	for i, n := range c.nodes {
		k := slices.IndexFunc(slots, func(s slot) bool { return s.node == gorgonia.ValueGrad(n) })
		if k < 0 {
			return nil, fmt.Errorf("%w: the curvature is of a node %s, which the solver does not have; make it anew for this graph, and call SetCurvature", ErrModel, n.Name())
		}
		v.at[i] = slots[k].at
	}
	return v, nil
}

// begin starts a step.
func (v *view) begin(step int) { v.step, v.tried = step, false }

// move sets the weights of the copies.
func (v *view) move(theta []float32) {
	for i, x := range theta {
		v.wide[i] = float64(x)
	}
	for i, a := range v.weights {
		a.set(v.wide[v.at[i] : v.at[i]+a.size])
	}
}

// now returns an error unless step is the current one.
func (v *view) now(step int) error {
	if step != v.step {
		return fmt.Errorf("%w: curvature of step %d at step %d: a graph holds one minibatch; leave out OwnBatch", ErrModel, step, v.step)
	}
	return nil
}

// CurvatureProduct implements optimizer.Curvature.
func (v *view) CurvatureProduct(dst, theta, along []float32, metric optimizer.Metric, step int) error {
	if err := v.now(step); err != nil {
		return err
	}
	v.move(theta)
	for i, x := range along {
		v.along[i] = float64(x)
	}
	if err := v.product(v.wide, v.along, metric, step, v.at); err != nil {
		return err
	}
	for i, x := range v.wide {
		dst[i] = float32(x)
	}
	return nil
}

// CanTry implements optimizer.Trier.
func (v *view) CanTry() bool { return true }

// Try implements optimizer.Trier.
func (v *view) Try(theta, to []float32, step int) (optimizer.Trial, error) {
	if err := v.now(step); err != nil {
		return optimizer.Trial{}, err
	}
	if !v.tried || !slices.EqualFunc(v.theta, theta, func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }) {
		v.move(theta)
		if err := v.refresh(); err != nil {
			return optimizer.Trial{}, err
		}
		var err error
		if v.cost, err = v.evaluate(v.z); err != nil {
			return optimizer.Trial{}, err
		}
		copy(v.theta, theta)
		v.tried = true
	}
	v.move(to)
	cost, err := v.evaluate(v.w)
	if err != nil {
		return optimizer.Trial{}, err
	}
	return optimizer.Trial{Change: cost - v.cost, KL: v.divergence(v.z, v.w)}, nil
}
