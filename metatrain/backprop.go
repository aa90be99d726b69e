package metatrain

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"learnedopt/internal/stream"
	"learnedopt/lstm"
	"learnedopt/optimizer"
)

// TruncatedBackprop differentiates one window at a time,
//
//	L(φ) = Σ_{t=1..K} f_t(θ_t)
//
// or another objective. The point θ_0 and the state s_0 at the window's start count as constants (Andrychowicz et
// al. 2016, section 2.1). The original code also adds f_0(θ_0), which does not depend on φ. The zero value is the
// paper's estimator.
type TruncatedBackprop struct {
	// SecondDerivatives also differentiates through the gradients that the network reads. The paper treats these
	// gradients as constants. It costs one Hessian-vector product per step. The product is exact if the problem
	// offers it (optimizer.Curvature), else a central difference of gradients on the same data.
	SecondDerivatives bool
	// AdjointClip bounds the term that second derivatives add to the adjoint of θ at each backward step. The norm
	// of this term is at most AdjointClip times the sum of the norms of the objective's own gradients from this
	// step to the window's end. Without a bound, the adjoint grows from step to step if the problem's curvature is
	// large, and the window's meta-gradient becomes large and useless. Graves 2013 (arXiv:1308.0850, section 2)
	// clips inside the recursion in the same way. Default 0: no bound.
	AdjointClip float64
	// Objective is L. Default Sum.
	Objective Objective
	// Coordinates bounds the number of coordinates in a window's backward pass. Without second derivatives, each
	// coordinate adds its own share to dL/dφ, independent of the others. So the sum over m of n coordinates drawn
	// at random, times n/m, is an unbiased estimate for m/n of the cost. Default 0: all coordinates.
	Coordinates int
	// Differences computes every Hessian-vector product of SecondDerivatives as a central difference of
	// gradients, even if the problem offers exact products. A difference costs two gradients and has about three
	// correct digits. Use it to repeat, bit for bit, a training made before classifiers offered exact products.
	// Default false.
	Differences bool
}

var _ Estimator = TruncatedBackprop{}

// backprop is the working memory of TruncatedBackprop, with the settings for the present window.
type backprop struct {
	TruncatedBackprop
	adjoint lstm.Adjoint
	weights []float64 // ∂L/∂f(θ_t) of the window, t = 1 … K
	start   *lstm.State
	grads   [][]float32
	seen    [][]float32 // what a network with eyes saw at each step of the window
	// Used with second derivatives: the points and states of the window.
	thetas [][]float32
	states []*lstm.State
	mu     *lstm.State
	lambda []float32
	dgrad  []float32
	hv     []float32
	point  []float32
	// Used with a bound on the coordinates: the drawn coordinates, and their part of the window.
	drawn      []int
	partState  *lstm.State
	partGrads  [][]float32
	partSeen   [][]float32
	partOfDphi []float64
}

// Validate returns an error if a setting is out of range or two settings contradict each other.
func (tb TruncatedBackprop) Validate() error {
	if tb.Coordinates < 0 || tb.Coordinates > 0 && tb.SecondDerivatives {
		return fmt.Errorf("metatrain: %d coordinates of the adjoint; the number must not be negative, and 0 with second derivatives", tb.Coordinates)
	}
	if !(tb.AdjointClip >= 0) || tb.AdjointClip > 0 && !tb.SecondDerivatives {
		return fmt.Errorf("metatrain: an adjoint clip of %v; it must not be negative, and needs second derivatives", tb.AdjointClip)
	}
	if tb.Differences && !tb.SecondDerivatives {
		return errors.New("metatrain: differences of gradients are a kind of second derivatives; set SecondDerivatives, or drop Differences")
	}
	return validate(tb.Objective)
}

// Start implements Estimator. It returns nil: a window needs nothing from earlier windows.
func (TruncatedBackprop) Start(*Episode) Memory { return nil }

// Estimate implements Estimator.
func (tb TruncatedBackprop) Estimate(ctx context.Context, dphi []float64, ep *Episode, k int) (Window, error) {
	if err := tb.Validate(); err != nil {
		return Window{}, err
	}
	if cfg := ep.State.Network().Config(); tb.Coordinates > 0 && (cfg.OrthogonalMean || cfg.Hyper > 0) {
		return Window{}, errors.New("metatrain: the adjoint of some coordinates of a network whose parameters need all of a tensor (OrthogonalMean, Hyper); set Coordinates to 0")
	}
	work := &ep.workspace().backprop
	work.TruncatedBackprop = tb
	return work.estimate(ctx, dphi, ep, k)
}

