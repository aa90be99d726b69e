package adjoint

import (
	"math"

	"gonum.org/v1/gonum/num/dual"

	"learnedopt/lstm"
)

// The constants of RNNProp (Lv et al. 2017, section 4).
const (
	beta    = 0.95
	epsilon = 1e-8
)

// A network is the network of one coordinate, written out in dual numbers. It shares only the order of φ and the
// configuration with package lstm.
type network struct {
	cfg lstm.Config
	phi []dual.Number
}

// stateSize is S, the number of state variables per coordinate.
func stateSize(cfg lstm.Config) int {
	n := 2 * cfg.Hidden * cfg.Layers
	if cfg.Inputs&lstm.RNNProp != 0 {
		n += 2
	}
	return n
}

// step computes the t-th step of a run, t ≥ 0: (u, next) = m(g, s; φ).
func (net network) step(g dual.Number, s []dual.Number, t int) (u dual.Number, next []dual.Number) {
	cfg, phi := net.cfg, net.phi
	next = make([]dual.Number, len(s))
	x, averages := features(cfg, g, s[2*cfg.Hidden*cfg.Layers:], t)
	copy(next[2*cfg.Hidden*cfg.Layers:], averages)

	if cfg.Dense > 0 {
		x, phi = affine(phi, x, cfg.Dense)
		for i := range x {
			if x[i].Real < 0 {
				x[i] = dual.Sub(dual.Exp(x[i]), real(1))
			}
		}
	}
	h := cfg.Hidden
	for l := range cfg.Layers {
		old, now := s[2*h*l:], next[2*h*l:]
		var z []dual.Number
		z, phi = affine(phi, append(x, old[:h]...), 4*h)
		x = nil
		for j := range h {
			i, f, a, o := sigmoid(z[j]), sigmoid(z[h+j]), dual.Tanh(z[2*h+j]), sigmoid(z[3*h+j])
			c := dual.Add(dual.Mul(f, old[h+j]), dual.Mul(i, a))
			now[j], now[h+j] = dual.Mul(o, dual.Tanh(c)), c
			x = append(x, now[j])
		}
	}
	outputs := 1
	if cfg.Readout == lstm.Exp {
		outputs = 2
	}
	y, _ := affine(phi, x, outputs)
	switch cfg.Readout {
	case lstm.Tanh:
		y[0] = dual.Tanh(y[0])
	case lstm.Exp:
		y[0] = dual.Mul(y[0], dual.Exp(y[1]))
	}
	scale := cfg.Scale
	if cfg.Anneal > 0 {
		scale *= math.Min(1, math.Sqrt(float64(cfg.Anneal)/float64(t+1)))
	}
	return dual.Scale(scale, y[0]), next
}

// features returns the network's inputs, and the new moving averages m, v if the network has RNNProp inputs.
func features(cfg lstm.Config, g dual.Number, averages []dual.Number, t int) (x, next []dual.Number) {
	if cfg.Inputs&lstm.Raw != 0 {
		x = append(x, g)
	}
	if cfg.Inputs&lstm.LogAndSign != 0 {
		size, sign := real(-1), real(math.Copysign(1, g.Real))
		if math.Abs(g.Real) >= math.Exp(-cfg.P) {
			size = dual.Scale(1/cfg.P, dual.Log(dual.Scale(sign.Real, g)))
		}
		if math.Abs(g.Real) < math.Exp(-cfg.SignP) {
			sign = dual.Scale(math.Exp(cfg.SignP), g)
		}
		x = append(x, size, sign)
	}
	if cfg.Inputs&lstm.RNNProp != 0 {
		m := dual.Add(dual.Scale(beta, averages[0]), dual.Scale(1-beta, g))
		v := dual.Add(dual.Scale(beta, averages[1]), dual.Scale(1-beta, dual.Mul(g, g)))
		next = []dual.Number{m, v}
		unbias := 1 / (1 - math.Pow(beta, float64(t+1)))
		root := real(0) // √ has no derivative at 0; it counts as 0
		if v.Real > 0 {
			root = dual.Sqrt(dual.Scale(unbias, v))
		}
		inv := dual.Inv(dual.Add(root, real(epsilon)))
		x = append(x, dual.Mul(dual.Scale(unbias, m), inv), dual.Mul(g, inv))
	}
	if cfg.Inputs&lstm.Clock != 0 {
		x = append(x, real(math.Log(float64(t+1))/5-1), real(1/float64(t+1)))
	}
	return x, next
}

// affine returns x·W + b, with W and b at the beginning of φ, and the rest of φ.
func affine(phi, x []dual.Number, out int) (y, rest []dual.Number) {
	w, bias := phi[:len(x)*out], phi[len(x)*out:]
	for i := range out {
		sum := bias[i]
		for j, xj := range x {
			sum = dual.Add(sum, dual.Mul(xj, w[j*out+i]))
		}
		y = append(y, sum)
	}
	return y, bias[out:]
}

func sigmoid(x dual.Number) dual.Number {
	return dual.Inv(dual.Add(real(1), dual.Exp(dual.Scale(-1, x))))
}

func real(x float64) dual.Number { return dual.Number{Real: x} }
