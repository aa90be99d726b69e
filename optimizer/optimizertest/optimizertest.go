// Package optimizertest holds the conformance suites for every optimizer.Rule, hand-designed or learned, and
// for every optimizer.Family of problems.
//
//	func TestRule(t *testing.T)   { optimizertest.Conform(t, MyRule{}) }
//	func TestFamily(t *testing.T) { optimizertest.ConformFamily(t, MyFamily{}) }
package optimizertest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"learnedopt/internal/stream"
	"learnedopt/optimizer"
)

// A check tests one requirement on a rule; run returns an error that says what is wrong.
type check struct {
	name string
	run  func(rule optimizer.Rule) error
}

var checks = []check{
	{"finite", finite},
	{"alias", alias},
	{"lengths", lengths},
	{"independent", independent},
	{"permutation", permutation},
	{"layout", layouts},
	{"deterministic", deterministic},
	{"concurrent", concurrent},
	{"allocations", allocations},
	{"resume", resume},
}

// Conform runs the suite for rules as subtests. It checks of the rule and its
// states that
//
//   - finite gradients of any size up to 1e30 give finite updates;
//   - Update overwrites dst, whatever it held, and dst may be grad; a grad that
//     is not dst stays unchanged;
//   - wrong lengths, and a layout without coordinates, panic with a text that
//     begins with the package, and leave the state unchanged;
//   - states of one rule do not affect each other;
//   - permuting the coordinates permutes the updates, bit for bit, wherever
//     the coordinates lie in the rule's blocks;
//   - the layout changes no bit of the updates, as for every rule that treats coordinates one by one, or
//     all of them together;
//   - equal gradients give equal bits, for any GOMAXPROCS;
//   - several goroutines may use one rule at once (run with -race to be sure);
//   - Update does not allocate after the first call;
//   - a state that implements encoding.BinaryMarshaler and
//     encoding.BinaryUnmarshaler resumes bit for bit and refuses damaged data.
//
// All updates are at θ = (1, …, 1) with loss 1, in a run of 200 steps.
//
// Callers must not run it in parallel with other tests: it counts
// allocations and sets GOMAXPROCS.
func Conform(t *testing.T, rule optimizer.Rule) {
	t.Helper()
	conform(t, rule, checks)
}

// ConformInOrder is Conform without the permutation check, for rules whose updates depend on the order of the
// coordinates.
func ConformInOrder(t *testing.T, rule optimizer.Rule) {
	t.Helper()
	conform(t, rule, without("permutation"))
}

// ConformTensors is Conform for rules whose updates depend on the tensors of the layout. It leaves out the checks that
// permutations and layouts change nothing. All other checks run twice: on one vector, and on tensors of all kinds.
func ConformTensors(t *testing.T, rule optimizer.Rule) {
	t.Helper()
	t.Run("vector", func(t *testing.T) { conform(t, rule, without("permutation", "layout")) })
	t.Run("tensors", func(t *testing.T) { conform(t, onTensors{rule}, without("permutation", "layout")) })
}

// without returns the checks that have none of the given names.
func without(names ...string) []check {
	return slices.DeleteFunc(slices.Clone(checks), func(c check) bool { return slices.Contains(names, c.name) })
}

// onTensors starts a rule on the same tensors whatever the layout is: matrices of several shapes, a convolution, and
// vectors before, between and after them, as far as there are coordinates for them.
type onTensors struct{ optimizer.Rule }

func (r onTensors) Start(layout optimizer.Layout) optimizer.State {
	left := layout.Len()
	var tensors []optimizer.Tensor
	for _, t := range []optimizer.Tensor{
		{Shape: []int{1}},
		{Shape: []int{2, 3}, Kind: optimizer.Matrix, OutputAxis: 1},
		{Shape: []int{3}, Kind: optimizer.Bias},
		{Shape: []int{3, 2, 3}, Kind: optimizer.Convolution},
		{Shape: []int{6, 9}, Kind: optimizer.Matrix},
		{Shape: []int{0, 4}, Kind: optimizer.Matrix},
		{Shape: []int{2, 2}, Kind: optimizer.Matrix},
	} {
		if t.Len() <= left {
			tensors, left = append(tensors, t), left-t.Len()
		}
	}
	tensors = append(tensors, optimizer.Tensor{Shape: []int{left}})
	own, err := optimizer.NewLayout(tensors...)
	if err != nil {
		own = layout // without coordinates
	}
	return r.Rule.Start(own)
}

