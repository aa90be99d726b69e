package lstm

import "math"

// An Activity is what a network did at some steps, added up over the coordinates
// that were looked at: see Probe. The zero value is of none.
type Activity struct {
	// Coordinates is the number looked at; one that was looked at in two steps
	// counts twice.
	Coordinates int
	// Grad2 and Update2 are the sums of squares of their gradients and updates.
	Grad2, Update2 float64
	// Zero gradients are exactly 0, Small ones others with |g| < e^-P: LogAndSign's
	// first feature is -1 for both. Clipped ones have |g| ≥ e^-SignP: its second feature
	// is ±1. Without LogAndSign there are neither Small nor Clipped ones.
	Zero, Small, Clipped int
	// Saturated[k] counts the gates of LSTM layer k+1 that are nearly constant, in
	// the order i, f, g, o: |σ-½| > 0.45 for i, f and o, |tanh| > 0.95 for g. Each
	// is one of Coordinates·Hidden.
	Saturated [][4]int
}

// Add adds up what two activities of networks of the same shape found.
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

// A Probe looks at steps of runs: it computes what the network does with a gradient
// and leaves the run's state alone. It holds working memory and belongs to one
// goroutine.
type Probe struct {
	c      *core[float32]
	rec    []float32
	row    []float32
	update []float32
	looks  int
}

// Looks returns how many times the probe looked: where it will look next depends on it.
func (p *Probe) Looks() int { return p.looks }

// Resume makes a probe go on where another one had looked so many times.
func (p *Probe) Resume(looks int) { p.looks = looks }

// probeBlocks is the largest number of blocks that one look computes, 256 coordinates:
// a look costs about what it costs to update twice as many.
const probeBlocks = 8

// Look adds to a what the network does with grad in state s, and returns the updates
// that it would write: of all coordinates in their order, or of at most 256 of them, blocks spread
// evenly, others at the next look. What it returns is valid until then. It panics
// unless grad has as many coordinates as s.
func (p *Probe) Look(a *Activity, s *State, grad []float32) []float32 {
	st := &s.s
	if len(grad) != st.n {
		panic(errLength)
	}
	c := st.c
	if p.c == nil || p.c.geometry != c.geometry {
		p.rec, p.row = c.newRecord(1), make([]float32, lanes)
	}
	p.c = c
	a.reserve(len(c.layers))
	all := blocks(st.n)
	stride := (all + probeBlocks - 1) / probeBlocks
	first := p.looks % stride
	p.looks++
	p.update = p.update[:0]
	now := c.tick(st.steps + 1)
	for k := 0; k < probeBlocks && first+k*stride < all; k++ {
		b := first + k*stride
		live := min(lanes, st.n-b*lanes)
		g := gather(p.row, grad, b)
		c.forward(p.rec, st.block(b), &c.state, p.rec, &c.rec, g, now)
		c.readOut(p.rec)
		a.addGradients(&c.pre, g[:live])
		for _, y := range p.rec[c.recY:][:live] {
			u := now.scale * y
			a.Update2 += float64(u) * float64(u)
			p.update = append(p.update, u)
		}
		for i, l := range c.layers {
			a.addGates(i, p.rec[l.recOut:][:4*c.cfg.Hidden*lanes], live)
		}
	}
	return p.update
}

// addGradients counts the gradients of one block. Its thresholds are those of the adjoint.
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
				// Bits of positive floats are ordered as these are: without a branch, which
				// would often be guessed wrong.
				n += (limit - math.Float32bits(v-middle)&^signBit) >> 31
			}
		}
		a.Saturated[layer][gate] += int(n)
	}
}
