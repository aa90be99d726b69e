package mlp

import (
	"math"
	"math/rand/v2"

	"learnedopt/internal/gemm"
)

const errScores = "mlp: scores: their length must be a positive multiple of the batch times the outputs"

// Scores are derivatives q = −∂ log r(ŷ|x)/∂z of the model's log-likelihood with respect to its outputs, for S labels ŷ of each of B
// examples: B×S×C numbers, example by example. The mean of qqᵀ over the S scores of an example is a matrix Λ at its outputs.

// SampleScores writes scores p − e_ŷ with labels ŷ drawn from the probabilities p, B×C.
func SampleScores(dst []float32, p []float64, classes int, rng *rand.Rand) {
	labels := labelsOf(len(dst), len(p))
	for at := 0; at < len(p); at += classes {
		row := p[at : at+classes]
		for range labels {
			for j, x := range row {
				dst[j] = float32(x)
			}
			dst[draw(row, rng.Float64())]--
			dst = dst[classes:]
		}
	}
}

// draw returns the class at which the sum of the probabilities passes u in [0, 1).
func draw(p []float64, u float64) int {
	last := 0
	for j, x := range p {
		if x > 0 {
			last = j
		}
		if u -= x; u < 0 {
			return j
		}
	}
	return last // the sum was rounded below u
}

// ExactScores writes S = C scores √(C p_c) (p − e_c), c = 0 … C−1, of the probabilities p: their mean of qqᵀ is diag(p) − ppᵀ.
func ExactScores(dst []float32, p []float64, classes int) {
	if labelsOf(len(dst), len(p)) != classes {
		panic(errScores)
	}
	for at := 0; at < len(p); at += classes {
		row := p[at : at+classes]
		for c, weight := range row {
			weight = math.Sqrt(float64(classes) * weight)
			for j, x := range row {
				if j == c {
					x--
				}
				dst[j] = float32(weight * x)
			}
			dst = dst[classes:]
		}
	}
}

// labelsOf returns S.
func labelsOf(scores, outputs int) int {
	if scores == 0 || scores%outputs != 0 {
		panic(errScores)
	}
	return scores / outputs
}

// TimesScores writes 1/B Λ_i r_i of every example into dst, with Λ_i = 1/S Σ_s q_is q_isᵀ. dst and r are B×C.
func TimesScores(dst, r, scores []float32, classes int) {
	labels := labelsOf(len(scores), len(r))
	scale := 1 / float64(labels*(len(r)/classes))
	for at := 0; at < len(r); at += classes {
		row, out := r[at:at+classes], dst[at:at+classes]
		clear(out)
		for range labels {
			q, dot := scores[:classes], 0.0
			for j, x := range q {
				dot += float64(x) * float64(row[j])
			}
			dot *= scale
			for j, x := range q {
				out[j] += float32(dot * float64(x))
			}
			scores = scores[classes:]
		}
	}
}

// SampledScores writes scores of labels that are drawn from the model's predictions at the point. The number S of labels of an
// example follows from the length of dst. For a regression they are −2(ŷ − z) with ŷ ~ N(z, ½).
func (c *Curvature) SampledScores(dst []float32, rng *rand.Rand) {
	if !c.squared {
		SampleScores(dst, c.p, c.outputs(), rng)
		return
	}
	labelsOf(len(dst), len(c.p))
	for i := range dst {
		dst[i] = float32(math.Sqrt2 * rng.NormFloat64())
	}
}

// ExactScores writes S = C scores for each example, with the Λ of Fisher.
func (c *Curvature) ExactScores(dst []float32) {
	outputs := c.outputs()
	if !c.squared {
		ExactScores(dst, c.p, outputs)
		return
	}
	if labelsOf(len(dst), len(c.p)) != outputs {
		panic(errScores)
	}
	clear(dst)
	for at := 0; at < len(dst); at += outputs * outputs {
		for j := range outputs {
			dst[at+j*outputs+j] = float32(math.Sqrt(2 * float64(outputs)))
		}
	}
}

// EmpiricalScores writes one score for each example: of the label y that Move got.
func (c *Curvature) EmpiricalScores(dst []float32) {
	delta := c.layers[len(c.layers)-1].delta
	if len(dst) != len(delta) {
		panic(errScores)
	}
	for i, d := range delta {
		dst[i] = float32(c.batch) * d
	}
}

// Outer writes F·v into dst, as Fisher does, with Λ_i = 1/S Σ_s q_is q_isᵀ of the scores. dst may be v.
func (c *Curvature) Outer(dst, v, scores []float32) {
	labelsOf(len(scores), len(c.p))
	c.forwardAlong(dst, v)
	last := &c.layers[len(c.layers)-1]
	TimesScores(last.rdelta, last.rz, scores, last.out)
	c.backwardAlong(dst, v, false)
}

// outputs returns C.
func (c *Curvature) outputs() int { return c.layers[len(c.layers)-1].out }

// Layers returns the number of layers.
func (c *Curvature) Layers() int { return len(c.layers) }

// A Factor holds the rows that K-FAC's factors of one layer are made of: its B × Inputs inputs a, and (B·S) × Outputs derivatives of its
// outputs z, which scores give.
type Factor struct {
	Weights, Inputs, Outputs int
	In, Out                  []float32
}

// Factors writes a Factor of each layer at the point into dst, which has Layers elements. Scores are pulled back to the layers' outputs. Their Out is
// made anew where it is too small; In must not be changed.
func (c *Curvature) Factors(dst []Factor, scores []float32) {
	labels := labelsOf(len(scores), len(c.p))
	rows := c.batch * labels
	for l := len(c.layers) - 1; l >= 0; l-- {
		k, f := &c.layers[l], &dst[l]
		f.Weights, f.Inputs, f.Outputs, f.In = k.weights, k.in, k.out, c.below(l)
		if need := rows * k.out; cap(f.Out) < need {
			f.Out = make([]float32, need)
		} else {
			f.Out = f.Out[:need]
		}
		if l == len(c.layers)-1 {
			copy(f.Out, scores)
			continue
		}
		above := &c.layers[l+1]
		c.kernel.Mul(gemm.Of(f.Out, rows, k.out), gemm.Of(dst[l+1].Out, rows, above.out), above.matrix(c.theta).T(), false)
		for i := range c.batch {
			slope := k.slope[i*k.out : (i+1)*k.out]
			for s := range labels {
				row := f.Out[(i*labels+s)*k.out:][:k.out]
				for j, d := range slope {
					row[j] *= d
				}
			}
		}
	}
}

// Logits computes the outputs z of B rows x, and returns them. The next call of any method overwrites them. It unsets the point: a Move must follow
// before products.
func (c *Curvature) Logits(theta, x []float32) []float32 {
	if len(theta) != len(c.theta) || len(x) != c.batch*c.layers[0].in {
		panic(errPoint)
	}
	c.forward(theta, x, nil)
	return c.layers[len(c.layers)-1].h
}
