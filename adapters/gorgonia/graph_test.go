package gorgoniaopt_test

import (
	"math"
	"os"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	gorgoniaopt "learnedopt/adapters/gorgonia"
	"learnedopt/baselines"
)

// A regression is a small network on a fixed minibatch, as a graph: y ≈ tanh(x W) v + c.
type regression struct {
	machine gorgonia.VM
	nodes   gorgonia.Nodes
	cost    gorgonia.Value
}

// newRegression builds the same network on the same data for the same batch size.
func newRegression(t testing.TB, batch int) *regression {
	t.Helper()
	const in, hidden = 4, 3
	rng := source("regression")
	r := &regression{}
	g := gorgonia.NewGraph()
	w := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithName("W"), gorgonia.WithShape(in, hidden), gorgonia.WithValue(dense(normal(rng, in*hidden), in, hidden)))
	v := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithName("v"), gorgonia.WithShape(hidden), gorgonia.WithValue(dense(normal(rng, hidden), hidden)))
	c := gorgonia.NewScalar(g, tensor.Float32, gorgonia.WithName("c"), gorgonia.WithValue(float32(0.5)))
	x := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithName("x"), gorgonia.WithShape(batch, in), gorgonia.WithValue(dense(normal(rng, batch*in), batch, in)))
	y := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithName("y"), gorgonia.WithShape(batch), gorgonia.WithValue(dense(normal(rng, batch), batch)))
	h := gorgonia.Must(gorgonia.Tanh(gorgonia.Must(gorgonia.Mul(x, w))))
	out := gorgonia.Must(gorgonia.Add(gorgonia.Must(gorgonia.Mul(h, v)), c))
	cost := gorgonia.Must(gorgonia.Mean(gorgonia.Must(gorgonia.Square(gorgonia.Must(gorgonia.Sub(out, y))))))
	gorgonia.Read(cost, &r.cost)
	r.nodes = gorgonia.Nodes{w, v, c}
	if _, err := gorgonia.Grad(cost, r.nodes...); err != nil {
		t.Fatal(err)
	}
	r.machine = gorgonia.NewTapeMachine(g, gorgonia.BindDualValues(r.nodes...))
	t.Cleanup(func() { r.machine.Close() })
	return r
}

func (r *regression) model() []gorgonia.ValueGrad { return gorgonia.NodesToValueGrads(r.nodes) }

// step runs the machine and takes a step.
func (r *regression) step(t testing.TB, solver gorgonia.Solver) {
	if err := r.machine.RunAll(); err != nil {
		t.Error(err)
	}
	if err := solver.Step(r.model()); err != nil {
		t.Error(err)
	}
	r.machine.Reset()
}

func (r *regression) weights() (x []float32) {
	for _, n := range r.nodes {
		x = append(x, floats(n.Value())...)
	}
	return x
}

// setWeights overwrites the weights, as a program does that restores saved weights.
func (r *regression) setWeights(x []float32) {
	for _, n := range r.nodes {
		switch v := n.Value().(type) {
		case *tensor.Dense:
			x = x[copy(v.Float32s(), x):]
		case *gorgonia.F32:
			*v = gorgonia.F32(x[0])
			x = x[1:]
		}
	}
}

// On a graph, Adam under the adapter equals Gorgonia's Adam: the same formula (checked in Gorgonia's source), in
// another order of operations. After 50 steps of 0.03 each the error is at most some 50·0.03·8 ulps.
func TestAdamIsGorgoniasAdam(t *testing.T) {
	ours, theirs := newRegression(t, 6), newRegression(t, 6)
	solver, adam := gorgoniaopt.New(baselines.Adam{LearningRate: 0.03}), gorgonia.NewAdamSolver(gorgonia.WithLearnRate(0.03))
	start := ours.weights()
	for range 50 {
		ours.step(t, solver)
		theirs.step(t, adam)
	}
	want, moved := theirs.weights(), 0.0
	for i, x := range ours.weights() {
		if d := math.Abs(float64(x - want[i])); !(d <= 1e-4) {
			t.Errorf("coordinate %d is %v, Gorgonia's Adam has %v", i, x, want[i])
		}
		moved = max(moved, math.Abs(float64(x-start[i])))
	}
	if !(moved > 0.3) {
		t.Errorf("no weight moved by more than %v", moved)
	}
}

// Without BindDualValues, or before a run, there is no gradient, and the error says so.
func TestStepBeforeTheRun(t *testing.T) {
	r := newRegression(t, 2)
	err := gorgoniaopt.New(sgd{1}).Step(r.model())
	if err == nil {
		t.Fatal("a step before the first run is accepted")
	}
	for _, word := range []string{"W has no gradient", "BindDualValues"} {
		if !contains(err, word) {
			t.Errorf("error %q does not say %q", err, word)
		}
	}
	if err := gorgoniaopt.ZeroGrads(r.model()); err != nil {
		t.Errorf("ZeroGrads before the run: %v", err)
	}
}

// The program in the package comment equals the example that is run.
func TestListingIsTheExample(t *testing.T) {
	read := func(file string) string {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	_, body, _ := strings.Cut(read("example_test.go"), "func Example() {\n")
	body, _, ok := strings.Cut(body, "\t// Output: y = 0.8 x + 0.3\n")
	if !ok {
		t.Fatal("the example was not found")
	}
	var listing strings.Builder
	for line := range strings.Lines(body) {
		if line = "//\t" + line; line == "//\t\n" {
			line = "//\n"
		}
		listing.WriteString(line)
	}
	if !strings.Contains(read("doc.go"), listing.String()) {
		t.Errorf("doc.go does not contain\n%s", &listing)
	}
}

// A run continues with its state on a graph that was built anew: Bind finds the nodes by their names.
func TestBindToAnotherGraph(t *testing.T) {
	long, first, second := newRegression(t, 5), newRegression(t, 5), newRegression(t, 5)
	rule := pretrained(t, "mlp").Rule()
	uninterrupted, solver := gorgoniaopt.New(rule), gorgoniaopt.New(rule)
	for range 4 {
		long.step(t, uninterrupted)
		first.step(t, solver)
	}
	second.setWeights(first.weights())
	if err := second.machine.RunAll(); err != nil {
		t.Fatal(err)
	}
	if err := solver.Step(second.model()); err == nil || !contains(err, "Bind") {
		t.Fatalf("nodes of another graph: %v", err)
	}
	if err := gorgoniaopt.ZeroGrads(second.model()); err != nil {
		t.Fatal(err)
	}
	second.machine.Reset()
	m := second.model()
	if err := solver.Bind([]gorgonia.ValueGrad{m[2], m[0], m[1]}); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		long.step(t, uninterrupted)
		second.step(t, solver)
	}
	same(t, second.weights(), long.weights(), "on the second graph")
	if solver.Steps() != 8 {
		t.Errorf("%d steps, want 8", solver.Steps())
	}
}
