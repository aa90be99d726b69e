// Package divergence has the terms of Kullback-Leibler divergences without cancellation.
package divergence

import "math"

// Term returns p d − p + q with d = log(p/q), a term of a divergence that is never negative. Where all p and all q sum to 1, so
// do these terms to KL(p ‖ q): the sum loses no digits to the cancellation in Σ p d. Where p and q are close the term is computed
// from d alone: p (d + e^−d − 1).
func Term(p, q, d float64) float64 {
	if math.Abs(d) < 0.1 {
		// d + expm1(−d) = d²/2 − d³/6 + …, which would lose digits if it were computed as a sum.
		sum, term := 0.0, 1.0
		for k := 2.0; k <= 12; k++ {
			if k == 2 {
				term = d * d / 2
			} else {
				term *= -d / k
			}
			sum += term
		}
		return p * sum
	}
	if p == 0 {
		return q
	}
	return p*d - p + q
}

// LogSoftmax writes log softmax(z) of the logits of one example into dst, which may be z.
func LogSoftmax(dst, z []float64) {
	top, sum := math.Inf(-1), 0.0
	for _, v := range z {
		top = max(top, v)
	}
	for _, v := range z {
		sum += math.Exp(v - top)
	}
	shift := top + math.Log(sum)
	for j, v := range z {
		dst[j] = v - shift
	}
}

// Of returns KL(p ‖ q) of distributions that are given by their logarithms.
func Of(logP, logQ []float64) (kl float64) {
	for j, l := range logP {
		kl += Term(math.Exp(l), math.Exp(logQ[j]), l-logQ[j])
	}
	return kl
}
