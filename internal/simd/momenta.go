package simd

import "math"

// The pure-Go kernels for the moments of gradients and for what is computed from them.

// The numbers of rows of the kernels for moments.
const (
	// Moments is the number of averages of a coordinate: the first three are of g, the others of g².
	Moments = 5
	// MomentaRows is the number of features that Momenta writes.
	MomentaRows = 6
	// Directions is the number of directions that Momenta writes. A row of signs follows them.
	Directions = 6
	// SumRows is the number of sums that Sums writes.
	SumRows = 6
	// Mixed is the number of directions that Mix combines. It leaves out direction 3.
	Mixed = 5
)

// MomentBetas are the β of the averages.
var MomentBetas = [Moments]float64{0.9, 0.99, 0.999, 0.95, 0.999}

// mixRows are the directions that Mix combines.
var mixRows = [Mixed]int{0, 1, 2, 4, 5}

// MaxGradient is the largest gradient that Momenta and Sums read; larger ones count as MaxGradient. Its square is a float32.
const MaxGradient = 1e18

// tinyRoot is added to the roots of averages. It lies far below the gradients of any usual loss, so that scaling a loss
// by 10^±6 changes nothing. It is 200 times the largest root of an average of which the assembly reads 0, because its terms
// are subnormal.
const tinyRoot = 1e-15

// clipGradient clips to ±MaxGradient. NaN stays.
func clipGradient[T Float](g T) T { return min(max(g, -MaxGradient), MaxGradient) }

func root[T Float](x T) T { return T(math.Sqrt(float64(x))) }

// decays returns β and 1−β of the averages.
func decays[T Float]() (keep, take [Moments]T) {
	for k, beta := range MomentBetas {
		keep[k], take[k] = T(beta), T(1-beta)
	}
	return keep, take
}

// In the kernels below the conversions T(…) of products forbid the compiler to fuse a product with a sum. All paths then
// give the same bits, except where they meet a subnormal number.

func momenta[T Float](x, n, grad, old, now, corr []T, inv T) {
	checkMomenta(x, n, grad, old, now, corr)
	keep, take := decays[T]()
	var c [Moments]T
	copy(c[:], corr)
	x, n, old, now = x[:MomentaRows*Lanes], n[:(Directions+1)*Lanes], old[:Moments*Lanes], now[:Moments*Lanes]
	for l, g := range grad[:Lanes] {
		g = clipGradient(g)
		m0 := T(keep[0]*old[l]) + T(take[0]*g)
		m1 := T(keep[1]*old[Lanes+l]) + T(take[1]*g)
		m2 := T(keep[2]*old[2*Lanes+l]) + T(take[2]*g)
		vs := T(keep[3]*old[3*Lanes+l]) + T(take[3]*g*g)
		vl := T(keep[4]*old[4*Lanes+l]) + T(take[4]*g*g)
		now[l], now[Lanes+l], now[2*Lanes+l], now[3*Lanes+l], now[4*Lanes+l] = m0, m1, m2, vs, vl
		rootL := root(vl * c[4])
		slow, fast := 1/(rootL+tinyRoot), 1/(root(vs*c[3])+tinyRoot)
		s := T(1)
		if m0 < 0 {
			s = -1
		}
		n0, n1, n2, n3 := g*slow, m0*c[0]*slow, m1*c[1]*slow, m2*c[2]*slow
		n4, n5 := m0*c[0]*fast, m0*c[0]*inv
		n[l], n[Lanes+l], n[2*Lanes+l], n[3*Lanes+l], n[4*Lanes+l], n[5*Lanes+l], n[6*Lanes+l] = n0, n1, n2, n3, n4, n5, s
		x[l], x[Lanes+l], x[2*Lanes+l], x[3*Lanes+l], x[4*Lanes+l] = s*n0, s*n1, s*n2, s*n3, s*n4
		x[5*Lanes+l] = 1 - 2/(1+T(rootL*inv)) // √v·inv is √v/√V
	}
}

