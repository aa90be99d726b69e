package gorgoniaopt_test

import (
	"errors"
	"math"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	gorgoniaopt "learnedopt/adapters/gorgonia"
	"learnedopt/baselines"
	"learnedopt/curvature"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
)

// meanDivergence is KL(θ ‖ θ') from the outputs of the reference.
func (c *classifier) meanDivergence(theta, to []float64) (kl float64) {
	z, _ := c.along(theta, make([]float64, len(theta)))
	w, _ := c.along(to, make([]float64, len(theta)))
	for i := 0; i < len(z); i += c.out {
		p, q := softmaxOf(z[i:i+c.out]), softmaxOf(w[i:i+c.out])
		for j := range p {
			kl += p[j] * math.Log(p[j]/q[j])
		}
	}
	return kl / float64(c.batch)
}

// Every step of a trust region has KL ≤ δ, recomputed from the logits, and no loss rises on its minibatch. The constraint is used: some step has
// more than half of δ.
func TestTrustRegionOfAGraph(t *testing.T) {
	for _, of := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		const radius = 0.02
		c := newClassifier(t, of, "tanh", gorgoniaopt.CrossEntropy, 12)
		c.start(t)
		steps := 0
		solver := gorgoniaopt.New(curvature.TrustRegion{Radius: radius, OnStep: func(s curvature.Step) {
			if s.Accepted {
				steps++
			}
		}})
		solver.SetCurvature(c.curvature(t))
		last, largest := math.Inf(1), 0.0
		for step := range 12 {
			before := c.theta()
			if err := c.step(solver); err != nil {
				t.Fatal(err)
			}
			loss := wide(c.costValue)[0]
			if loss > last*(1+1e-6) {
				t.Errorf("%v, step %d: the loss rises from %v to %v", of, step, last, loss)
			}
			last = loss
			kl := c.meanDivergence(before, c.theta())
			if largest = max(largest, kl); !(kl <= radius*(1+1e-3)) { // weights of float32 are rounded after the trial
				t.Errorf("%v, step %d: a divergence of %v", of, step, kl)
			}
		}
		if steps < 10 || largest < radius/2 {
			t.Errorf("%v: %d steps accepted, the largest divergence is %v", of, steps, largest)
		}
	}
}

// A natural gradient without damping solves least squares in one step.
func TestLeastSquaresInOneStep(t *testing.T) {
	c := newClassifier(t, tensor.Float64, "identity", gorgoniaopt.SquaredError, 12)
	c.start(t)
	last := c.nodes[2:] // the output is linear in the weights of the last layer
	solver := gorgoniaopt.New(curvature.NaturalGradient{LearningRate: 1, Fixed: true, Damping: 1e-9, Iterations: 100, Tolerance: 1e-12})
	solver.SetCurvature(curvatureOf(t, c.predictions(), last...))
	if err := c.machine.RunAll(); err != nil {
		t.Fatal(err)
	}
	c.machine.Reset()
	if err := solver.Step(gorgonia.NodesToValueGrads(last)); err != nil {
		t.Fatal(err)
	}
	// At the solution the residuals are orthogonal to the features and to 1.
	theta := c.theta()
	z, _ := c.along(theta, make([]float64, len(theta)))
	for o := range c.out {
		for j := range c.hidden + 1 {
			sum, size := 0.0, 0.0
			for i := range c.batch {
				feature := 1.0
				if j < c.hidden {
					feature = theta[c.in*c.hidden+j]
					for k := range c.in {
						feature += c.x[i*c.in+k] * theta[k*c.hidden+j]
					}
				}
				sum += feature * (z[i*c.out+o] - c.y[i*c.out+o])
				size += math.Abs(feature)
			}
			if math.Abs(sum) > 1e-5*size {
				t.Errorf("output %d: residuals · feature %d = %v", o, j, sum)
			}
		}
	}
}

