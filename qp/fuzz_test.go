package qp

import (
	"encoding/binary"
	"errors"
	"math"
	"testing"
)

// FuzzSolve solves whatever the bytes say: a solution satisfies the conditions that it is said to, everything else is one of the typed
// errors, and a gradient is finite or an error.
func FuzzSolve(f *testing.F) {
	f.Add([]byte{2, 1, 2, 1, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x80, 0x90})
	f.Add([]byte{3, 0, 3, 2})
	f.Add([]byte{1, 1, 1, 0, 0xff, 0x7f, 0xff, 0x7f, 1, 2, 3, 4, 5, 6})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 4 {
			return
		}
		n, p, m, form := 1+int(data[0]%6), int(data[1]%4), int(data[2]%8), int(data[3]%3)
		data = data[4:]
		// A number is two bytes: a half-precision float, so that zeros, tiny, huge and non-finite ones occur.
		next := func(count int) []float64 {
			x := make([]float64, count)
			for i := range x {
				if len(data) >= 2 {
					x[i] = half(binary.LittleEndian.Uint16(data))
					data = data[2:]
				}
			}
			return x
		}
		q := &Problem{Linear: next(n), A: next(p * n), B: next(p), G: next(m * n), H: next(m)}
		switch form {
		case 1:
			q.Q = next(n)
		case 2:
			q.Q = next(n * n)
		}
		var s InteriorPoint
		var out Solution
		err := s.Solve(&out, q)
		var (
			input      *InputError
			convex     *NotConvexError
			infeasible *InfeasibleError
			unbounded  *UnboundedError
			not        *NotConvergedError
		)
		switch {
		case err == nil:
			for i, l := range out.Lambda {
				if !(l >= 0) || !(out.Slack[i] >= 0) {
					t.Errorf("λ = %g, s = %g", l, out.Slack[i])
				}
			}
			if !(out.Residuals.worst() <= 1e-8) || math.IsNaN(out.Value) {
				t.Errorf("residuals %v, value %g", out.Residuals, out.Value)
			}
			var g Gradient
			if s.Gradient(&g, Upstream{Z: ones(n), Value: 1}) == nil {
				for _, x := range [...][]float64{g.Q, g.Linear, g.A, g.B, g.G, g.H} {
					if v := norm(x); math.IsNaN(v) || math.IsInf(v, 0) {
						t.Errorf("gradient %v", g)
					}
				}
			}
		case errors.As(err, &infeasible):
			for _, l := range infeasible.Lambda {
				if !(l >= 0) {
					t.Errorf("certificate %v", infeasible)
				}
			}
		case errors.As(err, &unbounded):
			if d := dot(q.Linear, unbounded.Ray); math.Abs(d+1) > 1e-6 {
				t.Errorf("qᵀd = %g", d)
			}
		case errors.As(err, &input), errors.As(err, &convex), errors.As(err, &not):
		default:
			t.Errorf("error of no type: %v", err)
		}
	})
}

// half decodes an IEEE half-precision number.
func half(b uint16) float64 {
	sign, e, fraction := 1-2*float64(b>>15), int(b>>10&31), float64(b&1023)
	switch e {
	case 0:
		return sign * math.Ldexp(fraction, -24)
	case 31:
		if fraction != 0 {
			return math.NaN()
		}
		return math.Inf(int(sign))
	}
	return sign * math.Ldexp(1024+fraction, e-25)
}
