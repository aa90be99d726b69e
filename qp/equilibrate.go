package qp

import "math"

// scaling says how the equilibrated problem and the user's belong together:
//
//	z = β E x,   ν = F_A y / (c β),   λ = F_G z / (c β),   s = β s' / F_G
//
// and the objective is multiplied by c.
type scaling struct {
	e, fa, fg []float64 // n, p, m
	beta, c   float64
}

// equilibrate scales rows, columns and the objective until the numbers of each row of A and G, of each column of Q, A and G
// together, and of Q have a geometric mean of about 1, and then a mean square of about 1. The first has one solution,
// whatever the units in which a problem is written; the second keeps the largest numbers down. (Ruiz 2001 does the like for the
// largest numbers, which many scalings make 1.) Then it scales the right-hand sides and the objective. The problem's numbers
// are in k, q, b and h before and after.
func (c *scaling) equilibrate(k *kkt, q, b, h, work []float64) {
	n, p, m := len(q), len(b), len(h)
	c.e, c.fa, c.fg = grow(c.e, n), grow(c.fa, p), grow(c.fg, m)
	fill(c.e, 1)
	fill(c.fa, 1)
	fill(c.fg, 1)
	c.beta, c.c = 1, 1
	column, count, ra, rg := work[:n], work[n:2*n], work[2*n:2*n+p], work[2*n+p:2*n+p+m]
	for _, f := range [...]measure{exponent, square} {
		for range 20 {
			clear(column)
			clear(count)
			k.a.sums(f, ra, column, count)
			k.g.sums(f, rg, column, count)
			mean := k.q.sums(f, column, count)
			for i := range column {
				column[i] /= max(count[i], 1)
			}
			mean, uneven := f.halve(mean), 0.0
			for _, x := range [...][]float64{column, ra, rg} {
				for i, v := range x {
					x[i] = f.halve(v)
					uneven = max(uneven, x[i], 1/x[i])
				}
			}
			// Twice the size, either way, is no matter for the solver.
			if max(uneven, mean, 1/mean) <= math.Sqrt2 {
				break
			}
			c.apply(k, math.Sqrt(mean), column, ra, rg)
		}
	}
	c.limits(k, q, b, h, column, count)
	for i := range q {
		q[i] *= c.c
	}
	multiply(q, c.e)
	multiply(b, c.fa)
	multiply(h, c.fg)
	beta := max(norm(b), norm(h))
	if beta == 0 {
		beta = 1
	}
	c.resize(k, q, b, h, beta)
}

// limits scales the variables that occur in nothing but their own limits, x_j ≤ h_i, so that the largest of these is as
// large as the right-hand sides of the other rows.
func (c *scaling) limits(k *kkt, q, b, h, column, count []float64) {
	fill(column, 0)
	others := 0.0
	for i, v := range b {
		others = max(others, math.Abs(v*c.fa[i]))
	}
	for _, i := range k.g.dense {
		others = max(others, math.Abs(h[i]*c.fg[i]))
	}
	for l, i := range k.g.sparse {
		size := math.Abs(h[i] * c.fg[i])
		if j, single := k.g.only(l); single && count[j] == 0 {
			column[j] = max(column[j], size)
		} else {
			others = max(others, size)
		}
	}
	if others == 0 {
		others = 1
	}
	for j, v := range column {
		column[j] = 1
		if v > 0 {
			column[j] = v / others
		}
	}
	c.free(k, q, column, count)
	multiply(c.e, column)
	for l, i := range k.g.sparse {
		if j, single := k.g.only(l); single {
			// The number in the row stays as it is.
			c.fg[i] /= column[j]
		}
	}
}

// free scales the variables that occur nowhere, so that their part of the objective is as large as the others'.
func (c *scaling) free(k *kkt, q, column, count []float64) {
	for l := range k.g.sparse {
		if j, single := k.g.only(l); single {
			count[j]++
		}
	}
	largest := 0.0
	for j, v := range q {
		if count[j] > 0 {
			largest = max(largest, math.Abs(v*c.e[j]*column[j]))
		}
	}
	for j, v := range q {
		if count[j] == 0 && v != 0 && largest > 0 {
			column[j] = largest / math.Abs(v*c.e[j])
		}
	}
}

// apply multiplies columns, rows and the objective of Q by the factors.
func (c *scaling) apply(k *kkt, objective float64, column, ra, rg []float64) {
	k.q.scale(objective, column)
	k.a.scale(ra, column)
	k.g.scale(rg, column)
	multiply(c.e, column)
	multiply(c.fa, ra)
	multiply(c.fg, rg)
	c.c *= objective
}

// halve returns the root of the factor that would make a row or a column of the given mean have size 1: Q has its
// columns' factors twice, A and G have those of their rows as well.
func (f measure) halve(mean float64) float64 {
	switch {
	case f == exponent:
		// The whole part of a logarithm is about ½ too low.
		if mean == 0 {
			return 1
		}
		return math.Exp2(-(mean + 0.5) / 2)
	case mean == 0:
		return 1
	}
	return 1 / math.Sqrt(math.Sqrt(mean))
}

// resize divides z by beta, and sets the objective's factor anew.
func (c *scaling) resize(k *kkt, q, b, h []float64, beta float64) {
	for _, x := range [...][]float64{b, h} {
		for i := range x {
			x[i] /= beta
		}
	}
	largest := norm(k.q.q) * beta * beta
	linear := norm(q) * beta
	factor := 1 / max(largest, linear)
	if largest == 0 && linear == 0 {
		factor = 1
	}
	for i := range k.q.q {
		k.q.q[i] *= factor * beta * beta
	}
	for i := range q {
		q[i] *= factor * beta
	}
	c.beta *= beta
	c.c *= factor
}

func fill(x []float64, v float64) {
	for i := range x {
		x[i] = v
	}
}

func multiply(x, y []float64) {
	for i, v := range y {
		x[i] *= v
	}
}
