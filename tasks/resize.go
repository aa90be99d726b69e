package tasks

import "fmt"

// Resized returns the data set with images of side×side pixels, each channel averaged down by area:
//
//	out[r][c] = (1/A) ∫∫ in,   over the part of the image that pixel (r, c) of the smaller image covers.
//
// For 28×28 images and a side of 14 that is the mean of 2×2 pixels; a side that does not divide the rows and columns has
// fractional weights. The means are exact sums of integers, rounded to the nearest byte and up from a half, so that they are
// the same on every machine. The rounding moves a number in [0, 1] by at most 1/510.
//
// All sizes are made from the original images, once for each size, and shared afterwards; the original's own size gives the
// original. A table, and a side below 1 or above the original's rows or columns, is an error.
func (d *Dataset) Resized(side int) (*Dataset, error) {
	if d.original != nil {
		return d.original.Resized(side)
	}
	if d.table != nil {
		return nil, fmt.Errorf("tasks: image-size %d of data set %s, which has no images", side, d.name)
	}
	if side < 1 || side > min(d.rows, d.cols) {
		return nil, fmt.Errorf("tasks: image-size %d of data set %s, whose images have %d×%d pixels; take 1 to %d",
			side, d.name, d.rows, d.cols, min(d.rows, d.cols))
	}
	if side == d.rows && side == d.cols {
		return d, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if small := d.resized[side]; small != nil {
		return small, nil
	}
	small := &Dataset{name: d.name, channels: d.channels, rows: side, cols: side, classes: d.classes, original: d, side: side}
	average := newAverager(d.rows, d.cols, side)
	for s, part := range d.parts {
		n := len(part.Labels)
		pixels := make([]byte, n*small.Features())
		for plane := range n * d.channels {
			average.plane(pixels[plane*side*side:], part.Pixels[plane*d.rows*d.cols:])
		}
		small.parts[s] = Part{Pixels: pixels, Labels: part.Labels}
	}
	if d.resized == nil {
		d.resized = map[int]*Dataset{}
	}
	d.resized[side] = small
	return small, nil
}

// A span is the part of a row or column that one pixel of the smaller image covers: the weights of pixels from first on.
// With side pixels made from n, one pixel of the original has length side and one of the smaller image length n, so
// that all weights are whole numbers with the sum n.
type span struct {
	first   int
	weights []int
}

// spans returns what each of side pixels covers of n.
func spans(n, side int) []span {
	all := make([]span, side)
	for j := range all {
		from, to := j*n, (j+1)*n
		all[j].first = from / side
		for i := all[j].first; i*side < to; i++ {
			all[j].weights = append(all[j].weights, min(to, (i+1)*side)-max(from, i*side))
		}
	}
	return all
}

// An averager averages planes of rows×cols pixels down to side×side.
type averager struct {
	rows, cols, side int
	down, across     []span
	sums             []int // of every row, rows×side
}

func newAverager(rows, cols, side int) *averager {
	return &averager{rows, cols, side, spans(rows, side), spans(cols, side), make([]int, rows*side)}
}

// plane writes the first side·side bytes of dst from the first rows·cols bytes of src.
func (a *averager) plane(dst, src []byte) {
	for r := range a.rows {
		row, sums := src[r*a.cols:(r+1)*a.cols], a.sums[r*a.side:(r+1)*a.side]
		for c, s := range a.across {
			sum := 0
			for i, w := range s.weights {
				sum += w * int(row[s.first+i])
			}
			sums[c] = sum
		}
	}
	area := a.rows * a.cols
	for r, s := range a.down {
		for c := range a.side {
			sum := 0
			for i, w := range s.weights {
				sum += w * a.sums[(s.first+i)*a.side+c]
			}
			dst[r*a.side+c] = byte((2*sum + area) / (2 * area))
		}
	}
}
