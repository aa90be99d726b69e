package mlp_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"learnedopt/internal/gemm/mlp"
	"learnedopt/internal/gemm/mlp/mlptest"
)

// scoresOf returns float32 scores as S vectors of C numbers for each example.
func scoresOf(scores []float32, batch, classes int) [][][]float64 {
	all, labels := make([][][]float64, batch), len(scores)/(batch*classes)
	for i := range all {
		for range labels {
			all[i] = append(all[i], mlptest.Widen(scores[:classes]))
			scores = scores[classes:]
		}
	}
	return all
}

// explicit returns the matrix 1/B Σ_i J_iᵀ Λ_i J_i from Jacobians; lambda returns Λ of an example.
func explicit(s *setting, lambda func(i int) [][]float64) [][]float64 {
	theta := mlptest.Widen(s.theta)
	f := make([][]float64, len(theta))
	for a := range f {
		f[a] = make([]float64, len(theta))
	}
	for i, e := range s.batch {
		jacobian, l := s.net.Jacobian(theta, e.X), lambda(i)
		for j, row := range jacobian {
			for k, col := range jacobian {
				for a := range f {
					for b := range f {
						f[a][b] += row[a] * l[j][k] * col[b] / float64(len(s.batch))
					}
				}
			}
		}
	}
	return f
}

func timesVector(f [][]float64, v []float64) []float64 {
	product := make([]float64, len(v))
	for i, row := range f {
		for j, x := range row {
			product[i] += x * v[j]
		}
	}
	return product
}

func far64(got, want []float64) float64 {
	d, largest := 0.0, 0.0
	for i, w := range want {
		d, largest = max(d, math.Abs(got[i]-w)), max(largest, math.Abs(w))
	}
	return d / largest
}

// Products in every metric are those of the explicit matrix on a 5-4-3 network. In float64 the product by forward and
// backward passes differs from the matrix, which is made of backward passes alone, by the rounding of some tens of terms.
func TestFisherMatrices(t *testing.T) {
	for _, activation := range []string{"tanh", "relu", "gelu"} {
		s := newSetting(activation, 6, 3, 5, 4, 3)
		theta, v := mlptest.Widen(s.theta), mlptest.Widen(s.v)
		exact, sampled, empirical := make([]float32, 6*3*3), make([]float32, 6*7*3), make([]float32, 6*3)
		s.curvature.ExactScores(exact)
		s.curvature.SampledScores(sampled, rand.New(rand.NewPCG(1, 2)))
		s.curvature.EmpiricalScores(empirical)
		probabilities := func(i int) []float64 {
			p, _ := mlptest.Softmax(s.net.Logits(theta, s.batch[i].X))
			return p
		}
		for name, c := range map[string]struct {
			scores  []float32
			lambda  func(i int) [][]float64
			product func(dst []float32)
		}{
			"exact": {exact, func(i int) [][]float64 {
				p, l := probabilities(i), make([][]float64, 3)
				for j := range l {
					l[j] = make([]float64, 3)
					for k := range l {
						l[j][k] = -p[j] * p[k]
					}
					l[j][j] += p[j]
				}
				return l
			}, func(dst []float32) { s.curvature.Fisher(dst, s.v) }},
			"sampled":   {sampled, nil, func(dst []float32) { s.curvature.Outer(dst, s.v, sampled) }},
			"empirical": {empirical, nil, func(dst []float32) { s.curvature.Outer(dst, s.v, empirical) }},
		} {
			scores := scoresOf(c.scores, 6, 3)
			lambda := func(i int) [][]float64 {
				l := make([][]float64, 3)
				for j := range l {
					l[j] = make([]float64, 3)
					for k := range l {
						for _, q := range scores[i] {
							l[j][k] += q[j] * q[k] / float64(len(scores[i]))
						}
					}
				}
				return l
			}
			want := timesVector(explicit(s, lambda), v)
			if d := far64(s.net.OuterVector(theta, v, s.batch, scores), want); !(d <= 1e-12) {
				t.Errorf("%s, %s: the float64 product is %.2g of its largest coordinate from the matrix", activation, name, d)
			}
			got := make([]float32, len(s.v))
			s.curvature.Outer(got, s.v, c.scores)
			if d := mlptest.Far(got, want); !(d <= 1e-5) {
				t.Errorf("%s, %s: Outer is %.2g from the matrix", activation, name, d)
			}
			if c.lambda != nil {
				want = timesVector(explicit(s, c.lambda), v)
			}
			c.product(got)
			if d := mlptest.Far(got, want); !(d <= 1e-5) {
				t.Errorf("%s, %s: the product is %.2g from the matrix", activation, name, d)
			}
		}
		// The labels of the data: p − e_y.
		for i, e := range s.batch {
			p := probabilities(i)
			p[e.Label]--
			if d := mlptest.Far(empirical[3*i:3*i+3], p); !(d <= 1e-5) {
				t.Errorf("%s: the score of example %d is %v, want %v", activation, i, empirical[3*i:3*i+3], p)
			}
		}
	}
}

