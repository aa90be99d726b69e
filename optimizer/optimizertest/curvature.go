package optimizertest

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"learnedopt/optimizer"
)

var metrics = []struct {
	metric optimizer.Metric
	name   string
}{{optimizer.Hessian, "Hessian"}, {optimizer.Fisher, "Fisher"}, {optimizer.SampledFisher, "sampled Fisher"}, {optimizer.EmpiricalFisher, "empirical Fisher"}}

// curvature checks the contract of optimizer.Curvature for every metric that p offers.
func curvature(p optimizer.Problem) error {
	c, ok := p.(optimizer.Curvature)
	if !ok {
		return nil
	}
	var errs []error
	for _, m := range metrics {
		if c.Metrics()&m.metric == 0 {
			zero := make([]float32, p.Dim())
			if !panicked(func() { _ = c.CurvatureProduct(slices.Clone(zero), zero, zero, m.metric, 0) }) {
				errs = append(errs, fmt.Errorf("%s is not offered, and does not panic", m.name))
			}
			continue
		}
		for _, check := range []func(optimizer.Problem, optimizer.Curvature, optimizer.Metric) error{symmetric, unmoved, productLengths} {
			if err := check(p, c, m.metric); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", m.name, err))
			}
		}
	}
	if c.Metrics()&optimizer.Hessian != 0 {
		errs = append(errs, hessian(p, c))
	}
	all := optimizer.Metric(0)
	for _, m := range metrics {
		all |= m.metric
	}
	if c.Metrics()&^all != 0 {
		errs = append(errs, fmt.Errorf("metrics %b have the unknown bits %b", c.Metrics(), c.Metrics()&^all))
	}
	return errors.Join(errs...)
}

// normal returns vectors of n normal numbers of standard deviation ½.
func normal(rng *rand.Rand, n, count int) [][]float32 {
	all := make([][]float32, count)
	for k := range all {
		all[k] = make([]float32, n)
		for i := range all[k] {
			all[k][i] = float32(0.5 * rng.NormFloat64())
		}
	}
	return all
}

func dot(a, b []float32) (sum float64) {
	for i, x := range a {
		sum += float64(x) * float64(b[i])
	}
	return sum
}

// hessian compares products with (∇f(θ + hv) − ∇f(θ − hv)) / 2h, at three points on the data of each of
// two steps, the later step first. For at least one of three h they must agree to 2·10⁻³ of the product's length.
// Rounding of float32 gradients, which are about as long as the product, contributes an error of 10⁻⁷/h of that
// length; the third derivatives contribute an error proportional to h². If f has kinks (ReLU), some lie between
// the two points, so two of the six directions may miss. A wrong product misses in most directions.
func hessian(p optimizer.Problem, c optimizer.Curvature) error {
	const directions, misses = 6, 2
	n, rng := p.Dim(), rand.New(rand.NewPCG(4, 4))
	plus, minus, above, below := make([]float32, n), make([]float32, n), make([]float32, n), make([]float32, n)
	got := make([]float32, n)
	missed, wrong := 0, error(nil)
	for direction := range directions {
		x := normal(rng, n, 2)
		theta, v := x[0], x[1]
		step := []int{5, 2}[direction/3]
		seek(p, 3*direction)
		if err := c.CurvatureProduct(got, theta, v, optimizer.Hessian, step); err != nil {
			return err
		}
		length, best := math.Sqrt(dot(got, got)), math.Inf(1)
		for _, h := range []float64{2e-2, 4e-3, 1e-3} {
			for i := range theta {
				plus[i], minus[i] = theta[i]+float32(h)*v[i], theta[i]-float32(h)*v[i]
			}
			for _, side := range []struct{ at, grad []float32 }{{plus, above}, {minus, below}} {
				seek(p, step)
				if _, err := p.LossGrad(side.at, side.grad); err != nil {
					return err
				}
			}
			d := 0.0
			for i := range got {
				want := (float64(above[i]) - float64(below[i])) / (2 * h)
				d += (float64(got[i]) - want) * (float64(got[i]) - want)
			}
			best = min(best, math.Sqrt(d))
		}
		if !(best <= 2e-3*length) {
			missed++
			wrong = fmt.Errorf("step %d: the Hessian's product has length %g, and is %g from differences of gradients", step, length, best)
		}
	}
	if missed > misses {
		return wrong
	}
	return nil
}

