package denoising

// TautString writes the minimum of ½‖x − y‖² + λ Σ_i |x_{i+1} − x_i| into x, exactly, by following the string that is pulled taut through a tube
// of radius λ around the sums of y (Davies and Kovac 2001), in the form of Condat 2013 (IEEE Signal Processing Letters 20): a
// segment's value lies between low and high, and atLow and atHigh are the dual variable, between −λ and λ, for these.
// λ ≥ 0. The slices are equally long, and neither is empty.
func TautString(x, y []float64, lambda float64) {
	if len(x) != len(y) || len(y) == 0 || !(lambda >= 0) {
		panic("denoising: TautString needs two slices of one length and λ ≥ 0")
	}
	last := len(y) - 1
	k, start, endLow, endHigh := 0, 0, 0, 0 // endLow: where atLow was λ last; endHigh: where atHigh was −λ
	low, high := y[0]-lambda, y[0]+lambda
	atLow, atHigh := lambda, -lambda
	segment := func(value float64, end int) {
		for ; start <= end; start++ {
			x[start] = value
		}
	}
	for {
		if k == last {
			switch {
			case atLow < 0: // low is too high: a jump down
				segment(low, endLow)
				k, endLow = start, start
				low = y[k]
				atLow = lambda
				atHigh = low + lambda - high
			case atHigh > 0:
				segment(high, endHigh)
				k, endHigh = start, start
				high = y[k]
				atHigh = -lambda
				atLow = high - lambda - low
			default:
				segment(low+atLow/float64(k-start+1), k)
				return
			}
			continue
		}
		atLow += y[k+1] - low
		atHigh += y[k+1] - high
		switch {
		case atLow < -lambda:
			segment(low, endLow)
			k, endLow, endHigh = start, start, start
			low = y[k]
			high = low + 2*lambda
			atLow, atHigh = lambda, -lambda
		case atHigh > lambda:
			segment(high, endHigh)
			k, endLow, endHigh = start, start, start
			high = y[k]
			low = high - 2*lambda
			atLow, atHigh = lambda, -lambda
		default:
			k++
			if atLow >= lambda {
				low += (atLow - lambda) / float64(k-start+1)
				atLow, endLow = lambda, k
			}
			if atHigh <= -lambda {
				high += (atHigh + lambda) / float64(k-start+1)
				atHigh, endHigh = -lambda, k
			}
		}
	}
}