// The error of the sampled matrix falls as 1/√S. The mean error over 200 draws is within some percent of its expectation.
func TestSampledFisherConverges(t *testing.T) {
	s := newSetting("tanh", 4, 8, 5, 4, 3)
	rng, got := rand.New(rand.NewPCG(9, 9)), make([]float32, len(s.v))
	var errors []float64
	for _, labels := range []int{4, 16, 64} {
		scores, sum := make([]float32, 4*labels*3), 0.0
		for range 200 {
			s.curvature.SampledScores(scores, rng)
			s.curvature.Outer(got, s.v, scores)
			d := 0.0
			for i, x := range got {
				d += math.Pow(float64(x-s.fv[i]), 2)
			}
			sum += d / 200
		}
		errors = append(errors, math.Sqrt(sum))
	}
	for i := range errors[1:] {
		if ratio := errors[i] / errors[i+1]; !(ratio > 1.7 && ratio < 2.3) {
			t.Errorf("four times as many labels divide the error %v by %.2f, want 2", errors, ratio)
		}
	}
}

// A regression's scores: their mean of qqᵀ is 2I, exactly or in the limit, and −2(y − z) for the data.
func TestSquaredScores(t *testing.T) {
	a, _ := mlp.ActivationOf("tanh")
	c := mlp.NewSquared([]int{3, 4, 2}, a, 5)
	rng := rand.New(rand.NewPCG(4, 4))
	theta, v, x, y := random(rng, 26), random(rng, 26), random(rng, 15), random(rng, 10)
	c.Move(theta, x, y)
	want, got, scores := make([]float32, 26), make([]float32, 26), make([]float32, 5*2*2)
	c.Fisher(want, v)
	c.ExactScores(scores)
	c.Outer(got, v, scores)
	if d := mlptest.Far(got, mlptest.Widen(want)); !(d <= 1e-5) {
		t.Errorf("exact scores give another product than Fisher, by %.2g", d)
	}
	scores = make([]float32, 5*4000*2)
	c.SampledScores(scores, rng)
	c.Outer(got, v, scores)
	if d := mlptest.Far(got, mlptest.Widen(want)); !(d <= 0.1) { // 1/√4000 times a few
		t.Errorf("sampled scores give another product than Fisher, by %.2g", d)
	}
	scores = scores[:10]
	c.EmpiricalScores(scores)
	for i, z := range c.Logits(theta, x) {
		if q := 2 * (z - y[i]); math.Abs(float64(q-scores[i])) > 1e-5 {
			t.Errorf("the score of output %d is %v, want %v", i, scores[i], q)
		}
	}
}

func random(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

// The rows of K-FAC's factors are those of the gradient and of the diagonal blocks: with the labels of the data the mean of a gᵀ is
// the gradient of W and the mean of g that of b. For one example the block of Fisher is aaᵀ ⊗ mean ggᵀ.
func TestFactors(t *testing.T) {
	s := newSetting("tanh", 6, 11, 5, 4, 3)
	_, grad := s.net.LossGrad(mlptest.Widen(s.theta), s.batch)
	factors, scores := make([]mlp.Factor, s.curvature.Layers()), make([]float32, 6*3)
	s.curvature.EmpiricalScores(scores)
	s.curvature.Factors(factors, scores)
	got := make([]float32, len(grad))
	for _, f := range factors {
		for row := range 6 {
			for j, g := range f.Out[row*f.Outputs : (row+1)*f.Outputs] {
				for i, a := range f.In[row*f.Inputs : (row+1)*f.Inputs] {
					got[f.Weights+i*f.Outputs+j] += a * g / 6
				}
				got[f.Weights+f.Inputs*f.Outputs+j] += g / 6
			}
		}
	}
	if d := mlptest.Far(got, grad); !(d <= 1e-5) {
		t.Errorf("the mean of a gᵀ is %.2g from the gradient", d)
	}

	one := newSetting("tanh", 1, 11, 5, 4, 3)
	scores = scores[:9]
	one.curvature.ExactScores(scores)
	one.curvature.Factors(factors, scores)
	theta := mlptest.Widen(one.theta)
	for l, f := range factors {
		// Fisher of a direction in one layer alone, and its part in that layer.
		n := (f.Inputs + 1) * f.Outputs
		v := make([]float32, len(theta))
		copy(v[f.Weights:f.Weights+n], one.v[f.Weights:])
		product := make([]float32, len(v))
		one.curvature.Fisher(product, v)
		want := make([]float64, n)
		input := append(mlptest.Widen(f.In), 1)
		for s := range 3 {
			g := f.Out[s*f.Outputs : (s+1)*f.Outputs]
			dot := 0.0
			for i, a := range input {
				for j, x := range g {
					dot += a * float64(x) * float64(v[f.Weights+i*f.Outputs+j])
				}
			}
			for i, a := range input {
				for j, x := range g {
					want[i*f.Outputs+j] += dot * a * float64(x) / 3
				}
			}
		}
		if d := mlptest.Far(product[f.Weights:f.Weights+n], want); !(d <= 1e-5) {
			t.Errorf("layer %d: the block is %.2g from the factors", l, d)
		}
	}
}

func TestScoresPanic(t *testing.T) {
	s := newSetting("relu", 4, 1, 5, 3)
	for what, f := range map[string]func(){
		"sampled": func() { s.curvature.SampledScores(make([]float32, 13), rand.New(rand.NewPCG(1, 1))) },
		"exact":   func() { s.curvature.ExactScores(make([]float32, 12)) }, "none": func() { s.curvature.Outer(s.fv, s.v, nil) },
		"empirical": func() { s.curvature.EmpiricalScores(make([]float32, 24)) }, "logits": func() { s.curvature.Logits(s.theta, s.x[1:]) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", what)
				}
			}()
			f()
		}()
	}
}