func conform(t *testing.T, rule optimizer.Rule, checks []check) {
	t.Helper()
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			if err := c.run(rule); err != nil {
				t.Error(err)
			}
		})
	}
}

// sizes span the edges of blocks of 4, 8, 16 and 32 coordinates.
var sizes = []int{1, 2, 31, 32, 33, 100}

// gradients returns the gradients of the given number of steps, of n coordinates
// each. A value is zero once in eight times, and otherwise a normal number times
// a random power of ten from 1e-6 to 1e3.
func gradients(n, steps int, index uint64) [][]float32 {
	rng := stream.New(1606, "optimizertest", index)
	gs := make([][]float32, steps)
	for t := range gs {
		gs[t] = make([]float32, n)
		for i := range gs[t] {
			x := rng.NormFloat64() * math.Pow(10, float64(rng.IntN(10)-6))
			if rng.IntN(8) > 0 {
				gs[t][i] = float32(x)
			}
		}
	}
	return gs
}

// trajectory returns the updates of a fresh state.
func trajectory(rule optimizer.Rule, grads [][]float32) [][]float32 {
	return continued(start(rule, len(grads[0])), grads)
}

// continued returns the next updates of a state.
func continued(state optimizer.State, grads [][]float32) [][]float32 {
	us := make([][]float32, len(grads))
	for t, g := range grads {
		us[t] = make([]float32, len(g))
		update(state, us[t], g)
	}
	return us
}

// length is the number of steps of a run, as updates and Descends tell it.
const length = 200

// start returns a fresh state on one vector of n coordinates.
func start(rule optimizer.Rule, n int) optimizer.State { return rule.Start(optimizer.Flat(n)) }

// update asks for an update at θ = (1, …, 1) and loss 1. It panics on an error: the suites' points are finite.
func update(state optimizer.State, dst, grad []float32) {
	updateAt(state, dst, grad, ones(len(grad)))
}

func updateAt(state optimizer.State, dst, grad, theta []float32) {
	if _, err := state.Update(dst, optimizer.Point{Grad: grad, Theta: theta, Loss: 1, Total: length}); err != nil {
		panic(fmt.Sprintf("optimizertest: an update at a finite point: %v", err))
	}
}

func ones(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = 1
	}
	return x
}

// same returns an error unless all bits of two trajectories are equal.
func same(got, want [][]float32, what string) error {
	for t := range want {
		if i := differ(got[t], want[t]); i >= 0 {
			return fmt.Errorf("%s: n = %d, step %d, coordinate %d: update %v, want %v", what, len(want[t]), t, i, got[t][i], want[t][i])
		}
	}
	return nil
}

// differ returns the first index at which the bits differ, or -1.
func differ(a, b []float32) int {
	for i := range b {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
			return i
		}
	}
	return -1
}

// Descends runs the rule for 200 steps on the separable quadratic
//
//	f(θ) = ½ Σ_i c_i (θ_i − a_i)²,   c_i in [½, 3/2],  |θ_i − a_i| = 1 at the start
//
// of ten coordinates. It checks that the last loss is less than a tenth of
// the first. Learned rules need not pass it.
func Descends(t *testing.T, rule optimizer.Rule) {
	t.Helper()
	if err := descends(rule); err != nil {
		t.Error(err)
	}
}

func descends(rule optimizer.Rule) error {
	const n, steps = 10, length
	rng := stream.New(1606, "optimizertest/quadratic", 0)
	curvature, target, theta := make([]float64, n), make([]float64, n), make([]float32, n)
	for i := range n {
		curvature[i], target[i] = 0.5+rng.Float64(), rng.NormFloat64()
		theta[i] = float32(target[i] + sign(rng))
	}
	var first, last float64
	grad, dst := make([]float32, n), make([]float32, n)
	state := start(rule, n)
	for t := range steps + 1 {
		last = 0
		for i := range n {
			d := float64(theta[i]) - target[i]
			last += curvature[i] * d * d / 2
			grad[i] = float32(curvature[i] * d)
		}
		if t == 0 {
			first = last
		}
		updateAt(state, dst, grad, theta)
		for i, u := range dst {
			theta[i] += u
		}
	}
	if !(last < first/10) {
		return fmt.Errorf("the loss of a well-conditioned quadratic went from %v to %v in %d steps, want less than a tenth", first, last, steps)
	}
	return nil
}

func sign(rng *rand.Rand) float64 { return float64(2*rng.IntN(2) - 1) }
