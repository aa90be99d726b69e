package gemm

// panel is Kernel.panel in Go. It holds two rows by four columns in registers; a
// larger block would not fit in the registers of amd64.
func panel(c, a, b []float32, cr, ar, ac, br, m, n, k int, acc bool) {
	i := 0
	for ; i+2 <= m; i += 2 {
		j := 0
		for ; j+4 <= n; j += 4 {
			c0, c1 := c[i*cr+j:][:4], c[(i+1)*cr+j:][:4]
			var s00, s01, s02, s03, s10, s11, s12, s13 float32
			if acc {
				s00, s01, s02, s03 = c0[0], c0[1], c0[2], c0[3]
				s10, s11, s12, s13 = c1[0], c1[1], c1[2], c1[3]
			}
			u, v := i*ar, j
			for range k {
				x, y, w := a[u], a[u+ar], b[v:v+4:v+4]
				s00 += x * w[0]
				s01 += x * w[1]
				s02 += x * w[2]
				s03 += x * w[3]
				s10 += y * w[0]
				s11 += y * w[1]
				s12 += y * w[2]
				s13 += y * w[3]
				u += ac
				v += br
			}
			c0[0], c0[1], c0[2], c0[3] = s00, s01, s02, s03
			c1[0], c1[1], c1[2], c1[3] = s10, s11, s12, s13
		}
		for ; j < n; j++ {
			c[i*cr+j] = dot(c[i*cr+j], a[i*ar:], b[j:], ac, br, k, acc)
			c[(i+1)*cr+j] = dot(c[(i+1)*cr+j], a[(i+1)*ar:], b[j:], ac, br, k, acc)
		}
	}
	if i < m {
		for j := range n {
			c[i*cr+j] = dot(c[i*cr+j], a[i*ar:], b[j:], ac, br, k, acc)
		}
	}
}

// dot returns one element of a panel.
func dot(s float32, a, b []float32, ac, br, k int, acc bool) float32 {
	if !acc {
		s = 0
	}
	for p := range k {
		s += a[p*ac] * b[p*br]
	}
	return s
}
