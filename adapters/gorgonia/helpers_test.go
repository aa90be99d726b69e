package gorgoniaopt_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"learnedopt/baselines"
	"learnedopt/internal/stream"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
)

// A parameter is a value and a gradient without a graph.
type parameter struct {
	name        string
	value, grad gorgonia.Value
}

func (p *parameter) Name() string                  { return p.name }
func (p *parameter) Value() gorgonia.Value         { return p.value }
func (p *parameter) Grad() (gorgonia.Value, error) { return p.grad, nil }

// sgd is u = −rate·g, with a state that can be saved.
type sgd struct{ rate float32 }

func (sgd) Needs() optimizer.Needs                          { return optimizer.Needs{} }
func (r sgd) Start(layout optimizer.Layout) optimizer.State { return sgdState{r.rate, layout.Len()} }

type sgdState struct {
	rate float32
	n    int
}

func (s sgdState) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	for i, g := range p.Grad[:s.n] {
		dst[i] = -s.rate * g
	}
	return 0, nil
}
func (s sgdState) MarshalBinary() ([]byte, error) { return []byte{}, nil }
func (s sgdState) UnmarshalBinary(b []byte) error { return nil }

// clipped is Adam on gradients of a global norm of at most 1: it looks at all coordinates.
type clipped struct{}

func (clipped) Needs() optimizer.Needs { return optimizer.Needs{} }
func (clipped) Start(layout optimizer.Layout) optimizer.State {
	n := layout.Len()
	return &clippedState{baselines.Adam{LearningRate: 0.1}.Start(optimizer.Flat(n))}
}

type clippedState struct{ optimizer.State }

func (s *clippedState) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	norm := 0.0
	for _, g := range p.Grad {
		norm += float64(g) * float64(g)
	}
	scale := float32(min(1, 1/math.Sqrt(norm)))
	for i, g := range p.Grad {
		dst[i] = scale * g
	}
	s.State.Update(dst, optimizer.Point{Grad: dst})
	return 0, nil
}

// decayed is SGD with weight decay: it looks at the parameters.
type decayed struct{}

func (decayed) Needs() optimizer.Needs                 { return optimizer.Needs{Theta: true} }
func (decayed) Start(optimizer.Layout) optimizer.State { return decayedState{} }

type decayedState struct{}

func (decayedState) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	for i, g := range p.Grad {
		dst[i] = -0.1*g - float32(0.01*p.Theta[i])
	}
	return 0, nil
}

func pretrained(t testing.TB, name string) *metaopt.Optimizer {
	t.Helper()
	opt, err := metaopt.Pretrained(name)
	if err != nil {
		t.Fatal(err)
	}
	return opt
}

// rules are of every kind: learned, hand-designed, dependent on all coordinates, dependent on the parameters.
func rules(t testing.TB) map[string]optimizer.Rule {
	return map[string]optimizer.Rule{
		"learned": pretrained(t, "mlp").Rule(), "adam": baselines.Adam{LearningRate: 0.03},
		"clipped": clipped{}, "decayed": decayed{},
	}
}

func normal(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

func source(purpose string) *rand.Rand { return stream.New(1, purpose, 0) }

// dense is a contiguous tensor over a copy of data.
func dense(data []float32, shape ...int) *tensor.Dense {
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(append([]float32{}, data...)))
}

// A flat is a run of the rule on one flat vector, with which solvers are compared.
type flat struct {
	state         optimizer.State
	theta, update []float32
}

func startFlat(rule optimizer.Rule, theta []float32) *flat {
	return &flat{rule.Start(optimizer.Flat(len(theta))), append([]float32{}, theta...), make([]float32, len(theta))}
}

func (f *flat) step(grad []float32) {
	if _, err := f.state.Update(f.update, optimizer.Point{Grad: grad, Theta: f.theta}); err != nil {
		panic(err)
	}
	for i, u := range f.update {
		f.theta[i] += u
	}
}

// model is three nodes over a flat vector of modelSize coordinates: a matrix, a tensor of four dimensions, a scalar.
const modelSize = 6 + 24 + 1

func model(theta []float32) []gorgonia.ValueGrad {
	return []gorgonia.ValueGrad{
		&parameter{"w", dense(theta[:6], 2, 3), dense(make([]float32, 6), 2, 3)},
		&parameter{"k", dense(theta[6:30], 2, 3, 2, 2), dense(make([]float32, 24), 2, 3, 2, 2)},
		&parameter{"b", gorgonia.NewF32(theta[30]), gorgonia.NewF32(0)},
	}
}

// feed sets the gradients of a model.
func feed(m []gorgonia.ValueGrad, grad []float32) {
	at := 0
	for _, n := range m {
		switch g := n.(*parameter).grad.(type) {
		case *tensor.Dense:
			at += copy(g.Float32s(), grad[at:])
		case *gorgonia.F32:
			*g = gorgonia.F32(grad[at])
			at++
		}
	}
}

// weights returns the coordinates of a model, gradients their gradients.
func weights(m []gorgonia.ValueGrad) (x []float32) {
	for _, n := range m {
		x = append(x, floats(n.Value())...)
	}
	return x
}

func gradients(m []gorgonia.ValueGrad) (x []float32) {
	for _, n := range m {
		x = append(x, floats(n.(*parameter).grad)...)
	}
	return x
}

func floats(v gorgonia.Value) []float32 {
	if s, ok := v.(*gorgonia.F32); ok {
		return []float32{float32(*s)}
	}
	return v.(*tensor.Dense).Float32s()
}

func same(t testing.TB, got, want []float32, what string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d coordinates, want %d", what, len(got), len(want))
	}
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: coordinate %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

// startRun starts a run with which a guarded solver is compared.
func startRun(t *testing.T, rule optimizer.Rule) *metaopt.Run {
	t.Helper()
	run, err := metaopt.StartRule(rule, optimizer.Flat(modelSize), optimizer.Needs{Theta: true, Loss: true})
	if err != nil {
		t.Fatal(err)
	}
	return run
}