func momentaAdjoint[T Float](dg, dx, dn, n, grad, now, dm, corr []T, inv T) {
	checkMomentaAdjoint(dg, dx, dn, n, grad, now, dm, corr)
	keep, take := decays[T]()
	var c [Moments]T
	copy(c[:], corr)
	for l, g := range grad[:Lanes] {
		g = clipGradient(g)
		s := n[Directions*Lanes+l]
		var d [Directions]T
		for k := range Directions - 1 {
			d[k] = s * dx[k*Lanes+l]
		}
		if dn != nil {
			for k := range d {
				d[k] += dn[k*Lanes+l]
			}
		}
		rootL, rootS := root(now[4*Lanes+l]*c[4]), root(now[3*Lanes+l]*c[3])
		slow, fast := 1/(rootL+tinyRoot), 1/(rootS+tinyRoot)
		dRootS := -d[4] * n[4*Lanes+l] * fast
		sum := T(d[0]*n[l]) + T(d[1]*n[Lanes+l]) + T(d[2]*n[2*Lanes+l]) + T(d[3]*n[3*Lanes+l])
		bend := 1 + T(rootL*inv)
		dRootL := T(-sum*slow) + T(dx[5*Lanes+l]*2/T(bend*bend)*inv)
		a0 := T((T(d[1]*slow)+T(d[4]*fast)+T(d[5]*inv))*c[0]) + dm[l]
		a1 := T(d[2]*slow*c[1]) + dm[Lanes+l]
		a2 := T(d[3]*slow*c[2]) + dm[2*Lanes+l]
		as, al := dm[3*Lanes+l], dm[4*Lanes+l]
		if rootS > 0 { // at v = 0 every gradient so far was 0, and √v has no slope
			as += T(dRootS / (2 * rootS) * c[3])
		}
		if rootL > 0 {
			al += T(dRootL / (2 * rootL) * c[4])
		}
		dg[l] += T(d[0]*slow) + T(take[0]*a0) + T(take[1]*a1) + T(take[2]*a2) + T(2*g*(T(take[3]*as)+T(take[4]*al)))
		dm[l], dm[Lanes+l], dm[2*Lanes+l], dm[3*Lanes+l], dm[4*Lanes+l] = keep[0]*a0, keep[1]*a1, keep[2]*a2, keep[3]*as, keep[4]*al
	}
}

func mix[T Float](y, z, n []T) {
	checkMix(y, z, n)
	size := z[Mixed*Lanes:][:Lanes]
	for l, s := range size {
		e := s + root(T(s*s)+1)
		e *= e
		sum := T(0)
		for j, row := range mixRows {
			sum += T(z[j*Lanes+l] * n[row*Lanes+l])
		}
		size[l] = e
		y[l] = e * sum
	}
}

func mixAdjoint[T Float](dz, dn, dy, y, z, n []T) {
	checkMixAdjoint(dz, dn, dy, y, z, n)
	if dn != nil {
		clear(dn[3*Lanes : 4*Lanes])
	}
	for l := range Lanes {
		d, e := dy[l], z[Mixed*Lanes+l]
		// E = (z+r)² with r = √(z²+1) gives dE/dz = 2E/r, and √E + 1/√E = 2r.
		r := root(e)
		dz[Mixed*Lanes+l] = d * y[l] * 4 / (r + 1/r)
		for j, row := range mixRows {
			dz[j*Lanes+l] = d * e * n[row*Lanes+l]
			if dn != nil {
				dn[row*Lanes+l] = d * e * z[j*Lanes+l]
			}
		}
	}
}

// sums adds up eight partial sums, and then these in pairs at a distance of 4, 2 and 1, as vectors of eight float64 do.
// Products of float32 are exact in float64. So all paths give the same bits.
func sums[T Float](sum *[SumRows]float64, grad, theta, u, m []T) {
	checkSums(grad, theta, u, m)
	var part [SumRows][8]float64
	for l, g := range grad[:Lanes] {
		p, g, t, u := l%8, float64(clipGradient(g)), float64(theta[l]), float64(u[l])
		part[0][p] += g * g
		part[1][p] += t * t
		part[2][p] += u * u
		part[3][p] += g * u
		if m != nil {
			m0, m1 := float64(m[l]), float64(m[Lanes+l])
			part[4][p] += m0 * m0
			part[5][p] += m1 * m1
		}
	}
	for i := range part {
		for d := 4; d > 0; d /= 2 {
			for p := range d {
				part[i][p] += part[i][p+d]
			}
		}
		sum[i] = part[i][0]
	}
}
