package metaopt_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"learnedopt/metaopt"
	"learnedopt/optimizer"
)

// family makes a family from a function.
type family func(rng *rand.Rand) (optimizer.Problem, error)

func (f family) Name() string                                     { return "test" }
func (f family) Sample(rng *rand.Rand) (optimizer.Problem, error) { return f(rng) }

// only is a family with one problem.
func only(p optimizer.Problem) family {
	return func(*rand.Rand) (optimizer.Problem, error) { return p, nil }
}

func near(a, b, tol float64) bool { return math.Abs(a-b) <= tol*(1+math.Abs(b)) }

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 99)) }

// startRun starts a run whose caller provides everything except curvature.
func startRun(rule optimizer.Rule, n int) *metaopt.Run { return startLaid(rule, optimizer.Flat(n)) }

// startLaid is startRun for parameters with a layout.
func startLaid(rule optimizer.Rule, layout optimizer.Layout) *metaopt.Run {
	run, err := metaopt.StartRule(rule, layout, optimizer.Needs{Theta: true, Loss: true})
	if err != nil {
		panic(err)
	}
	return run
}

// moving runs a state in a caller's loop that makes the state's moves.
type moving struct {
	state        optimizer.State
	needs        optimizer.Needs
	steps        int
	update, kept []float32
}

func start(rule optimizer.Rule, n int) *moving {
	return &moving{state: rule.Start(optimizer.Flat(n)), needs: rule.Needs(), update: make([]float32, n), kept: make([]float32, n)}
}

// step moves theta unless there is a divergence.
func (m *moving) step(theta, grad []float32, loss float64) *optimizer.DivergedError {
	move, err := optimizer.CheckedUpdate(m.state, m.needs, m.steps, m.update, optimizer.Point{Grad: grad, Theta: theta, Loss: loss})
	m.steps++
	if err != nil {
		return err.(*optimizer.DivergedError)
	}
	optimizer.Apply(move, [][]float32{theta}, m.update, m.kept)
	return nil
}