// The KL guard bounds a learned rule that takes too long steps, and leaves a rule alone that does not. A run that is saved and resumed goes on bit for bit.
func TestKLGuardOfAGraph(t *testing.T) {
	const radius = 0.01
	long := baselines.SGD{LearningRate: 50}
	for name, rule := range map[string]optimizer.Rule{"learned": pretrained(t, "mlp").Rule(), "long steps": long, "short steps": baselines.SGD{LearningRate: 1e-4}} {
		acted := 0
		bounded := metaopt.Bounded{Rule: rule, Guard: metaopt.KLGuard{Radius: radius, Patience: 1000, OnStep: func(s metaopt.KLStep) {
			if s.Scale < 1 {
				acted++
			}
		}}}
		network := func() *classifier {
			c := newClassifier(t, tensor.Float32, "relu", gorgoniaopt.CrossEntropy, 8)
			c.start(t)
			return c
		}
		// Two runs are resumed. The curvature of the second has the nodes in another order, and so its sums have other roundings.
		c, plain, resumed, unguarded := network(), network(), []*classifier{network(), network()}, gorgoniaopt.New(rule)
		orders := [][]int{{0, 1, 2, 3}, {2, 0, 3, 1}}
		solver, seconds := gorgoniaopt.New(bounded), make([]*gorgoniaopt.Solver, 2)
		solver.SetCurvature(c.curvature(t))
		for step := range 8 {
			before := c.theta()
			if step == 4 {
				data, err := solver.MarshalBinary()
				if err != nil {
					t.Fatal(err)
				}
				for k, r := range resumed {
					seconds[k] = gorgoniaopt.New(metaopt.Bounded{Rule: rule, Guard: metaopt.KLGuard{Radius: radius, Patience: 1000}})
					if err := seconds[k].UnmarshalBinary(data); err != nil {
						t.Fatal(err)
					}
					var nodes gorgonia.Nodes
					for i, n := range c.nodes {
						nodes = append(nodes, r.nodes[orders[k][i]])
						copy(r.nodes[i].Value().Data().([]float32), n.Value().Data().([]float32))
					}
					seconds[k].SetCurvature(curvatureOf(t, r.predictions(), nodes...))
				}
			}
			if err := c.step(solver); err != nil {
				t.Fatal(err)
			}
			if name == "short steps" {
				if err := plain.step(unguarded); err != nil {
					t.Fatal(err)
				}
			}
			if kl := c.meanDivergence(before, c.theta()); !(kl <= radius*(1+1e-3)) {
				t.Errorf("%s, step %d: a divergence of %v", name, step, kl)
			}
			for k, s := range seconds {
				if s != nil {
					if err := resumed[k].step(s); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		if !slices.Equal(resumed[0].theta(), c.theta()) {
			t.Errorf("%s: resumed at %v, uninterrupted %v", name, resumed[0].theta(), c.theta())
		}
		for i, x := range resumed[1].theta() {
			if want := c.theta()[i]; !(math.Abs(x-want) <= 1e-3) {
				t.Errorf("%s, nodes in another order: weight %d is %v, want %v", name, i, x, want)
			}
		}
		switch {
		case name == "short steps" && (acted != 0 || !slices.Equal(c.theta(), plain.theta())):
			t.Errorf("%s: the guard acts %d times", name, acted)
		case name == "long steps" && acted < 6:
			t.Errorf("%s: the guard acts %d times", name, acted)
		}
	}
}

// Rules with curvature on what a graph cannot do: errors by name, before the first step where that is possible, and no change of the weights.
func TestCurvatureRefusals(t *testing.T) {
	type refusal struct {
		what, want string
		err        error
	}
	var all []refusal
	add := func(what, want string, err error) { all = append(all, refusal{what, want, err}) }
	of := func(change func(p *gorgoniaopt.Predictions, c *classifier)) error {
		c := newClassifier(t, tensor.Float64, "tanh", gorgoniaopt.CrossEntropy, 6)
		p := c.predictions()
		change(&p, c)
		made, err := gorgoniaopt.NewCurvature(p, c.nodes...)
		if err == nil {
			v := make([]float64, made.Len())
			err = made.Product(v, v, optimizer.Fisher, 0)
		}
		return err
	}
	scaled := func(n *gorgonia.Node, by float64) *gorgonia.Node {
		return gorgonia.Must(gorgonia.Mul(n, gorgonia.NewConstant(by)))
	}
	add("no output", "Output is nil", of(func(p *gorgoniaopt.Predictions, _ *classifier) { p.Output = nil }))
	add("no cost", "Cost is nil", of(func(p *gorgoniaopt.Predictions, _ *classifier) { p.Cost = nil }))
	add("no loss", "set it to CrossEntropy or SquaredError", of(func(p *gorgoniaopt.Predictions, _ *classifier) { p.Loss = 0 }))
	add("another graph", "not in the graph", of(func(p *gorgoniaopt.Predictions, _ *classifier) {
		p.Targets = newClassifier(t, tensor.Float64, "tanh", gorgoniaopt.CrossEntropy, 6).targets
	}))
	add("another shape", "both must be the same", of(func(p *gorgoniaopt.Predictions, c *classifier) { p.Targets = c.inputs }))
	add("no scalar", "want a scalar", of(func(p *gorgoniaopt.Predictions, c *classifier) { p.Cost = c.output }))
	add("the probabilities as the output", "name the logits", of(func(p *gorgoniaopt.Predictions, c *classifier) { p.Output = c.probabilities }))
	add("another loss", "or the right Loss", of(func(p *gorgoniaopt.Predictions, _ *classifier) { p.Loss = gorgoniaopt.SquaredError }))
	add("the sum over the examples", "Predictions.Cost is 6 times", of(func(p *gorgoniaopt.Predictions, c *classifier) { p.Cost = scaled(c.cost, 6) }))
	add("the mean over examples and classes", "multiply the cost by 3", of(func(p *gorgoniaopt.Predictions, c *classifier) { p.Cost = scaled(c.cost, 1.0/3) }))
	add("a cost without the output", "", of(func(p *gorgoniaopt.Predictions, c *classifier) {
		p.Cost = gorgonia.Must(gorgonia.Mean(c.nodes[0]))
	}))
	add("an output without weights", "does not depend on any of the learnables", of(func(p *gorgoniaopt.Predictions, c *classifier) {
		p.Output = gorgonia.Must(gorgonia.Square(c.targets))
		p.Cost, _ = meanLoss(p.Output, c.targets, gorgoniaopt.CrossEntropy)
	}))
	add("an output of three dimensions", "want (examples, outputs)", of(func(p *gorgoniaopt.Predictions, c *classifier) {
		p.Output = gorgonia.Must(gorgonia.Reshape(c.output, tensor.Shape{6, 3, 1}))
	}))
	// Operations by name.
	hidden := func(f func(h *gorgonia.Node) *gorgonia.Node) error {
		return of(func(p *gorgoniaopt.Predictions, c *classifier) {
			p.Output = f(c.output)
			p.Cost, _ = meanLoss(p.Output, c.targets, gorgoniaopt.CrossEntropy)
		})
	}
	dropout := hidden(func(h *gorgonia.Node) *gorgonia.Node { return gorgonia.Must(gorgonia.Dropout(h, 0.5)) })
	add("dropout", "ropout", dropout)
	noise := hidden(func(h *gorgonia.Node) *gorgonia.Node {
		return gorgonia.Must(gorgonia.Add(h, gorgonia.GaussianRandomNode(h.Graph(), tensor.Float64, 0, 1, 6, 3)))
	})
	add("noise", "draws new numbers", noise)
	softmax := hidden(func(h *gorgonia.Node) *gorgonia.Node { return scaled(gorgonia.Must(gorgonia.SoftMax(h)), 3) })
	add("softmax inside", "SoftmaxDiff", softmax)
	for _, err := range []error{dropout, noise, softmax} {
		var op *gorgoniaopt.OpError
		if !errors.As(err, &op) || op.Op == nil {
			t.Errorf("%v is no OpError", err)
		}
	}
	// Learnables.
	c := newClassifier(t, tensor.Float64, "tanh", gorgoniaopt.CrossEntropy, 6)
	_, err := gorgoniaopt.NewCurvature(c.predictions())
	add("no learnables", "no nodes", err)
	_, err = gorgoniaopt.NewCurvature(c.predictions(), c.nodes[0], c.nodes[0])
	add("twice", "listed twice", err)
	_, err = gorgoniaopt.NewCurvature(c.predictions(), newClassifier(t, tensor.Float64, "tanh", gorgoniaopt.CrossEntropy, 6).nodes...)
	add("learnables of another graph", "not in the graph", err)
	// Solvers.
	stepped := func(rule optimizer.Rule, made *gorgoniaopt.Curvature) error {
		c.start(t)
		before := c.theta()
		solver := gorgoniaopt.New(rule)
		solver.SetCurvature(made)
		err := c.step(solver)
		if !slices.Equal(before, c.theta()) {
			t.Errorf("%T: the weights moved, and %v", rule, err)
		}
		return err
	}
	natural := curvature.NaturalGradient{LearningRate: 1}
	add("no curvature", "Fisher-vector products", stepped(natural, nil))
	c = newClassifier(t, tensor.Float64, "tanh", gorgoniaopt.CrossEntropy, 6)
	add("K-FAC", "the factors of dense layers", stepped(curvature.KFAC{LearningRate: 0.1}, c.curvature(t)))
	c = newClassifier(t, tensor.Float64, "tanh", gorgoniaopt.CrossEntropy, 6)
	add("the Hessian", "Hessian-vector products", stepped(curvature.NaturalGradient{LearningRate: 1, Metric: optimizer.Hessian}, c.curvature(t)))
	c = newClassifier(t, tensor.Float64, "tanh", gorgoniaopt.CrossEntropy, 6)
	add("another minibatch", "leave out OwnBatch", stepped(curvature.NaturalGradient{LearningRate: 1, OwnBatch: true}, c.curvature(t)))
	c = newClassifier(t, tensor.Float64, "tanh", gorgoniaopt.CrossEntropy, 6)
	add("fewer nodes", "the curvature is of 2 nodes", stepped(natural, curvatureOf(t, c.predictions(), c.nodes[:2]...)))
	made := c.curvature(t)
	c = newClassifier(t, tensor.Float64, "tanh", gorgoniaopt.CrossEntropy, 6)
	add("of another graph", "call SetCurvature", stepped(natural, made))
	for _, r := range all {
		if r.err == nil || !contains(r.err, r.want) {
			t.Errorf("%s: %v, want %q", r.what, r.err, r.want)
			continue
		}
		var need *optimizer.NeedError
		if !errors.Is(r.err, gorgoniaopt.ErrModel) && !errors.As(r.err, &need) {
			t.Errorf("%s: %v is not typed", r.what, r.err)
		}
	}
	for what, f := range map[string]func(){
		"metric": func() {
			_ = made.Product(make([]float64, made.Len()), make([]float64, made.Len()), optimizer.Hessian, 0)
		},
		"length": func() { _ = made.Product(make([]float64, 3), make([]float64, made.Len()), optimizer.Fisher, 0) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", what)
				}
			}()
			f()
		}()
	}
}

// Bad input: one example, a class that the model says never occurs, weights at which the Fisher matrix is 0, and non-finite numbers give a finite step or
// a typed error.
func TestCurvatureOfBadInput(t *testing.T) {
	for name, change := range map[string]func(c *classifier){
		"an unused class": func(c *classifier) { c.nodes[3].Value().Data().([]float32)[1] = -1e4 },
		"certain": func(c *classifier) {
			copy(c.nodes[3].Value().Data().([]float32), []float32{3e4, 0, -3e4})
		},
		"zeros": func(c *classifier) {
			for _, n := range c.nodes {
				clear(n.Value().Data().([]float32))
			}
		},
		"a weight that is NaN": func(c *classifier) { c.nodes[2].Value().Data().([]float32)[0] = float32(math.NaN()) },
		"infinite inputs":      func(c *classifier) { c.inputs.Value().Data().([]float32)[0] = float32(math.Inf(1)) },
	} {
		for _, rule := range []optimizer.Rule{curvature.NaturalGradient{LearningRate: 1}, curvature.TrustRegion{Radius: 0.01},
			metaopt.Bounded{Rule: baselines.SGD{LearningRate: 30}, Guard: metaopt.KLGuard{Radius: 0.01}}} {
			c := newClassifier(t, tensor.Float32, "relu", gorgoniaopt.CrossEntropy, 1)
			change(c)
			c.start(t)
			solver := gorgoniaopt.New(rule)
			solver.SetCurvature(c.curvature(t))
			for range 2 {
				err := c.step(solver)
				var diverged *optimizer.DivergedError
				if err != nil && !errors.As(err, &diverged) {
					t.Errorf("%s, %T: %v", name, rule, err)
				}
				bad := slices.ContainsFunc(c.theta(), func(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) })
				if err == nil && bad || err == nil && name == "infinite inputs" {
					t.Errorf("%s, %T: a step to %v", name, rule, c.theta())
				}
				if err != nil {
					break
				}
			}
		}
	}
}
