package curvature

import "math"

// A product writes A·v into dst.
type product func(dst, v []float32) error

// A solver solves (A + γI)x = b by conjugate gradients, for a symmetric A that is positive semidefinite or nearly so. It owns its vectors of n
// coordinates; scalar products are summed in float64.
type solver struct {
	x, r, p, ap []float32
	progress    []float64 // φ after each iteration
}

func newSolver(n int) *solver {
	return &solver{x: make([]float32, n), r: make([]float32, n), p: make([]float32, n), ap: make([]float32, n)}
}

// A solution says how a solve went. Its x is the solver's.
type solution struct {
	iterations int
	// dot is bᵀx, and square is xᵀ(A + γI)x, from the residual of the last iteration.
	dot, square float64
}

// tiny is the curvature pᵀ(A+γI)p, relative to ‖p‖ ‖(A+γI)p‖, below which float32 rounding decides on its sign.
const tiny = 1e-7

// longest is the length of a step beyond which float32 products overflow.
const longest = 1e18

// solve runs at most limit iterations from x, which the caller has set. A start that is worse than 0 is replaced by 0. It
// stops when the relative progress of an iteration is below tolerance, by the criterion of Martens 2010 (section 4.4), which
// averages over ten iterations or a tenth of them, and where the curvature along p is negative or tiny, or so small that float32 overflows. If that happens at the first
// iteration there is no solution: x is then b, the direction of steepest descent. It allocates nothing after the first call.
func (s *solver) solve(times product, b []float32, damping float64, limit int, tolerance float64) (solution, error) {
	if err := s.start(times, b, damping); err != nil {
		return solution{}, err
	}
	s.progress = append(s.progress[:0], -(dot(s.x, b)+dot(s.x, s.r))/2)
	rr, bb := dot(s.r, s.r), dot(b, b)
	done := 0
	for ; done < limit && rr > 1e-14*bb; done++ {
		if err := times(s.ap, s.p); err != nil {
			return solution{}, err
		}
		axpy(s.ap, damping, s.p)
		curve := dot(s.p, s.ap)
		if !(curve > tiny*math.Sqrt(dot(s.p, s.p)*dot(s.ap, s.ap))) || math.IsInf(curve, 0) {
			break
		}
		step := rr / curve
		if step*step*dot(s.p, s.p) > longest*longest {
			break
		}
		axpy(s.x, step, s.p)
		axpy(s.r, -step, s.ap)
		next := dot(s.r, s.r)
		ratio := float32(next / rr)
		for i, r := range s.r {
			s.p[i] = r + float32(ratio*s.p[i])
		}
		rr = next
		s.progress = append(s.progress, -(dot(s.x, b)+dot(s.x, s.r))/2)
		if stalled(s.progress, tolerance) {
			done++
			break
		}
	}
	if done == 0 && dot(s.x, s.x) == 0 {
		copy(s.x, b)
		if err := times(s.ap, s.x); err != nil {
			return solution{}, err
		}
		axpy(s.ap, damping, s.x)
		return solution{0, dot(b, s.x), dot(s.x, s.ap)}, nil
	}
	return solution{done, dot(b, s.x), dot(b, s.x) - dot(s.r, s.x)}, nil
}

// start computes the residual r = b − (A + γI)x and the first direction p = r.
func (s *solver) start(times product, b []float32, damping float64) error {
	copy(s.r, b)
	if dot(s.x, s.x) > 0 {
		if err := times(s.ap, s.x); err != nil {
			return err
		}
		axpy(s.ap, damping, s.x)
		axpy(s.r, -1, s.ap)
		if phi := -(dot(s.x, b) + dot(s.x, s.r)) / 2; !(phi < 0) {
			clear(s.x)
			copy(s.r, b)
		}
	}
	copy(s.p, s.r)
	return nil
}

// stalled says whether the mean relative progress of the last k iterations is below tolerance, k = max(10, ⌈i/10⌉).
func stalled(progress []float64, tolerance float64) bool {
	i := len(progress) - 1
	k := max(10, (i+9)/10)
	now := progress[i]
	return i > k && now < 0 && (now-progress[i-k])/now < float64(k)*tolerance
}

// dot is the scalar product in float64, in four sums that do not wait for each other.
func dot(a, b []float32) float64 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float64
	for len(a) >= 4 && len(b) >= 4 {
		s0 += float64(a[0]) * float64(b[0])
		s1 += float64(a[1]) * float64(b[1])
		s2 += float64(a[2]) * float64(b[2])
		s3 += float64(a[3]) * float64(b[3])
		a, b = a[4:], b[4:]
	}
	for i, x := range a {
		s0 += float64(x) * float64(b[i])
	}
	return (s0 + s1) + (s2 + s3)
}

// axpy adds k·x to y.
func axpy(y []float32, k float64, x []float32) {
	f := float32(k)
	for i, v := range x {
		y[i] += float32(f * v)
	}
}
