package qp

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestDisjoint solves systems of lists by disjoint rows and, without refinement, checks them by a product: an error in the elimination would be
// of the size of the numbers, rounding is 1e-9 of them or less.
func TestDisjoint(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	some := false
	for trial := range 40 {
		n, p := 20+r.IntN(40), 1+r.IntN(12)
		var k kkt
		a, g, q := make([]float64, p*n), make([]float64, n*n), make([]float64, n)
		for i := range p {
			for range 1 + r.IntN(1+n/8) {
				a[i*n+r.IntN(n)] = r.NormFloat64()
			}
		}
		if trial == 0 {
			// Nothing but disjoint rows.
			clear(a)
			for i := range p {
				a[i*n+i] = 1
			}
		}
		for i := range n {
			g[i*n+i], q[i] = -1, r.Float64()
		}
		k.q.set(q, n)
		k.a.set(a, p, n)
		k.g.set(g, n, n)
		k.reset(n, p, n)
		// A small soft makes dependent rows independent.
		k.soft = 1e-2
		w := make([]float64, n)
		for i := range w {
			w[i] = math.Exp(2 * r.NormFloat64())
		}
		if !k.factor(w) {
			t.Fatal("not factored")
		}
		if len(k.apart.first)+len(k.apart.rest) != p || len(k.apart.first) == 0 {
			t.Fatalf("%d disjoint rows and %d others of %d", len(k.apart.first), len(k.apart.rest), p)
		}
		if len(k.apart.rest) > 0 && len(k.apart.first) > 1 {
			some = true
		}
		right, left := make([]float64, 2*n+p), make([]float64, 2*n+p)
		for i := range right {
			right[i] = r.NormFloat64()
		}
		k.eliminate(left, right)
		worst := 0.0
		for i := range n {
			sum := q[i]*left[i] - left[n+p+i]
			for l := range p {
				sum += a[l*n+i] * left[n+l]
			}
			worst = max(worst, math.Abs(sum-right[i]), math.Abs(-left[i]-w[i]*left[n+p+i]-right[n+p+i]))
		}
		for l := range p {
			sum := -k.soft * left[n+l]
			for i := range n {
				sum += a[l*n+i] * left[i]
			}
			worst = max(worst, math.Abs(sum-right[n+l]))
		}
		if worst > 1e-6*(1+norm(left)) {
			t.Errorf("trial %d: off by %g, solution of size %g", trial, worst, norm(left))
		}
	}
	if !some {
		t.Error("no trial with rows of both kinds")
	}
}
