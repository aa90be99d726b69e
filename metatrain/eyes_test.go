package metatrain_test

import (
	"encoding"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"learnedopt/baselines"
	"learnedopt/lstm"
	"learnedopt/metatrain"
	"learnedopt/optimizer"
)

// eyes is a small network that reads everything a network can read of tensors and runs.
var eyes = lstm.Config{
	Inputs: lstm.Momenta, Readout: lstm.Mix, FanIn: true, Hidden: 3, Layers: 1,
	Context: lstm.ShapeContext | lstm.NormContext | lstm.FeedbackContext | lstm.TimeContext,
}

// orthogonalEyes also has the orthogonal direction of whole matrices.
var orthogonalEyes = func() lstm.Config {
	cfg := eyes
	cfg.Orthogonal = true
	return cfg
}()

// meanEyes gives that direction one weight a tensor.
var meanEyes = func() lstm.Config {
	cfg := orthogonalEyes
	cfg.OrthogonalMean = true
	return cfg
}()

// tensorQuartic is a quartic whose coordinates are a matrix, its bias and a vector, with its Hessian.
type tensorQuartic struct{ exactQuartic }

const tensorQuarticSize = 12 + 4 + 3

func newTensorQuartic(seed uint64) *tensorQuartic {
	return &tensorQuartic{exactQuartic{quartic{seed: seed, n: tensorQuarticSize}}}
}

func (q *tensorQuartic) Layout() optimizer.Layout {
	l, err := optimizer.NewLayout(
		optimizer.Tensor{Shape: []int{3, 4}, Kind: optimizer.Matrix, OutputAxis: 1},
		optimizer.Tensor{Shape: []int{4}, Kind: optimizer.Bias},
		optimizer.Tensor{Shape: []int{3}},
	)
	if err != nil {
		panic(err)
	}
	return l
}

// wideGrad is the gradient at step t in float64.
func (q *tensorQuartic) wideGrad(theta []float64, t int) []float64 {
	n, grad := len(theta), make([]float64, len(theta))
	for i, a := range (&quartic{q.seed, q.n, t}).scales() {
		x := theta[i]
		grad[i] = a*(2*x*x*x+x) + (theta[(i+1)%n]+theta[(i+n-1)%n])/4
	}
	return grad
}

// wideHessian is the product of the Hessian at step t and v in float64.
func (q *tensorQuartic) wideHessian(theta, v []float64, t int) []float64 {
	n, hv := len(theta), make([]float64, len(theta))
	for i, a := range (&quartic{q.seed, q.n, t}).scales() {
		x := theta[i]
		hv[i] = a*(6*x*x+1)*v[i] + (v[(i+1)%n]+v[(i+n-1)%n])/4
	}
	return hv
}

func tensorQuartics(rng *rand.Rand) (optimizer.Problem, error) {
	return newTensorQuartic(rng.Uint64()), nil
}

// eyesNet is a random network with eyes whose updates depend on what it reads.
func eyesNet(t *testing.T) *lstm.Network {
	t.Helper()
	return wideAwake(t, eyes)
}

func wideAwake(t *testing.T, cfg lstm.Config) *lstm.Network {
	t.Helper()
	net, err := lstm.Init{}.Random(cfg, newRand(1))
	if err != nil {
		t.Fatal(err)
	}
	phi := net.Params()
	for i := range phi {
		phi[i] *= 3
	}
	return net.With(phi)
}

// A wideEpisode is an episode in float64: lstm's Reference on a tensorQuartic. Its windows are those of the episode that a test
// gives to an estimator.
type wideEpisode struct {
	q      *tensorQuartic
	net    *lstm.Reference
	state  *lstm.ReferenceState
	theta  []float64
	total  int
	step   int
	thetas [][]float64 // of the last window
	states []*lstm.ReferenceState
	grads  [][]float64
	seen   [][]float64
	moves  [][]float64
}

func newWideEpisode(t *testing.T, net *lstm.Network, seed uint64, total int) *wideEpisode {
	t.Helper()
	var phi []float64
	for _, p := range net.Params() {
		phi = append(phi, float64(p))
	}
	reference, err := lstm.NewReference(net.Config(), phi)
	if err != nil {
		t.Fatal(err)
	}
	q := newTensorQuartic(seed)
	h := &wideEpisode{q: q, net: reference, state: reference.NewStateOn(q.Layout()), total: total}
	start := make([]float32, q.n)
	q.Init(start)
	for _, x := range start {
		h.theta = append(h.theta, float64(x))
	}
	return h
}

