package policy

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"learnedopt/internal/precondition"
)

// An MDP is a finite Markov decision process with S states and A actions.
type MDP struct {
	States, Actions int
	// Transitions holds P(s'|s, a) at (s·A + a)·S + s'. Rewards holds the expected reward of action a in state s at s·A + a.
	Transitions, Rewards []float64
	// Start holds the probability of each state at the start.
	Start []float64
	// Discount is γ in [0, 1).
	Discount float64
}

// Validate returns an error if sizes do not fit together, probabilities are no probabilities, or rewards are non-finite.
func (m *MDP) Validate() error {
	s, a := m.States, m.Actions
	if s < 1 || a < 1 {
		return fmt.Errorf("policy: mdp: %d states and %d actions; want at least 1 of each", s, a)
	}
	if len(m.Transitions) != s*a*s || len(m.Rewards) != s*a || len(m.Start) != s {
		return fmt.Errorf("policy: mdp: %d transitions, %d rewards and %d starting probabilities; %d states and %d actions need %d, %d and %d",
			len(m.Transitions), len(m.Rewards), len(m.Start), s, a, s*a*s, s*a, s)
	}
	if !(m.Discount >= 0 && m.Discount < 1) {
		return fmt.Errorf("policy: mdp: discount %v; want at least 0 and below 1", m.Discount)
	}
	for i, r := range m.Rewards {
		if math.IsNaN(r) || math.IsInf(r, 0) {
			return fmt.Errorf("policy: mdp: the reward of action %d in state %d is %v", i%a, i/a, r)
		}
	}
	if !distribution(m.Start) {
		return errors.New("policy: mdp: the starting probabilities are not probabilities with sum 1")
	}
	for i := range s * a {
		if !distribution(m.Transitions[i*s : i*s+s]) {
			return fmt.Errorf("policy: mdp: the transitions of action %d in state %d are not probabilities with sum 1", i%a, i/a)
		}
	}
	return nil
}

func distribution(p []float64) bool {
	sum := 0.0
	for _, x := range p {
		if !(x >= 0) {
			return false
		}
		sum += x
	}
	return math.Abs(sum-1) < 1e-9
}

// A Tabular is a softmax policy in an MDP with one parameter for each state and action, π(a|s) ∝ exp θ_sa, θ_sa at s·A + a. At the point that Move sets,
// all is exact up to rounding: with P_π and r_π the transitions and rewards under π and μ the starting probabilities,
//
//	V = (I − γP_π)⁻¹ r_π,   J = μᵀV,   d = (I − γP_πᵀ)⁻¹ μ
//
// A Tabular belongs to one goroutine.
type Tabular struct {
	m         *MDP
	pi, logs  []float64 // π and its logarithm
	to        []float64 // the logarithm of another policy
	value     *mat.VecDense
	visits    *mat.VecDense // d
	advantage []float64
	right     *mat.VecDense
	system    *mat.Dense
	lu        mat.LU
	result    float64
}

// NewTabular returns the policy at the uniform distribution. An error is that of Validate.
func NewTabular(m *MDP) (*Tabular, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	n := m.States * m.Actions
	t := &Tabular{m: m, pi: make([]float64, n), logs: make([]float64, n), to: make([]float64, n), advantage: make([]float64, n),
		value: mat.NewVecDense(m.States, nil), visits: mat.NewVecDense(m.States, nil), right: mat.NewVecDense(m.States, nil), system: mat.NewDense(m.States, m.States, nil)}
	return t, t.Move(make([]float64, n))
}

// Dim returns S·A.
func (t *Tabular) Dim() int { return len(t.pi) }

// Move sets the point. Parameters must be finite; an error says that the equations have no solution in finite numbers.
func (t *Tabular) Move(theta []float64) error {
	precondition.Length("policy", "theta", theta, len(t.pi))
	logSoftmax(t.logs, theta, t.m.Actions)
	for i, l := range t.logs {
		t.pi[i] = math.Exp(l)
	}
	return t.evaluate()
}

// evaluate computes what follows from the policy.
func (t *Tabular) evaluate() error {
	m, s := t.m, t.m.States
	for from := range s {
		row, reward := t.system.RawRowView(from), 0.0
		clear(row)
		for a, p := range t.pi[from*m.Actions : (from+1)*m.Actions] {
			at := from*m.Actions + a
			reward += p * m.Rewards[at]
			for to, q := range m.Transitions[at*s : at*s+s] {
				row[to] -= m.Discount * p * q
			}
		}
		row[from]++
		t.right.SetVec(from, reward)
	}
	t.lu.Factorize(t.system)
	if err := t.lu.SolveVecTo(t.value, false, t.right); err != nil {
		return fmt.Errorf("policy: value of a policy: %w", err)
	}
	copy(t.right.RawVector().Data, m.Start)
	if err := t.lu.SolveVecTo(t.visits, true, t.right); err != nil {
		return fmt.Errorf("policy: visits of a policy: %w", err)
	}
	for i, d := range t.visits.RawVector().Data {
		t.visits.SetVec(i, max(d, 0)) // rounding of a state that is never visited
	}
	t.result = mat.Dot(t.right, t.value)
	for i := range t.advantage {
		q := m.Rewards[i]
		for to, p := range m.Transitions[i*s : i*s+s] {
			q += m.Discount * p * t.value.AtVec(to)
		}
		t.advantage[i] = q - t.value.AtVec(i/m.Actions)
	}
	if math.IsNaN(t.result) || math.IsInf(t.result, 0) {
		return fmt.Errorf("policy: the policy has the return %v", t.result)
	}
	return nil
}

