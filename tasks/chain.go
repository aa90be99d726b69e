package tasks

import (
	"math"
	"math/rand/v2"

	"learnedopt/internal/precondition"
	"learnedopt/optimizer"
	"learnedopt/policy"
)

// Chain is a batch of B independent Markov decision chains, whose policies are improved by exact policy gradients. A chain has n states in a row and two
// actions, one step to the left and one to the right; at an end the outward step stays there. A step goes the wrong way with probability p. Being at the
// end where an episode starts earns r, at the other end R, and each state and action something small in addition,
//
//	p uniform on [0, 0.3),   r on [0, 0.5),   R on [0.5, 1),   N(0, 0.01²) in addition,   discount γ = 0.95.
//
// The ends change places with probability ½. The policy is a softmax of a table, π(a|s) ∝ exp θ_sa, with θ_0 = 0. With J its expected discounted return, J* the largest
// return of any policy and J_0 the return of the uniform policy, the loss is the mean over the chains of
//
//	f_b(θ_b) = (J* − J(θ_b)) / (J* − J_0),
//
// 1 at the start and 0 at best: minus the return in a unit that makes chains comparable. The reward nearby draws the policy to the wrong end at first. Each chain has its own
// gradient: B times that of the loss (see Scaled). All of it is exact, by linear solves (policy.Tabular). The Fisher matrix and KL
// are those of the actions, weighted by visitation.
type Chain struct {
	// Dims is n; 0 means 8.
	Dims int
	// Batch is B; 0 means 32.
	Batch int
}

var _ optimizer.Family = Chain{}

const (
	chainDiscount = 0.95
	chainActions  = 2
)

func (c Chain) options() Options {
	return Options{Dims: c.Dims, Batch: c.Batch}.withDefaults(chains)
}

// Validate reports the first mistake in the configuration.
func (c Chain) Validate() error { return c.options().validateSolved("chain", 2, 200) }

// Name implements optimizer.Family.
func (c Chain) Name() string { return c.options().lists().words("chain", chains) }

// Sample implements optimizer.Family.
func (c Chain) Sample(rng *rand.Rand) (optimizer.Problem, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	o := c.options()
	all := make([]*policy.MDP, o.Batch)
	for b := range all {
		all[b] = drawChain(o.Dims, rng)
	}
	return newDecisions(all)
}

// drawChain draws one chain of n states.
func drawChain(n int, rng *rand.Rand) *policy.MDP {
	m := &policy.MDP{States: n, Actions: chainActions, Discount: chainDiscount,
		Transitions: make([]float64, n*chainActions*n), Rewards: make([]float64, n*chainActions), Start: make([]float64, n)}
	slip, near, far := 0.3*rng.Float64(), 0.5*rng.Float64(), 0.5+0.5*rng.Float64()
	first, last := 0, n-1
	if rng.IntN(2) == 1 {
		first, last = last, first
	}
	m.Start[first] = 1
	for s := range n {
		for a := range chainActions {
			at := s*chainActions + a
			m.Rewards[at] = 0.01 * rng.NormFloat64()
			switch s {
			case first:
				m.Rewards[at] += near
			case last:
				m.Rewards[at] += far
			}
			for _, way := range []struct {
				by          int
				probability float64
			}{{2*a - 1, 1 - slip}, {1 - 2*a, slip}} {
				m.Transitions[at*n+min(max(s+way.by, 0), n-1)] += way.probability
			}
		}
	}
	return m
}

// decisions is a problem of decision processes of one shape, side by side, each with a tabular policy.
type decisions struct {
	layout   optimizer.Layout
	policies []*policy.Tabular
	best     []float64 // J*
	room     []float64 // J* − J_0
	x, y     []float64 // of one process
}

var (
	_ optimizer.Laid      = (*decisions)(nil)
	_ optimizer.Curvature = (*decisions)(nil)
	_ optimizer.Trier     = (*decisions)(nil)
	_ Scaled              = (*decisions)(nil)
)