// unroll takes k steps. If teacher is not nil, the teacher's updates move θ.
func (h *wideEpisode) unroll(k int, teacher func(grad []float64) []float64) {
	h.thetas, h.states, h.grads, h.seen, h.moves = nil, nil, nil, nil, nil
	for range k {
		u, g := make([]float64, len(h.theta)), h.q.wideGrad(h.theta, h.step)
		h.thetas, h.states, h.grads = append(h.thetas, slices.Clone(h.theta)), append(h.states, h.state.Clone()), append(h.grads, g)
		h.state.Advance(u, g, h.theta, h.total)
		h.seen, h.moves = append(h.seen, slices.Clone(h.state.Context())), append(h.moves, u)
		if teacher != nil {
			u = teacher(g)
		}
		for i := range h.theta {
			h.theta[i] += u[i]
		}
		h.step++
	}
	h.grads = append(h.grads, h.q.wideGrad(h.theta, h.step))
}

// meta is the meta-gradient of Σ w_t f(θ_t) over the last window: of the terms of the given coordinates, or of all if
// coordinates is nil.
func (h *wideEpisode) meta(size int, w []float64, second bool, coordinates []int) []float64 {
	dphi, dgrad, lambda, k := make([]float64, size), make([]float64, len(h.theta)), make([]float64, len(h.theta)), len(h.states)
	mu := h.net.NewStateOn(h.q.Layout())
	var a lstm.ReferenceAdjoint
	for t := k - 1; t >= 0; t-- {
		for i, g := range h.grads[t+1] {
			if coordinates == nil || slices.Contains(coordinates, i) {
				lambda[i] += w[t] * g
			}
		}
		a.Step(dphi, h.states[t], h.grads[t], h.seen[t], lambda, mu, dgrad)
		if second {
			for i, x := range h.q.wideHessian(h.thetas[t], dgrad, h.step-k+t) {
				lambda[i] += x
			}
		}
	}
	return dphi
}

// tooFar is the distance from float64 that float32 does not explain. Rounding errors of 6e-8 grow in averages that cancel
// and in the sums over eight steps; distances up to 2.4e-7 were seen.
const tooFar = 5e-6

// orthogonalTooFar is the same with the orthogonal direction, whose error in float32 is up to 1e-3 (gemm.Orthogonalizer); distances up to 9e-5 were seen.
const orthogonalTooFar = 5e-4

// The meta-gradient of a network with eyes is what lstm's float64 reference gives, with the contexts that it saw itself. So
// the estimator keeps the contexts of each step, and gives each to the right step of the adjoint. Two windows of different
// lengths, so that contexts of the first must not remain in the second.
func TestEyesInAWindow(t *testing.T) {
	w := weighted{1, 2, 0.5, 1, 3}
	for name, c := range map[string]struct {
		cfg    lstm.Config
		second bool
		tooFar float64
	}{
		"first order": {eyes, false, tooFar}, "second derivatives": {eyes, true, tooFar},
		"orthogonal": {orthogonalEyes, false, orthogonalTooFar}, "orthogonal, second derivatives": {orthogonalEyes, true, orthogonalTooFar},
		"mean": {meanEyes, false, orthogonalTooFar}, "mean, second derivatives": {meanEyes, true, orthogonalTooFar},
	} {
		net, second, tooFar := wideAwake(t, c.cfg), c.second, c.tooFar
		ep, h := metatrain.NewEpisode(net, newTensorQuartic(3)), newWideEpisode(t, net, 3, 8)
		ep.Length = 8
		for _, k := range []int{5, 3} {
			dphi := make([]float64, net.Size())
			e := metatrain.TruncatedBackprop{SecondDerivatives: second, Objective: w}
			if win, err := e.Estimate(t.Context(), dphi, ep, k); err != nil || win.Diverged != nil {
				t.Fatal(err, win.Diverged)
			}
			h.unroll(k, nil)
			if d := distance(h.meta(net.Size(), w, second, nil), dphi); !(d <= tooFar) {
				t.Errorf("%s, window of %d: the meta-gradient is %.2g from float64", name, k, d)
			}
			if d := distance(h.meta(net.Size(), w, !second, nil), dphi); d < 1e-2 {
				t.Errorf("%s, window of %d: second derivatives change the meta-gradient by %.2g only: the test is blind", name, k, d)
			}
			for t := range h.seen { // what another step saw gives another meta-gradient
				h.seen[t] = h.seen[(t+1)%k]
			}
			if d := distance(h.meta(net.Size(), w, second, nil), dphi); d < 10*tooFar {
				t.Errorf("%s, window of %d: wrong contexts change the meta-gradient by %.2g only: the test is blind", name, k, d)
			}
		}
	}
}

