// Package twin says what every kernel computes, for the generators of all architectures: its signature, its twin's loop, which
// becomes the stub's comment, and the numbers of its twin.
package twin

import (
	"fmt"
	"strings"
)

// A Kernel is the Go signature and the loop of a kernel. In a loop LANES stands for the floats in a vector.
type Kernel struct {
	Signature string
	Loop      string
}

// Doc is the comment of a kernel's stub for an instruction set, line by line.
func Doc(name, isa string, lanes int) []string {
	loop := strings.Trim(strings.ReplaceAll(Kernels[name].Loop, "LANES", fmt.Sprint(lanes)), "\n")
	return append([]string{name + isa + " is", ""}, strings.Split(loop, "\n")...)
}

// Kernels are the kernels by their names.
var Kernels = map[string]Kernel{
	"matMul": {"func(c, a, x, bias *float32, lda, m, k int, acc bool)", `
	for i := range m {
		for l := range Lanes {
			var s float32
			switch {
			case bias != nil:
				s = bias[i]
			case acc:
				s = c[i*Lanes+l]
			}
			for j := range k {
				s += a[j*lda+i] * x[j*Lanes+l]
			}
			c[i*Lanes+l] = s
		}
	}
`},
	"packBF16": {"func(dst *uint32, a *float32, lda, m, k int)", `
	stride := (m + 15) &^ 15
	for j := 0; j < k; j += 2 {
		for i := range m { // the row after the last one counts as 0
			dst[j/2*stride+i] = bf16(a[j*lda+i]) | bf16(a[(j+1)*lda+i])<<16
		}
	}
`},
	"matMulBF16": {"func(c *float32, a *uint32, x, bias *float32, stride, m, k int)", `
	for i := range m {
		for l := range Lanes {
			s := c[i*Lanes+l]
			if bias != nil {
				s = bias[i]
			}
			for j := 0; j < k; j += 2 {
				low, high := pair(a[j/2*stride+i])
				s += low*bf16(x[j*Lanes+l]) + high*bf16(x[(j+1)*Lanes+l])
			}
			c[i*Lanes+l] = s
		}
	}
`},
	"cell": {"func(z, cPrev, c, tc, h, h2 *float32, hidden int)", `
	n := hidden * Lanes
	zi, zf, zg, zo := z[:n], z[n:2*n], z[2*n:3*n], z[3*n:4*n]
	for j := range zi {
		i, f, g, o := Sigmoid32(zi[j]), Sigmoid32(zf[j]), Tanh32(zg[j]), Sigmoid32(zo[j])
		zi[j], zf[j], zg[j], zo[j] = i, f, g, o
		s := f*cPrev[j] + i*g
		ts := Tanh32(s)
		c[j], tc[j] = s, ts
		h[j] = o * ts
		h2[j] = h[j]
	}
`},
	"cellAdjoint": {"func(z, cPrev, tc, dh, dc *float32, hidden int)", `
	n := hidden * Lanes
	zi, zf, zg, zo := z[:n], z[n:2*n], z[2*n:3*n], z[3*n:4*n]
	for j := range zi {
		i, f, g, o, ts := zi[j], zf[j], zg[j], zo[j], tc[j]
		d := dc[j] + dh[j]*o*(1-ts*ts)
		zi[j] = d * g * i * (1 - i)
		zf[j] = d * cPrev[j] * f * (1 - f)
		zg[j] = d * i * (1 - g*g)
		zo[j] = dh[j] * ts * o * (1 - o)
		dc[j] = d * f
	}
`},
	"elu": {"func(x *float32, rows int)", `
	for i := range rows * Lanes {
		if x[i] < 0 {
			x[i] = Expm132(x[i])
		}
	}
`},
	"eluAdjoint": {"func(dz, dx, out *float32, rows int)", `
	for i := range rows * Lanes {
		dz[i] = dx[i] * (1 + min(out[i], 0))
	}
`},
	"widen": {"func(x *float32, half *uint16, rows int)", `
	for i := range rows * Lanes {
		x[i] = FromHalf(half[i])
	}
`},
	"narrow": {"func(half *uint16, x *float32, rows int)", `
	for i := range rows * Lanes {
		half[i] = ToHalf(x[i])
	}
`},
	"outer": {"func(dw, x, z *float32, k, m, steps, stride int)", `
	for j := range k {
		for i := range m {
			for t := range steps {
				for l := range Lanes {
					dw[(j*m+i)*LANES+l%LANES] += x[t*stride+j*Lanes+l] * z[t*stride+i*Lanes+l]
				}
			}
		}
	}
`},
	"drain": {"func(sum *float64, dw *float32, n int)", `
	for i := range n {
		var s float32
		for p := range LANES {
			s += dw[LANES*i+p]
			dw[LANES*i+p] = 0
		}
		sum[i] += float64(s)
	}
`},
	"logAndSign": {"func(x, grad *float32, p, large float32)", `
	for l, gl := range grad[:Lanes] {
		x[l] = max(log(abs(gl))/p, -1)
		x[Lanes+l] = min(max(large*gl, -1), 1)
	}
`},
	"rnnProp": {"func(x, grad, mPrev, vPrev, m, v *float32, keep, take, correction, epsilon float32)", `
	for l, gl := range grad[:Lanes] {
		ml := keep*mPrev[l] + take*gl
		vl := keep*vPrev[l] + take*gl*gl
		m[l], v[l] = ml, vl
		d := sqrt(vl*correction) + epsilon
		x[l], x[Lanes+l] = ml*correction/d, gl/d
	}
`},
	"momenta": {"func(x, n, grad, old, now, corr *float32, inv float32)", `
	for l, g := range grad[:Lanes] {
		g = min(max(g, -1e18), 1e18)
		m0 := β[0]*old[l] + (1-β[0])*g
		m1 := β[1]*old[Lanes+l] + (1-β[1])*g
		m2 := β[2]*old[2*Lanes+l] + (1-β[2])*g
		vs := β[3]*old[3*Lanes+l] + (1-β[3])*g*g
		vl := β[4]*old[4*Lanes+l] + (1-β[4])*g*g
		now[l], now[Lanes+l], now[2*Lanes+l], now[3*Lanes+l], now[4*Lanes+l] = m0, m1, m2, vs, vl
		root := sqrt(vl * corr[4])
		slow, fast := 1/(root+1e-15), 1/(sqrt(vs*corr[3])+1e-15)
		s := 1
		if m0 < 0 {
			s = -1
		}
		n0, n1, n2, n3 := g*slow, m0*corr[0]*slow, m1*corr[1]*slow, m2*corr[2]*slow
		n4, n5 := m0*corr[0]*fast, m0*corr[0]*inv
		n[l], n[Lanes+l], n[2*Lanes+l], n[3*Lanes+l], n[4*Lanes+l], n[5*Lanes+l], n[6*Lanes+l] = n0, n1, n2, n3, n4, n5, s
		x[l], x[Lanes+l], x[2*Lanes+l], x[3*Lanes+l], x[4*Lanes+l] = s*n0, s*n1, s*n2, s*n3, s*n4
		x[5*Lanes+l] = 1 - 2/(1+root*inv)
	}
`},
	"momentaAdjoint": {"func(dg, dx, dn, n, grad, now, dm, corr *float32, inv float32)", `
	for l, g := range grad[:Lanes] {
		g = min(max(g, -1e18), 1e18)
		var d [6]float32
		for k := range 5 {
			d[k] = n[6*Lanes+l] * dx[k*Lanes+l]
		}
		if dn != nil {
			for k := range d {
				d[k] += dn[k*Lanes+l]
			}
		}
		rootL, rootS := sqrt(now[4*Lanes+l]*corr[4]), sqrt(now[3*Lanes+l]*corr[3])
		slow, fast := 1/(rootL+1e-15), 1/(rootS+1e-15)
		dRootS := -d[4] * n[4*Lanes+l] * fast
		bend := 1 + rootL*inv
		dRootL := -(d[0]*n[l]+d[1]*n[Lanes+l]+d[2]*n[2*Lanes+l]+d[3]*n[3*Lanes+l])*slow + dx[5*Lanes+l]*2/(bend*bend)*inv
		a0 := (d[1]*slow+d[4]*fast+d[5]*inv)*corr[0] + dm[l]
		a1 := d[2]*slow*corr[1] + dm[Lanes+l]
		a2 := d[3]*slow*corr[2] + dm[2*Lanes+l]
		as, al := dm[3*Lanes+l], dm[4*Lanes+l]
		if rootS > 0 {
			as += dRootS / (2 * rootS) * corr[3]
		}
		if rootL > 0 {
			al += dRootL / (2 * rootL) * corr[4]
		}
		dg[l] += d[0]*slow + (1-β[0])*a0 + (1-β[1])*a1 + (1-β[2])*a2 + 2*g*((1-β[3])*as+(1-β[4])*al)
		dm[l], dm[Lanes+l], dm[2*Lanes+l], dm[3*Lanes+l], dm[4*Lanes+l] = β[0]*a0, β[1]*a1, β[2]*a2, β[3]*as, β[4]*al
	}
`},
	"mix": {"func(y, z, n *float32)", `
	for l := range Lanes {
		s := z[5*Lanes+l]
		e := s + sqrt(s*s+1)
		e *= e
		z[5*Lanes+l] = e
		y[l] = e * (0 + z[l]*n[l] + z[Lanes+l]*n[Lanes+l] + z[2*Lanes+l]*n[2*Lanes+l] + z[3*Lanes+l]*n[4*Lanes+l] + z[4*Lanes+l]*n[5*Lanes+l])
	}
`},
	"mixAdjoint": {"func(dz, dn, dy, y, z, n *float32)", `
	for l := range Lanes {
		e := z[5*Lanes+l]
		r := sqrt(e)
		dz[5*Lanes+l] = dy[l] * y[l] * 4 / (r + 1/r)
		for j, row := range [5]int{0, 1, 2, 4, 5} {
			dz[j*Lanes+l] = dy[l] * e * n[row*Lanes+l]
			if dn != nil {
				dn[row*Lanes+l] = dy[l] * e * z[j*Lanes+l]
			}
		}
		if dn != nil {
			dn[3*Lanes+l] = 0
		}
	}
`},
	"sums": {"func(sum *float64, grad, theta, u, m *float32)", `
	var part [6][8]float64
	for l, g := range grad[:Lanes] {
		g = min(max(g, -1e18), 1e18)
		part[0][l%8] += g * g
		part[1][l%8] += theta[l] * theta[l]
		part[2][l%8] += u[l] * u[l]
		part[3][l%8] += g * u[l]
		if m != nil {
			part[4][l%8] += m[l] * m[l]
			part[5][l%8] += m[Lanes+l] * m[Lanes+l]
		}
	}
	for i, p := range part {
		sum[i] = ((p[0] + p[4]) + (p[2] + p[6])) + ((p[1] + p[5]) + (p[3] + p[7]))
	}
`},
	"fmaChains": {"func(n int)", `
	var s [16]vector // of -0.5
	for range n {
		for i := range 16 {
			s[i] += s[i] * s[i] // lane by lane
		}
	}
`},
	"panel": {"func(c, a, b *float32, cr, ar, ac, br, m, n, k int, acc bool)", `
	for i := range m {
		for j := range n {
			var s float32
			if acc {
				s = c[i*cr+j]
			}
			for p := range k {
				s += a[i*ar+p*ac] * b[p*br+j]
			}
			c[i*cr+j] = s
		}
	}
`},
	"pixels": {"func(dst *float32, src *byte, n int)", `
	for i := range n &^ 15 {
		dst[i] = float32(src[i]) / 255
	}
`},
}