// estimate is Estimate with valid settings.
func (tb *backprop) estimate(ctx context.Context, dphi []float64, ep *Episode, k int) (Window, error) {
	tb.reserve(ep, k)
	if tb.SecondDerivatives {
		return tb.full(ctx, dphi, ep, k)
	}
	first := ep.Step
	tb.start.CopyFrom(ep.State)
	w, err := ep.unroll(ctx, tb.grads[:k+1], nil, func(t int) { tb.see(ep, t) })
	if err != nil || w.Diverged != nil {
		return w, err
	}
	if _, err := weigh(ctx, tb.Objective, tb.weights[:k], ep, first, &w); err != nil || w.Diverged != nil {
		return w, err
	}
	if m := tb.Coordinates; m > 0 && m < len(ep.Theta) {
		tb.sampled(dphi, first, ep, k, m)
	} else {
		tb.adjoint.Unroll(dphi, tb.start, tb.grads[:k+1], tb.seen[:k], tb.weights[:k])
	}
	return w, nil
}

// see keeps what the network saw at step t of the window.
func (tb *backprop) see(ep *Episode, t int) { copy(tb.seen[t], ep.State.Context()) }

// sampled adds to dphi the estimate from m random coordinates. They are drawn from the episode's stream for the
// window that began at step first.
func (tb *backprop) sampled(dphi []float64, first int, ep *Episode, k, m int) {
	n := len(ep.Theta)
	rng := stream.New(ep.Seed, "coordinates", uint64(first))
	if len(tb.drawn) != n {
		tb.drawn = make([]int, n)
	}
	for i := range tb.drawn {
		tb.drawn[i] = i
	}
	for i := range m { // the first m of a random permutation
		j := i + rng.IntN(n-i)
		tb.drawn[i], tb.drawn[j] = tb.drawn[j], tb.drawn[i]
	}
	drawn := tb.drawn[:m]
	slices.Sort(drawn) // memory is then read in order
	if tb.partState == nil || tb.partState.Len() != m || !tb.partState.SameNetwork(tb.start) {
		tb.partState = tb.start.Network().NewState(m)
		tb.partGrads, tb.partSeen = nil, nil
		tb.partOfDphi = make([]float64, len(dphi))
	}
	for len(tb.partGrads) < k+1 {
		tb.partGrads = append(tb.partGrads, make([]float32, m))
		tb.partSeen = append(tb.partSeen, nil)
	}
	tb.partState.Gather(tb.start, drawn)
	for t, g := range tb.grads[:k+1] {
		for i, c := range drawn {
			tb.partGrads[t][i] = g[c]
		}
	}
	for t, seen := range tb.seen[:k] {
		tb.partSeen[t] = tb.start.GatherContext(tb.partSeen[t], seen, drawn)
	}
	clear(tb.partOfDphi)
	tb.adjoint.Unroll(tb.partOfDphi, tb.partState, tb.partGrads[:k+1], tb.partSeen[:k], tb.weights[:k])
	scale := float64(n) / float64(m)
	for i, d := range tb.partOfDphi {
		dphi[i] += scale * d
	}
}

