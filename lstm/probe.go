package lstm

import (
	"math"

	"learnedopt/optimizer"
)

// An Activity counts what a network did at the steps and coordinates that a Probe
// looked at. The zero value is the activity at no coordinate.
type Activity struct {
	// Coordinates is the number of coordinates looked at. A coordinate looked at in
	// two steps counts twice.
	Coordinates int
	// Grad2 and Update2 are the sums of squares of their gradients and updates.
	Grad2, Update2 float64
	// Zero counts gradients that are exactly 0, and Small counts other gradients with
	// |g| < e^-P: LogAndSign's first feature is -1 for both. Clipped counts gradients
	// with |g| ≥ e^-SignP: LogAndSign's second feature is then ±1. Without LogAndSign,
	// Small and Clipped are 0.
	Zero, Small, Clipped int
	// Saturated[k] counts the gates of LSTM layer k+1 that are nearly constant, in
	// the order i, f, g, o: |σ-½| > 0.45 for i, f and o, |tanh| > 0.95 for g. Each
	// count is out of Coordinates·Hidden.
	Saturated [][4]int
}

// Add adds b to a. Both must be activities of networks of the same shape.
func (a *Activity) Add(b Activity) {
	a.Coordinates += b.Coordinates
	a.Grad2 += b.Grad2
	a.Update2 += b.Update2
	a.Zero += b.Zero
	a.Small += b.Small
	a.Clipped += b.Clipped
	a.reserve(len(b.Saturated))
	for k, layer := range b.Saturated {
		for gate, n := range layer {
			a.Saturated[k][gate] += n
		}
	}
}

func (a *Activity) reserve(layers int) {
	for len(a.Saturated) < layers {
		a.Saturated = append(a.Saturated, [4]int{})
	}
}

// A Probe looks at steps of runs: it computes what the network does with a gradient,
// without changing the run's state. It holds working memory and belongs to one
// goroutine.
type Probe struct {
	c      *core[float32]
	rec    []float32
	row    []float32
	block  []float32
	update []float32
	looked []looked
	looks  int
}

// Looks returns the number of looks so far. It determines the coordinates of the next look.
func (p *Probe) Looks() int { return p.looks }

// Resume sets the number of looks so far, to continue where another probe stopped.
func (p *Probe) Resume(looks int) { p.looks = looks }

// probeBlocks is the largest number of blocks that one look computes: 256 coordinates.
// A look costs about as much as updating twice as many coordinates.
const probeBlocks = 8

// Look adds to a what the network does at point p in state s, and returns the updates
// that the network would write; with OrthogonalMean the means are over the coordinates that it looks at. With more than 256 coordinates it looks at 256 of them or
// fewer, in blocks that are spread evenly; the next look takes other blocks. The returned
// updates are in the order of the coordinates, and are valid until the next look. It
// panics unless the point has as many coordinates as s.
func (p *Probe) Look(a *Activity, s *State, point optimizer.Point) []float32 {
	st, grad := &s.s, point.Grad
	if len(grad) != st.n {
		panic(errLength)
	}
	c := st.c
	if p.c == nil || p.c.geometry != c.geometry {
		p.rec, p.row, p.block = c.newRecord(1), make([]float32, lanes), make([]float32, c.stateSize)
	}
	p.c = c
	a.reserve(len(c.layers))
	all := st.blocks()
	stride := (all + probeBlocks - 1) / probeBlocks
	first := p.looks % stride
	p.looks++
	p.update = p.update[:0]
	st.glance(grad, point.Theta, point.Total)
	for k := 0; k < probeBlocks && first+k*stride < all; k++ {
		b := first + k*stride
		from, live := st.lanesOf(b)
		g, now := gather(p.row, grad[from:from+live]), &st.now[st.partOf[b]]
		c.forward(p.rec, st.block(p.block, b), &c.state, p.rec, &c.rec, g, now)
		o, f := st.ofOrthogonal(st.context)
		o, f = lanesIn(o, from, live), lanesIn(f, from, live)
		c.readOut(p.rec, now, o, f)
		a.addGradients(&c.pre, g[:live])
		at := len(p.update)
		for _, y := range p.rec[c.recY:][:live] {
			p.update = append(p.update, now.scale*y)
		}
		if c.cfg.OrthogonalMean {
			p.looked = append(p.looked, looked{st.partOf[b], at, o, f})
		}
		for i, l := range c.layers {
			a.addGates(i, p.rec[l.recOut:][:4*c.cfg.Hidden*lanes], live)
		}
	}
	p.addOrthogonal(st)
	for _, u := range p.update {
		a.Update2 += float64(u) * float64(u)
	}
	return p.update
}

// looked is what a look at a block leaves for addOrthogonal: its part, where its updates begin in Probe.update, and its
// lanes' orthogonal directions and their factors.
type looked struct {
	part, at int
	o, f     []float32
}

// addOrthogonal adds the directions of OrthogonalMean to the updates, with the factors' means over the coordinates of a part
// that were looked at.
func (p *Probe) addOrthogonal(st *state[float32]) {
	for rest := p.looked; len(rest) > 0; {
		n, sum, count := 0, 0.0, 0
		for n < len(rest) && rest[n].part == rest[0].part {
			for _, f := range rest[n].f {
				sum += float64(f)
			}
			count += len(rest[n].f)
			n++
		}
		mean := st.now[rest[0].part].orthogonal * float32(sum/float64(count))
		for _, b := range rest[:n] {
			for l, o := range b.o {
				p.update[b.at+l] += float32(mean * o)
			}
		}
		rest = rest[n:]
	}
	p.looked = p.looked[:0]
}

// addGradients counts the gradients of one block. It uses the adjoint's thresholds.
func (a *Activity) addGradients(pre *preprocessor[float32], g []float32) {
	a.Coordinates += len(g)
	logs := pre.inputs&LogAndSign != 0
	for _, v := range g {
		a.Grad2 += float64(v) * float64(v)
		switch size := abs(v); {
		case size == 0:
			a.Zero++
		case logs && size < pre.small:
			a.Small++
		}
		if logs && abs(v) >= pre.close {
			a.Clipped++
		}
	}
}

const signBit = 1 << 31

// addGates counts a layer's saturated gates; z holds four matrices of lanes.
func (a *Activity) addGates(layer int, z []float32, live int) {
	size := len(z) / 4
	for gate := range 4 {
		middle, reach := float32(0.5), float32(0.45)
		if gate == 2 {
			middle, reach = 0, 0.95
		}
		limit := math.Float32bits(reach)
		n := uint32(0)
		for rows := z[gate*size:][:size]; len(rows) > 0; rows = rows[lanes:] {
			for _, v := range rows[:live] {
				// The bits of positive floats have the order of the floats. This compares them
				// without a branch, which would often be mispredicted.
				n += (limit - math.Float32bits(v-middle)&^signBit) >> 31
			}
		}
		a.Saturated[layer][gate] += int(n)
	}
}
