package lagrange

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// MaximumEntropy is the distribution p of n outcomes that has the largest entropy −Σ p_i log p_i among those with the given moments:
//
//	Σ_i p_i F_ji = Target_j   for each of k functions F_j.
//
// As a Problem its unknowns are logits, p = softmax(x), so that p ≥ 0 and Σp = 1 hold by themselves. It minimizes −H. At the
// solution p_i ∝ exp(−Σ_j ν_j F_ji): the multipliers are those of the exponential family.
type MaximumEntropy struct {
	// Functions has a row of n numbers for each of the k moments.
	Functions [][]float64
	// Target has k numbers.
	Target []float64
	// Outcomes is n; needed only without moments.
	Outcomes int
}

var _ Problem = (*MaximumEntropy)(nil)

// Validate reports the first mistake in the sizes and numbers.
func (m *MaximumEntropy) Validate() error {
	if m.n() < 1 {
		return fmt.Errorf("lagrange: maximum entropy of no outcomes: give Functions or Outcomes")
	}
	if len(m.Functions) != len(m.Target) {
		return fmt.Errorf("lagrange: maximum entropy: %d functions and %d targets, want as many", len(m.Functions), len(m.Target))
	}
	for j, f := range m.Functions {
		if len(f) != m.n() {
			return fmt.Errorf("lagrange: maximum entropy: function %d has %d values, want one for each of %d outcomes", j, len(f), m.n())
		}
		if v := largest(f); math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("lagrange: maximum entropy: function %d has a value that is not finite", j)
		}
	}
	if v := largest(m.Target); math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Errorf("lagrange: maximum entropy: a target is not finite")
	}
	return nil
}

func (m *MaximumEntropy) n() int {
	if len(m.Functions) > 0 {
		return len(m.Functions[0])
	}
	return m.Outcomes
}

// Softmax writes the distribution of logits into p, which may be x, and returns log Σ exp x_i.
func Softmax(p, x []float64) float64 {
	top := math.Inf(-1)
	for _, v := range x {
		top = max(top, v)
	}
	sum := 0.0
	for i, v := range x {
		p[i] = math.Exp(v - top)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return top + math.Log(sum)
}

// Value implements Problem.
func (m *MaximumEntropy) Value(c, x []float64) float64 {
	p := make([]float64, len(x))
	log := Softmax(p, x)
	negative := 0.0
	for i, v := range p {
		negative += v * (x[i] - log)
	}
	for j, f := range m.Functions {
		c[j] = -m.Target[j]
		for i, v := range p {
			c[j] += v * f[i]
		}
	}
	return negative
}

// Gradient implements Problem: p∘(g − pᵀg) with g_i = log p_i + Σ_j w_j F_ji.
func (m *MaximumEntropy) Gradient(dst, x, w []float64) {
	p := make([]float64, len(x))
	log := Softmax(p, x)
	mean := 0.0
	for i, v := range p {
		dst[i] = x[i] - log
		for j, f := range m.Functions {
			dst[i] += w[j] * f[i]
		}
		mean += v * dst[i]
	}
	for i, v := range p {
		dst[i] = v * (dst[i] - mean)
	}
}

// Dual solves the problem by Newton's method on its dual, the convex function log Σ_i exp(−Σ_j ν_j F_ji) + νᵀTarget of k unknowns.
// It returns p and ν; an error if no distribution has such moments, or the functions depend on each other.
func (m *MaximumEntropy) Dual() (p, nu []float64, err error) {
	if err := m.Validate(); err != nil {
		return nil, nil, err
	}
	n, k := m.n(), len(m.Target)
	p, nu = make([]float64, n), make([]float64, k)
	at := func(nu []float64) float64 {
		for i := range p {
			p[i] = 0
			for j, f := range m.Functions {
				p[i] -= nu[j] * f[i]
			}
		}
		value := Softmax(p, p)
		for j, v := range nu {
			value += v * m.Target[j]
		}
		return value
	}
	value := at(nu)
	if k == 0 {
		return p, nu, nil
	}
	trial := make([]float64, k)
	for range 100 {
		gradient, covariance := mat.NewVecDense(k, nil), mat.NewSymDense(k, nil)
		mean := make([]float64, k)
		for j, f := range m.Functions {
			for i, v := range p {
				mean[j] += v * f[i]
			}
			gradient.SetVec(j, mean[j]-m.Target[j])
		}
		for j, f := range m.Functions {
			for l := j; l < k; l++ {
				sum := 0.0
				for i, v := range p {
					sum += v * (f[i] - mean[j]) * (m.Functions[l][i] - mean[l])
				}
				covariance.SetSym(j, l, sum)
			}
		}
		var cholesky mat.Cholesky
		var step mat.VecDense
		if !cholesky.Factorize(covariance) || cholesky.SolveVecTo(&step, gradient) != nil {
			return p, nu, fmt.Errorf("lagrange: maximum entropy: the covariance of the functions is singular: a function depends on the others, or a target is at the edge of what is possible; leave it out")
		}
		slope := mat.Dot(gradient, &step)
		better := false
		for size := 1.0; size > 1e-12; size /= 2 {
			for j := range trial {
				trial[j] = nu[j] + size*step.AtVec(j)
			}
			if v := at(trial); v <= value-1e-4*size*slope || slope < 1e-20 {
				copy(nu, trial)
				value, better = v, true
				break
			}
		}
		// Quadratic convergence: a decrement of 1e-14 is far below rounding of the next one.
		if slope < 1e-14 || !better {
			at(nu)
			if slope < 1e-12 {
				return p, nu, nil
			}
			break
		}
	}
	return p, nu, fmt.Errorf("lagrange: maximum entropy: no distribution with these moments was found; the targets may be outside of what the outcomes allow")
}
