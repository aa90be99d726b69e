package simd

// Reference returns the pure-Go kernels.
func Reference[T Float]() *Kernels[T] {
	return &Kernels[T]{
		Path:        "go",
		MatMul:      matMul[T],
		Cell:        cell[T],
		CellAdjoint: cellAdjoint[T],
		ELU:         elu[T],
		ELUAdjoint:  eluAdjoint[T],
		Widen:       widen[T],
		Narrow:      narrow[T],
		Outer:       outer[T],
		Parts:       1,
		Drain:       drain[T],
		LogAndSign:  logAndSign[T],
		RNNProp:     rnnProp[T],

		Momenta:        momenta[T],
		MomentaAdjoint: momentaAdjoint[T],
		Mix:            mix[T],
		MixAdjoint:     mixAdjoint[T],
		Sums:           sums[T],
	}
}

// The pure-Go kernels. They hold two weight rows by four lanes in registers; a
// larger block would not fit in the registers of amd64.

func matMul[T Float](c, a, x, bias []T, lda, m, k int, acc bool) {
	checkMatMul(c, a, x, bias, lda, m, k)
	acc = acc && bias == nil
	i := 0
	for ; i+2 <= m; i += 2 {
		c0, c1 := c[i*Lanes:(i+1)*Lanes], c[(i+1)*Lanes:(i+2)*Lanes]
		var b0, b1 T
		if bias != nil {
			b0, b1 = bias[i], bias[i+1]
		}
		for l := 0; l < Lanes; l += 4 {
			s00, s01, s02, s03 := b0, b0, b0, b0
			s10, s11, s12, s13 := b1, b1, b1, b1
			if acc {
				s00, s01, s02, s03 = c0[l], c0[l+1], c0[l+2], c0[l+3]
				s10, s11, s12, s13 = c1[l], c1[l+1], c1[l+2], c1[l+3]
			}
			for j := range k {
				w := a[j*lda+i : j*lda+i+2 : j*lda+i+2]
				v := x[j*Lanes+l : j*Lanes+l+4 : j*Lanes+l+4]
				w0, w1 := w[0], w[1]
				s00 += w0 * v[0]
				s01 += w0 * v[1]
				s02 += w0 * v[2]
				s03 += w0 * v[3]
				s10 += w1 * v[0]
				s11 += w1 * v[1]
				s12 += w1 * v[2]
				s13 += w1 * v[3]
			}
			c0[l], c0[l+1], c0[l+2], c0[l+3] = s00, s01, s02, s03
			c1[l], c1[l+1], c1[l+2], c1[l+3] = s10, s11, s12, s13
		}
	}
	if i < m {
		row := c[i*Lanes : (i+1)*Lanes]
		for l := range row {
			var s T
			switch {
			case bias != nil:
				s = bias[i]
			case acc:
				s = row[l]
			}
			for j := range k {
				s += a[j*lda+i] * x[j*Lanes+l]
			}
			row[l] = s
		}
	}
}

func cell[T Float](z, cPrev, c, tc, h, h2 []T, hidden int) {
	checkCell(z, cPrev, c, tc, h, h2, hidden)
	n := hidden * Lanes
	zi, zf, zg, zo := z[:n], z[n:2*n], z[2*n:3*n], z[3*n:4*n]
	cPrev, c, tc, h, h2 = cPrev[:n], c[:n], tc[:n], h[:n], h2[:n]
	for j := range zi {
		i, f, g, o := sigmoid(zi[j]), sigmoid(zf[j]), tanh(zg[j]), sigmoid(zo[j])
		zi[j], zf[j], zg[j], zo[j] = i, f, g, o
		s := f*cPrev[j] + i*g
		ts := tanh(s)
		c[j], tc[j] = s, ts
		h[j] = o * ts
		h2[j] = h[j]
	}
}

func cellAdjoint[T Float](z, cPrev, tc, dh, dc []T, hidden int) {
	checkCell(z, cPrev, tc, dh, dc, dc, hidden)
	n := hidden * Lanes
	zi, zf, zg, zo := z[:n], z[n:2*n], z[2*n:3*n], z[3*n:4*n]
	cPrev, tc, dh, dc = cPrev[:n], tc[:n], dh[:n], dc[:n]
	for j := range zi {
		i, f, g, o, ts := zi[j], zf[j], zg[j], zo[j], tc[j]
		d := dc[j] + dh[j]*o*(1-ts*ts)
		zi[j] = d * g * i * (1 - i)
		zf[j] = d * cPrev[j] * f * (1 - f)
		zg[j] = d * i * (1 - g*g)
		zo[j] = dh[j] * ts * o * (1 - o)
		dc[j] = d * f
	}
}

func outer[T Float](dw, x, z []T, k, m, steps, stride int) {
	checkOuter(dw, x, z, k, m, steps, stride, 1)
	for j := range k {
		i := 0
		for ; i+4 <= m; i += 4 {
			var s0, s1, s2, s3 T
			for t := range steps {
				xr := x[t*stride+j*Lanes:][:Lanes]
				zr := z[t*stride+i*Lanes:][:4*Lanes]
				z0, z1, z2, z3 := zr[:Lanes], zr[Lanes:2*Lanes], zr[2*Lanes:3*Lanes], zr[3*Lanes:4*Lanes]
				for l, v := range xr {
					s0 += v * z0[l]
					s1 += v * z1[l]
					s2 += v * z2[l]
					s3 += v * z3[l]
				}
			}
			d := dw[j*m+i : j*m+i+4]
			d[0] += s0
			d[1] += s1
			d[2] += s2
			d[3] += s3
		}
		for ; i < m; i++ {
			var s T
			for t := range steps {
				xr, zr := x[t*stride+j*Lanes:][:Lanes], z[t*stride+i*Lanes:][:Lanes]
				for l, v := range xr {
					s += v * zr[l]
				}
			}
			dw[j*m+i] += s
		}
	}
}

func drain[T Float](sum []float64, dw []T) {
	checkDrain(sum, dw, 1)
	dw = dw[:len(sum)]
	for i, d := range dw {
		sum[i] += float64(d)
	}
	clear(dw)
}