// Return returns the expected discounted return J.
func (t *Tabular) Return() float64 { return t.result }

// Probability returns π(a|s).
func (t *Tabular) Probability(s, a int) float64 { return t.pi[s*t.m.Actions+a] }

// Advantage returns A(s, a) = Q(s, a) − V(s).
func (t *Tabular) Advantage(s, a int) float64 { return t.advantage[s*t.m.Actions+a] }

// Visitation returns d̄(s) = (1 − γ) d(s), the discounted share of time in state s. The shares have sum 1.
func (t *Tabular) Visitation(s int) float64 { return (1 - t.m.Discount) * t.visits.AtVec(s) }

// Gradient writes ∇J (Sutton et al. 2000, theorem 1):
//
//	∂J/∂θ_sa = d(s) π(a|s) A(s, a)
func (t *Tabular) Gradient(dst []float64) {
	precondition.Length("policy", "dst", dst, len(t.pi))
	for i, p := range t.pi {
		dst[i] = t.visits.AtVec(i/t.m.Actions) * p * t.advantage[i]
	}
}

// Fisher writes F·v, with the Fisher matrix of the actions' distributions, weighted by visitation (Kakade 2002):
//
//	F = Σ_s d̄(s) (diag π(·|s) − π(·|s) π(·|s)ᵀ)
//
// F has no entries for a state that is never visited. dst may be v.
func (t *Tabular) Fisher(dst, v []float64) {
	precondition.Length("policy", "dst", dst, len(t.pi))
	precondition.Length("policy", "v", v, len(t.pi))
	a := t.m.Actions
	for s := range t.m.States {
		p, x, y := t.pi[s*a:s*a+a], v[s*a:s*a+a], dst[s*a:s*a+a]
		mean := 0.0
		for k, q := range p {
			mean += q * x[k]
		}
		share := t.Visitation(s)
		for k, q := range p {
			y[k] = share * q * (x[k] - mean)
		}
	}
}

// Divergence returns Σ_s d̄(s) KL(π(·|s) ‖ π'(·|s)) in nats, with π' of the parameters to and d̄ of the point.
func (t *Tabular) Divergence(to []float64) float64 {
	precondition.Length("policy", "to", to, len(t.pi))
	logSoftmax(t.to, to, t.m.Actions)
	sum := 0.0
	for i, p := range t.pi {
		if p > 0 { // an action that is never taken has no part, whatever π' says
			sum += t.Visitation(i/t.m.Actions) * p * (t.logs[i] - t.to[i])
		}
	}
	return max(sum, 0)
}

// Optimum returns the largest return of any policy, by policy iteration (Howard 1960). It moves the point.
func (t *Tabular) Optimum() (float64, error) {
	a := t.m.Actions
	for range 1000 {
		changed := false
		for s := range t.m.States {
			p, best := t.pi[s*a:s*a+a], 0
			for k, x := range t.advantage[s*a : s*a+a] {
				if x > t.advantage[s*a+best] {
					best = k
				}
			}
			// A deterministic policy changes only for an advantage above rounding, so that the iteration ends.
			if p[best] == 1 || isPure(p) && t.advantage[s*a+best] < 1e-12*(1+math.Abs(t.value.AtVec(s))) {
				continue
			}
			clear(p)
			p[best], changed = 1, true
		}
		if !changed {
			return t.result, nil
		}
		if err := t.evaluate(); err != nil {
			return 0, err
		}
	}
	return 0, errors.New("policy: policy iteration does not end")
}

func isPure(p []float64) bool {
	for _, x := range p {
		if x == 1 {
			return true
		}
	}
	return false
}

// logSoftmax writes the logarithm of the softmax of each row of n numbers.
func logSoftmax[F float32 | float64](dst []float64, z []F, n int) {
	for at := 0; at < len(z); at += n {
		row, top, sum := z[at:at+n], z[at], 0.0
		for _, v := range row {
			top = max(top, v)
		}
		for k, v := range row {
			dst[at+k] = float64(v - top)
			sum += math.Exp(dst[at+k])
		}
		sum = math.Log(sum)
		for k := range row {
			dst[at+k] -= sum
		}
	}
}