func newDecisions(all []*policy.MDP) (*decisions, error) {
	n := all[0].States * all[0].Actions
	p := &decisions{layout: rows(len(all), n), x: make([]float64, n), y: make([]float64, n)}
	for _, m := range all {
		t, err := policy.NewTabular(m)
		if err != nil {
			return nil, err
		}
		uniform := t.Return()
		best, err := t.Optimum()
		if err != nil {
			return nil, err
		}
		room := best - uniform
		if !(room > 1e-9) {
			room = 1 // no policy is better than another
		}
		p.policies, p.best, p.room = append(p.policies, t), append(p.best, best), append(p.room, room)
	}
	return p, nil
}

// Dim implements optimizer.Problem.
func (p *decisions) Dim() int { return p.layout.Len() }

// Layout implements optimizer.Laid.
func (p *decisions) Layout() optimizer.Layout { return p.layout }

// GradientScale implements Scaled.
func (p *decisions) GradientScale() float64 { return float64(len(p.policies)) }

// Init implements optimizer.Problem.
func (p *decisions) Init(theta []float32) {
	precondition.Length("tasks", "theta", theta, p.Dim())
	clear(theta)
}

// move sets the point of process b, and returns its part of any vector.
func (p *decisions) move(b int, theta []float32) (from, to int, err error) {
	n := len(p.x)
	from, to = b*n, b*n+n
	for i, v := range theta[from:to] {
		p.x[i] = float64(v)
	}
	return from, to, p.policies[b].Move(p.x)
}

// LossGrad implements optimizer.Problem.
func (p *decisions) LossGrad(theta, grad []float32) (float64, error) {
	precondition.Length("tasks", "theta", theta, p.Dim())
	precondition.Length("tasks", "grad", grad, p.Dim())
	if i := optimizer.NonFinite(theta); i >= 0 {
		// No policy has such numbers; a loss of NaN says so to the loop.
		clear(grad)
		grad[i] = theta[i]
		return math.NaN(), nil
	}
	loss := 0.0
	for b, t := range p.policies {
		from, to, err := p.move(b, theta)
		if err != nil {
			return 0, err
		}
		loss += (p.best[b] - t.Return()) / p.room[b] / float64(len(p.policies))
		t.Gradient(p.y)
		for i := range grad[from:to] {
			grad[from+i] = float32(-p.y[i] / p.room[b])
		}
	}
	return loss, nil
}

// Metrics implements optimizer.Curvature.
func (p *decisions) Metrics() optimizer.Metric { return optimizer.Fisher }

// CurvatureProduct implements optimizer.Curvature. Block b is the Fisher matrix of policy b, with the gradient's scale.
func (p *decisions) CurvatureProduct(dst, theta, v []float32, metric optimizer.Metric, step int) error {
	checkProduct(p, dst, theta, v, metric, step)
	for b, t := range p.policies {
		from, to, err := p.move(b, theta)
		if err != nil {
			return err
		}
		for i, x := range v[from:to] {
			p.y[i] = float64(x)
		}
		t.Fisher(p.y, p.y)
		for i, x := range p.y {
			dst[from+i] = float32(x)
		}
	}
	return nil
}

// CanTry implements optimizer.Trier.
func (p *decisions) CanTry() bool { return true }

// Try implements optimizer.Trier: the sums over the processes, which is the scale of the gradients.
func (p *decisions) Try(theta, to []float32, step int) (optimizer.Trial, error) {
	checkTry(p, theta, to, step)
	var all optimizer.Trial
	for b, t := range p.policies {
		from, end, err := p.move(b, theta)
		if err != nil {
			return all, err
		}
		before := t.Return()
		for i, v := range to[from:end] {
			p.y[i] = float64(v)
		}
		all.KL += t.Divergence(p.y)
		if err := t.Move(p.y); err != nil {
			return all, err
		}
		all.Change += (before - t.Return()) / p.room[b]
	}
	return all, nil
}