// full is Estimate with second derivatives. λ and μ are the adjoints of θ and s:
//
//	λ_t = w_t g_t + λ_{t+1} + H_t (∂u_t/∂g_tᵀ λ_{t+1} + ∂S/∂g_tᵀ μ_{t+1})
//
// AdjointClip bounds the last term of the sum.
func (tb *backprop) full(ctx context.Context, dphi []float64, ep *Episode, k int) (Window, error) {
	first := ep.Step
	w, err := ep.unroll(ctx, tb.grads[:k+1], func(t int) {
		copy(tb.thetas[t], ep.Theta)
		tb.states[t].CopyFrom(ep.State)
	}, func(t int) { tb.see(ep, t) })
	if err != nil || w.Diverged != nil {
		return w, err
	}
	if _, err := weigh(ctx, tb.Objective, tb.weights[:k], ep, first, &w); err != nil || w.Diverged != nil {
		return w, err
	}
	weight := func(t int) float32 { return float32(tb.weights[t-1]) } // of f(θ_t)
	tb.mu.Zero()
	for i, g := range tb.grads[k] {
		tb.lambda[i] = weight(k) * g
	}
	gradNorms := math.Abs(tb.weights[k-1]) * norm(tb.grads[k])
	for t := k - 1; t >= 0; t-- {
		tb.adjoint.Step(dphi, tb.states[t], tb.grads[t], tb.seen[t], tb.lambda, tb.mu, tb.dgrad)
		if t == 0 {
			break // λ_0 is not needed: θ_0 is a constant
		}
		if err := tb.hessianVector(ep, first+t, tb.thetas[t]); err != nil {
			return w, err
		}
		wt, second := weight(t), float32(1)
		gradNorms += math.Abs(tb.weights[t-1]) * norm(tb.grads[t])
		if bound := tb.AdjointClip * gradNorms; tb.AdjointClip > 0 {
			if n := norm(tb.hv); n > bound {
				second = float32(bound / n)
			}
		}
		for i, g := range tb.grads[t] {
			tb.lambda[i] += wt*g + second*tb.hv[i]
		}
	}
	ep.resume()
	return w, nil
}

// hessianVector computes hv = ∇²f_t(θ)·dgrad.
func (tb *backprop) hessianVector(ep *Episode, t int, theta []float32) error {
	if !tb.Differences && optimizer.MetricsOf(ep.Problem)&optimizer.Hessian != 0 {
		return ep.Problem.(optimizer.Curvature).CurvatureProduct(tb.hv, theta, tb.dgrad, optimizer.Hessian, t)
	}
	// A central difference along v. Its largest step is h·‖v‖∞ = ε^{1/3}·‖θ‖∞, where the rounding error of float32
	// gradients, ε/h, and the truncation error, h², are of the same size.
	largest, scale := 0.0, 1.0
	for i, v := range tb.dgrad {
		largest = max(largest, math.Abs(float64(v)))
		scale = max(scale, math.Abs(float64(theta[i])))
	}
	if largest == 0 {
		clear(tb.hv)
		return nil
	}
	const cubeRootEpsilon = 4e-3
	h := float32(cubeRootEpsilon * scale / largest)
	for side, sign := range []float32{1, -1} {
		for i, v := range tb.dgrad {
			tb.point[i] = theta[i] + sign*h*v
		}
		ep.seek(t)
		grad := tb.hv
		if side == 1 {
			grad = tb.thetas[len(tb.thetas)-1]
		}
		if _, err := ep.Problem.LossGrad(tb.point, grad); err != nil {
			return err
		}
	}
	for i, g := range tb.thetas[len(tb.thetas)-1] {
		tb.hv[i] = (tb.hv[i] - g) / (2 * h)
	}
	return nil
}

// reserve makes room for windows of k steps of the episode.
func (tb *backprop) reserve(ep *Episode, k int) {
	n := len(ep.Theta)
	if tb.start == nil || !tb.start.Fits(ep.State) {
		tb.start = ep.State.Clone()
		tb.grads, tb.seen, tb.thetas, tb.states = nil, nil, nil, nil
	}
	for len(tb.grads) < k+1 {
		tb.grads = append(tb.grads, make([]float32, n))
		tb.seen = append(tb.seen, make([]float32, len(ep.State.Context())))
	}
	if len(tb.weights) < k {
		tb.weights = make([]float64, k)
	}
	if !tb.SecondDerivatives || len(tb.states) >= k {
		return
	}
	for len(tb.states) < k {
		tb.states = append(tb.states, ep.State.Clone())
	}
	for len(tb.thetas) < k+1 { // one more than points: scratch space for a difference of gradients
		tb.thetas = append(tb.thetas, make([]float32, n))
	}
	tb.mu = ep.State.Clone()
	tb.lambda, tb.dgrad = make([]float32, n), make([]float32, n)
	tb.hv, tb.point = make([]float32, n), make([]float32, n)
}

// norm is the Euclidean norm.
func norm(x []float32) float64 {
	sum := 0.0
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum)
}