// An estimate from one of n coordinates is n times that coordinate's term, although the network saw whole tensors.
func TestEyesWithSampledAdjoints(t *testing.T) {
	const seeds, k = 60, 4
	net, w, h := eyesNet(t), weighted{1, 2, 0.5, 1}, newWideEpisode(t, eyesNet(t), 3, 8)
	h.unroll(k, nil)
	var terms [tensorQuarticSize][]float64
	for i := range terms {
		terms[i] = h.meta(net.Size(), w, false, []int{i})
		for j := range terms[i] {
			terms[i][j] *= tensorQuarticSize
		}
	}
	var drawn [tensorQuarticSize]int
	for seed := range uint64(seeds) {
		ep := metatrain.NewEpisode(net, newTensorQuartic(3))
		ep.Length, ep.Seed = 8, seed
		dphi := make([]float64, net.Size())
		if win, err := (metatrain.TruncatedBackprop{Coordinates: 1, Objective: w}).Estimate(t.Context(), dphi, ep, k); err != nil || win.Diverged != nil {
			t.Fatal(err, win.Diverged)
		}
		i := slices.IndexFunc(terms[:], func(term []float64) bool { return distance(term, dphi) <= tooFar })
		if i < 0 {
			t.Fatalf("seed %d: the estimate is no coordinate's term", seed)
		}
		drawn[i]++
	}
	// A coordinate is never drawn in 60 seeds with probability e^(−60/19) = 0.04.
	missing := 0
	for _, n := range drawn {
		if n == 0 {
			missing++
		}
	}
	if missing > 5 {
		t.Errorf("%d of %d coordinates were never drawn: %v", missing, len(drawn), drawn)
	}
}

// Some coordinates are not enough for a mean over all of them.
func TestMeanWithSampledAdjoints(t *testing.T) {
	ep := metatrain.NewEpisode(wideAwake(t, meanEyes), newTensorQuartic(3))
	ep.Length = 8
	_, err := (metatrain.TruncatedBackprop{Coordinates: 1, Objective: weighted{1, 1}}).Estimate(t.Context(), make([]float64, ep.State.Network().Size()), ep, 2)
	if err == nil || !strings.Contains(err.Error(), "OrthogonalMean") {
		t.Error(err)
	}
	if ep.Step != 0 {
		t.Errorf("the episode is at step %d", ep.Step)
	}
}

// The meta-gradient of imitation is what the float64 reference gives along the teacher's run.
func TestEyesImitate(t *testing.T) {
	const rate = 0.1
	net := eyesNet(t)
	ep, h := metatrain.NewEpisode(net, newTensorQuartic(3)), newWideEpisode(t, net, 3, 8)
	ep.Length = 8
	e := metatrain.Imitation{Teacher: baselines.SGD{LearningRate: rate}, Probability: 1}
	ep.Memory = e.Start(ep)
	teacher := func(grad []float64) []float64 {
		u := make([]float64, len(grad))
		for i, g := range grad {
			u[i] = -rate * g
		}
		return u
	}
	for _, k := range []int{5, 3} {
		dphi := make([]float64, net.Size())
		if win, err := e.Estimate(t.Context(), dphi, ep, k); err != nil || win.Diverged != nil {
			t.Fatal(err, win.Diverged)
		}
		h.unroll(k, teacher)
		size := 0.0 // 1/K Σ ‖û_t‖²
		for _, g := range h.grads[:k] {
			for _, x := range teacher(g) {
				size += x * x / float64(k)
			}
		}
		want, lambda, dgrad, mu := make([]float64, net.Size()), make([]float64, len(h.theta)), make([]float64, len(h.theta)), h.net.NewStateOn(h.q.Layout())
		for s := k - 1; s >= 0; s-- {
			for i, u := range teacher(h.grads[s]) {
				lambda[i] = (h.moves[s][i] - u) / size
			}
			new(lstm.ReferenceAdjoint).Step(want, h.states[s], h.grads[s], h.seen[s], lambda, mu, dgrad)
		}
		if d := distance(want, dphi); !(d <= tooFar) {
			t.Errorf("window of %d: the meta-gradient is %.2g from float64", k, d)
		}
	}
}