// symmetric checks that ⟨u, Mv⟩ = ⟨Mu, v⟩ and, for every kind of Fisher, that ⟨v, Mv⟩ ≥ 0, up to float32's rounding.
func symmetric(p optimizer.Problem, c optimizer.Curvature, metric optimizer.Metric) error {
	x := normal(rand.New(rand.NewPCG(5, 5)), p.Dim(), 5)
	theta, u, v, mu, mv := x[0], x[1], x[2], x[3], x[4]
	for _, s := range []struct{ dst, of []float32 }{{mu, u}, {mv, v}} {
		if err := c.CurvatureProduct(s.dst, theta, s.of, metric, 1); err != nil {
			return err
		}
	}
	a, b := dot(u, mv), dot(mu, v)
	if size := math.Sqrt(dot(u, u) * dot(mv, mv)); !(math.Abs(a-b) <= 1e-5*size) {
		return fmt.Errorf("⟨u, Mv⟩ = %g, ⟨Mu, v⟩ = %g", a, b)
	}
	if metric == optimizer.Hessian {
		return nil
	}
	for _, s := range []struct{ m, of []float32 }{{mu, u}, {mv, v}} {
		if value := dot(s.of, s.m); !(value >= -1e-6*math.Sqrt(dot(s.of, s.of)*dot(s.m, s.m))) {
			return fmt.Errorf("⟨v, Mv⟩ = %g", value)
		}
	}
	return nil
}

// unmoved checks that a product changes only dst, that it does not depend on earlier calls, and that dst may be v.
func unmoved(p optimizer.Problem, c optimizer.Curvature, metric optimizer.Metric) error {
	x := normal(rand.New(rand.NewPCG(6, 6)), p.Dim(), 6)
	theta, v, first, again, other, grad := x[0], x[1], x[2], x[3], x[4], x[5]
	const step = 4
	var failed error
	product := func(dst, theta, v []float32, step int) {
		if err := c.CurvatureProduct(dst, theta, v, metric, step); err != nil {
			failed = err
		}
	}
	product(first, theta, v, step)
	product(again, other, v, step+3)
	product(again, theta, v, step)
	if i := differ(again, first); i >= 0 {
		return fmt.Errorf("coordinate %d of a product is %v, and %v after one elsewhere", i, first[i], again[i])
	}
	copy(again, v)
	product(again, theta, again, step)
	if i := differ(again, first); i >= 0 {
		return fmt.Errorf("coordinate %d of a product is %v into another vector, %v in place", i, first[i], again[i])
	}
	if before := normal(rand.New(rand.NewPCG(6, 6)), p.Dim(), 2); differ(theta, before[0]) >= 0 || differ(v, before[1]) >= 0 {
		return errors.New("a product changes theta or v")
	}
	// The losses and gradients of steps 2 and 3, first without and then with a product of another step in between.
	var losses []float64
	var grads [][]float32
	for _, between := range []bool{false, true} {
		seek(p, 2)
		for range 2 {
			loss, err := p.LossGrad(theta, grad)
			if err != nil {
				return err
			}
			losses, grads = append(losses, loss), append(grads, slices.Clone(grad))
			if between {
				product(again, other, v, step+5)
			}
		}
	}
	for i := range 2 {
		if losses[i] != losses[2+i] || differ(grads[i], grads[2+i]) >= 0 {
			return fmt.Errorf("the loss of step %d is %v, and %v after a product of another step", 2+i, losses[i], losses[2+i])
		}
	}
	product(again, theta, v, step)
	if i := differ(again, first); i >= 0 {
		return fmt.Errorf("coordinate %d of a product is %v, and %v after gradients of other steps", i, first[i], again[i])
	}
	return failed
}

func productLengths(p optimizer.Problem, c optimizer.Curvature, metric optimizer.Metric) error {
	n := p.Dim()
	right := func() []float32 { return make([]float32, n) }
	for _, wrong := range [][]float32{nil, make([]float32, n-1), make([]float32, n+1)} {
		for what, f := range map[string]func(){
			"dst":   func() { _ = c.CurvatureProduct(wrong, right(), right(), metric, 0) },
			"theta": func() { _ = c.CurvatureProduct(right(), wrong, right(), metric, 0) },
			"v":     func() { _ = c.CurvatureProduct(right(), right(), wrong, metric, 0) },
		} {
			if !panicked(f) {
				return fmt.Errorf("%s of length %d, not %d, does not panic", what, len(wrong), n)
			}
		}
	}
	for _, none := range []optimizer.Metric{0, optimizer.Hessian | optimizer.Fisher, 1 << 7} {
		if !panicked(func() { _ = c.CurvatureProduct(right(), right(), right(), none, 0) }) {
			return fmt.Errorf("a product of the metric %b does not panic", none)
		}
	}
	return nil
}
