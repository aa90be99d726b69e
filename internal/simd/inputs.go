package simd

import "math"

// The pure-Go kernels for the features.

func logAndSign[T Float](x, grad []T, p, large T) {
	checkInputs(x, grad)
	first, second := x[:Lanes], x[Lanes:2*Lanes]
	for l, g := range grad[:Lanes] {
		first[l] = max(T(math.Log(math.Abs(float64(g))))/p, -1)
		second[l] = min(max(large*g, -1), 1)
	}
}

func rnnProp[T Float](x, grad, mPrev, vPrev, m, v []T, keep, take, correction, epsilon T) {
	checkInputs(x, grad, mPrev, vPrev, m, v)
	first, second := x[:Lanes], x[Lanes:2*Lanes]
	mPrev, vPrev, m, v = mPrev[:Lanes], vPrev[:Lanes], m[:Lanes], v[:Lanes]
	for l, g := range grad[:Lanes] {
		ml := keep*mPrev[l] + take*g
		vl := keep*vPrev[l] + take*g*g
		m[l], v[l] = ml, vl
		d := T(math.Sqrt(float64(vl*correction))) + epsilon
		first[l], second[l] = ml*correction/d, g/d
	}
}