// An episode with a hidden length gives every estimate that an episode without a length gives, to the bit, and other ones
// than an episode whose length is known: in all trajectories of an estimator.
func TestEveryEstimatorHidesTheLength(t *testing.T) {
	net := eyesNet(t)
	for name, e := range everyEstimator {
		estimate := func(length int, hide bool) (all []float64) {
			ep := metatrain.NewEpisode(net, newTensorQuartic(5))
			ep.Length, ep.HideLength, ep.Seed = length, hide, 7
			for range 2 {
				dphi := make([]float64, net.Size())
				if win, err := e.Estimate(t.Context(), dphi, ep, 4); err != nil || win.Diverged != nil {
					t.Fatal(err, win.Diverged)
				}
				all = append(all, dphi...)
			}
			return all
		}
		unknown, hidden, known := estimate(0, false), estimate(8, true), estimate(8, false)
		if !slices.Equal(hidden, unknown) {
			t.Errorf("%s: a hidden length changes the estimate by %.2g", name, distance(unknown, hidden))
		}
		if d := distance(unknown, known); d < 1e-3 {
			t.Errorf("%s: a known length changes the estimate by %.2g only", name, d)
		}
	}
}

// Of many episodes the configured fraction hides its length: the network reads 0 for it, and in the other episodes the
// length of their own. The seed decides which, also if the episode's state came as bytes.
func TestHideLengthHidesTheFraction(t *testing.T) {
	const episodes, batch = 1000, 20
	length := func(episode int) int { return 2 * (1 + episode%10) }
	// told returns for each episode the number of steps that the network read at step 1, and at step 2 after a restore.
	told := func(fraction float64, seed uint64) (all [2][]int) {
		cfg := metatrain.TrainConfig{
			Family: family(tensorQuartics), Network: lstm.Config{Hidden: 2, Layers: 1, Context: lstm.TimeContext},
			Steps: 20, Unroll: 1, MetaSteps: 1, HideLength: fraction, Seed: seed,
		}
		x, err := metatrain.NewInProcess(cfg)
		if err != nil {
			t.Fatal(err)
		}
		net := mustTrainer(t, cfg).Network()
		var units []metatrain.Unit
		states := make([]encoding.BinaryMarshaler, batch)
		for from := 0; from < episodes; from += batch {
			for step := range all {
				units = units[:0]
				for i := range batch {
					u := metatrain.Unit{Slot: i, Episode: from + i, Length: length(from + i), Step: step, Window: 1}
					if step > 0 {
						u.State = states[i]
					}
					units = append(units, u)
				}
				results, err := x.Estimate(t.Context(), net, units)
				if err != nil {
					t.Fatal(err)
				}
				for i, r := range results {
					// For each tensor the context holds ln(t)/5−1, 1/t, 1 if T is known, and 1−t/T.
					ep := r.State.(*metatrain.Episode)
					known, rest, total := ep.State.Context()[2], float64(ep.State.Context()[3]), 0
					if known != 0 {
						total = int(math.Round(float64(step+1) / (1 - rest)))
					}
					all[step] = append(all[step], total)
					states[i] = snapshot(stateBytes(t, ep))
				}
			}
		}
		return all
	}
	hidden := func(totals []int) (n int) {
		for e, total := range totals {
			if total == 0 {
				n++
			} else if total != length(e) {
				t.Fatalf("episode %d has %d steps, the network reads %d", e, length(e), total)
			}
		}
		return n
	}
	for _, fraction := range []float64{0, 0.3, 1} {
		totals := told(fraction, 3)
		if !slices.Equal(totals[0], totals[1]) {
			t.Errorf("hidden with probability %v: another length after the episode was restored", fraction)
		}
		// Four standard deviations: 0 for fractions 0 and 1.
		n, tolerance := float64(hidden(totals[0])), 4*math.Sqrt(episodes*fraction*(1-fraction))
		if math.Abs(n-episodes*fraction) > tolerance {
			t.Errorf("%v of %d lengths are hidden, want %v", n, episodes, episodes*fraction)
		}
	}
	first := told(0.3, 3)[0]
	if !slices.Equal(first, told(0.3, 3)[0]) || slices.Equal(first, told(0.3, 4)[0]) {
		t.Error("which lengths are hidden must depend on the seed, and on nothing else")
	}
}
