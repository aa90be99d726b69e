package optimizertest

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"learnedopt/internal/stream"
	"learnedopt/optimizer"
)

// ConformFamily runs the suite for families of problems as subtests. It checks that
//
//   - equal random sources draw equal problems, also while other goroutines draw (run
//     with -race to be sure);
//   - Init writes the same starting point at every call;
//   - the layout has as many coordinates as the problem, and is the same at every call;
//   - LossGrad does not change theta, and its gradient agrees with central differences of its
//     loss: at the start, at a random point of size ½, and after 400 steps of descent;
//   - the data of a step depend on the step alone: Seek goes back to them, and a problem
//     that is not a Seeker is the same function at every step;
//   - if the problem is an optimizer.Curvature: the Hessian's products agree with differences of
//     gradients on the data of the given step; the products of every metric are symmetric, and
//     Fisher's are positive semidefinite; dst may be v; LossGrad's step does not change; a metric
//     that the problem does not offer panics;
//   - wrong lengths panic.
//
// If a problem's gradients are a multiple of its loss's gradient, its method
// GradientScale() float64 returns the factor. The tolerances suit losses that are smooth at the
// scale of 10⁻² and are summed in float32 or a higher precision.
func ConformFamily(t *testing.T, family optimizer.Family) {
	t.Helper()
	for i, c := range []struct {
		name string
		run  func(p optimizer.Problem) error
	}{
		{"init", starts}, {"layout", layout}, {"gradient", gradientOfLoss}, {"curvature", curvature}, {"seek", seeks}, {"problem lengths", problemLengths},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := draw(family, uint64(i))
			if err != nil {
				t.Fatal(err)
			}
			defer release(p)
			if err := c.run(p); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("draws", func(t *testing.T) {
		if err := draws(family); err != nil {
			t.Error(err)
		}
	})
}

func draw(family optimizer.Family, index uint64) (optimizer.Problem, error) {
	p, err := family.Sample(stream.New(1606, "problem", index))
	if err == nil && p.Dim() < 1 {
		err = fmt.Errorf("a problem of %d coordinates", p.Dim())
	}
	return p, err
}

func release(p optimizer.Problem) {
	if c, ok := p.(interface{ Close() error }); ok {
		_ = c.Close()
	}
}

func seek(p optimizer.Problem, t int) {
	if s, ok := p.(optimizer.Seeker); ok {
		s.Seek(t)
	}
}

func layout(p optimizer.Problem) error {
	l := optimizer.LayoutOf(p)
	if l.Len() != p.Dim() {
		return fmt.Errorf("a layout of %d coordinates for a problem of %d", l.Len(), p.Dim())
	}
	if !l.Equal(optimizer.LayoutOf(p)) {
		return errors.New("another layout at the second call")
	}
	return nil
}

func starts(p optimizer.Problem) error {
	a, b, grad := make([]float32, p.Dim()), make([]float32, p.Dim()), make([]float32, p.Dim())
	for i := range b {
		b[i] = 99 // Init must write every coordinate
	}
	p.Init(a)
	if _, err := p.LossGrad(a, grad); err != nil {
		return err
	}
	p.Init(b)
	for i := range a {
		if a[i] != b[i] {
			return fmt.Errorf("coordinate %d starts at %v, then at %v", i, a[i], b[i])
		}
	}
	return nil
}

func gradientOfLoss(p optimizer.Problem) error {
	theta, grad := make([]float32, p.Dim()), make([]float32, p.Dim())
	rng := rand.New(rand.NewPCG(1, 2))
	p.Init(theta)
	if err := gradientAt(p, theta, rng, "at the start"); err != nil {
		return err
	}
	for i := range theta {
		theta[i] = float32(0.5 * rng.NormFloat64())
	}
	if err := gradientAt(p, theta, rng, "at a random point"); err != nil {
		return err
	}
	// RMSProp with a falling step size descends on most functions.
	p.Init(theta)
	v := make([]float64, p.Dim())
	for step := range 400 {
		if _, err := p.LossGrad(theta, grad); err != nil {
			return err
		}
		for i, g := range grad {
			v[i] = 0.9*v[i] + 0.1*float64(g)*float64(g)
			theta[i] -= float32(0.1 / (1 + 0.05*float64(step)) * float64(g) / (1e-8 + math.Sqrt(v[i])))
		}
	}
	return gradientAt(p, theta, rng, "after 400 steps")
}

// gradientAt compares f(θ + d) − f(θ − d) with 2 d·∇f, for d along the
// gradient and for d with random signs put on it, of length h = 10⁻² or, if that misses, 2·10⁻³. The difference
// is taken between the rounded points, so the rounding of θ adds no error. The loss
// itself carries a few float32 roundings (10⁻⁶ of its size). The cubic term
// of the expansion is below 1 % of the linear term for smooth functions, unless
// the gradient is tiny beside the curvature: the tolerance's last term allows for that.
func gradientAt(p optimizer.Problem, theta []float32, rng *rand.Rand, where string) error {
	n, scale := p.Dim(), 1.0
	if s, ok := p.(interface{ GradientScale() float64 }); ok {
		scale = s.GradientScale()
	}
	grad, plus, minus, unused := make([]float32, n), make([]float32, n), make([]float32, n), make([]float32, n)
	before := slices.Clone(theta)
	seek(p, 7)
	loss, err := p.LossGrad(theta, grad)
	if err != nil {
		return err
	}
	if !slices.Equal(theta, before) {
		return fmt.Errorf("LossGrad changed theta %s", where)
	}
	norm := 0.0
	for _, g := range grad {
		norm += float64(g) * float64(g)
	}
	norm = math.Sqrt(norm)
	if norm == 0 {
		return nil
	}
	const directions = 8
	var wrong error
	misses := 0
	for direction := range directions {
		d := make([]float64, n)
		for i, g := range grad {
			d[i] = float64(g) / norm
			if direction > 0 && rng.IntN(2) == 0 {
				d[i] = -d[i]
			}
		}
		// If f is smooth, a long step is the sharper test; a short step crosses fewer kinks.
		var miss error
		for _, h := range []float64{1e-2, 2e-3} {
			want := 0.0
			for i, g := range grad {
				plus[i], minus[i] = theta[i]+float32(h*d[i]), theta[i]-float32(h*d[i])
				want += float64(g) / scale * (float64(plus[i]) - float64(minus[i]))
			}
			seek(p, 7)
			above, err := p.LossGrad(plus, unused)
			if err != nil {
				return err
			}
			seek(p, 7)
			below, err := p.LossGrad(minus, unused)
			if err != nil {
				return err
			}
			tolerance := 1e-2*2*h*norm/scale + 4e-6*(math.Abs(above)+math.Abs(below)) + 1e-4*math.Abs(above+below-2*loss)
			if got := above - below; !(math.Abs(got-want) <= tolerance) {
				miss = fmt.Errorf("%s, direction %d: f(θ+d) − f(θ−d) = %g, the gradient says %g (tolerance %g)", where, direction, got, want, tolerance)
			} else {
				miss = nil
				break
			}
		}
		if miss != nil {
			misses, wrong = misses+1, miss
		}
	}
	// Some directions cross the kink of a ReLU. A wrong gradient misses in most directions.
	if misses > directions/2 {
		return wrong
	}
	return nil
}

func seeks(p optimizer.Problem) error {
	theta, grad := make([]float32, p.Dim()), make([]float32, p.Dim())
	p.Init(theta)
	var losses []float64
	var grads [][]float32
	for range 5 {
		loss, err := p.LossGrad(theta, grad)
		if err != nil {
			return err
		}
		losses, grads = append(losses, loss), append(grads, slices.Clone(grad))
	}
	s, ok := p.(optimizer.Seeker)
	for _, step := range []int{3, 0, 4} {
		if ok {
			s.Seek(step)
		}
		loss, err := p.LossGrad(theta, grad)
		if err != nil {
			return err
		}
		if loss != losses[step] || !slices.Equal(grad, grads[step]) {
			return fmt.Errorf("at one point the loss of step %d is %v, and %v later (a Seeker: %v)", step, losses[step], loss, ok)
		}
		if !ok && loss != losses[0] {
			return fmt.Errorf("no Seeker, but the losses at one point are %v", losses)
		}
	}
	return nil
}

func problemLengths(p optimizer.Problem) error {
	n := p.Dim()
	right := make([]float32, n)
	for _, wrong := range [][]float32{nil, make([]float32, n-1), make([]float32, n+1)} {
		for what, f := range map[string]func(){
			"Init":             func() { p.Init(wrong) },
			"LossGrad's theta": func() { _, _ = p.LossGrad(wrong, right) },
			"LossGrad's grad":  func() { _, _ = p.LossGrad(right, wrong) },
		} {
			if !panicked(f) {
				return fmt.Errorf("%s of length %d, not %d, does not panic", what, len(wrong), n)
			}
		}
	}
	return nil
}

func panicked(f func()) (yes bool) {
	defer func() { yes = recover() != nil }()
	f()
	return false
}

// draws samples and runs problems on several goroutines. Each must get the losses that it gets alone.
func draws(family optimizer.Family) error {
	const problems = 3
	trace := func(i int) (losses []float64, err error) {
		p, err := draw(family, uint64(100+i))
		if err != nil {
			return nil, err
		}
		defer release(p)
		theta, grad := make([]float32, p.Dim()), make([]float32, p.Dim())
		p.Init(theta)
		for range 4 {
			loss, err := p.LossGrad(theta, grad)
			if err != nil {
				return nil, err
			}
			losses = append(losses, loss)
			for j, g := range grad {
				theta[j] -= g / 1024
			}
		}
		return losses, nil
	}
	var together [problems][]float64
	var errs [problems]error
	var wg sync.WaitGroup
	for i := range problems {
		wg.Go(func() { together[i], errs[i] = trace(i) })
	}
	wg.Wait()
	for i := range problems {
		alone, err := trace(i)
		if err != nil || errs[i] != nil {
			return fmt.Errorf("errors %v and %v", errs[i], err)
		}
		if !slices.Equal(alone, together[i]) {
			return fmt.Errorf("one source draws a problem with the losses %v, then %v", together[i], alone)
		}
	}
	return nil
}
