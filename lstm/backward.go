package lstm

import (
	"learnedopt/internal/fan"
	"learnedopt/internal/gemm"
	"learnedopt/internal/simd"
)

// maxSlots is the largest number of partial sums of the meta-gradient. The number of
// sums and their blocks depend on n alone. The order of addition, and so every bit,
// is therefore the same for any number of cores.
const maxSlots = 64

// slotsFor returns the number of partial sums for a number of blocks. Adding up one sum
// costs a few per cent of the work on a block, so there is one sum for two blocks or more.
func slotsFor(blocks int) int { return min(maxSlots, (blocks+1)/2) }

// adjoint computes meta-gradients by block replay. For each block it runs the K steps
// again from the state at the window's start, records them, and goes through the
// record backwards, while everything is still in the cache.
type adjoint[T simd.Float] struct {
	c     *core[T]
	trans [][]T // the transposed weights of each affine map
	fan   *fan.Fan
	work  []*workspace[T]
	slots [][]float64

	orthogonalizer gemm.Orthogonalizer[T]
	do, dm         []T // adjoints of the orthogonal directions and of the momentum that they are computed from

	meanFan  *fan.Fan
	blockDot []float64 // with OrthogonalMean, for each block and step, ⟨λ, o⟩
	mixDot   []float64 // with Config.Hyper, for each block and step, ⟨λ, u⟩ without the orthogonal direction
	units    []T       // of Config.Hyper
	weights  []T       // with OrthogonalMean, for each step and part, the adjoint of the factor of one coordinate, before the scale

	// Arguments of the call in progress.
	start    *state[T]
	grads    [][]T
	contexts [][]T
	seeds    [][]T
	w        []float64
	mu       *state[T]
	dgrad    []T
	now      []glance[T] // for each step of the window and each part
	biases   []T
	one      [3][1][]T // gradient, seed and context of a window of one step, kept here so that Step does not allocate
}

// workspace is one worker's memory.
type workspace[T simd.Float] struct {
	rec  []T // records of the window's steps
	mu   []T // adjoint of a block's state
	dx   []T // adjoint of a map's input
	dn   []T // adjoint of the directions
	dphi []T // the blocks' part of the meta-gradient, in partial sums
	row  []T // gradients or seeds of a block
	du   []T // adjoint of the update, before the scale
	dg   []T // adjoint of a block's gradients
}

func (a *adjoint[T]) bind(c *core[T]) {
	if a.c == c {
		return
	}
	if a.c == nil || a.c.geometry != c.geometry {
		*a = adjoint[T]{one: a.one, fan: fan.New(a.slot), meanFan: fan.New(a.dotBlocks), trans: make([][]T, len(c.maps))}
		for i, m := range c.maps {
			a.trans[i] = make([]T, m.in*m.out)
		}
	}
	a.c = c
	for i, m := range c.maps {
		w, _ := c.weights(m)
		for j := range m.in {
			for k := range m.out {
				a.trans[i][k*m.in+j] = w[j*m.out+k]
			}
		}
	}
}

// run adds to dphi the gradient with respect to φ of
//
//	Σ_{t=1..K} w_t ⟨seeds[t-1], θ_t⟩ + ⟨mu, s_K⟩,   θ_t = θ_0 + Σ_{k<t} u_k
//
// The network makes the updates u_k from state start and the gradients grads[k],
// which count as constants. A nil w means 1 everywhere; a nil mu means 0. Otherwise
// mu is overwritten with the adjoint of start. If dgrad is not nil, K must be
// 1, and dgrad is overwritten with the adjoint of grads[0]. contexts are what a network with eyes saw at the K steps.
func (a *adjoint[T]) run(dphi []float64, start *state[T], grads, contexts, seeds [][]T, w []float64, mu *state[T], dgrad []T) {
	steps := len(grads)
	switch {
	case start.c.half || mu != nil && mu.c.half:
		panic(errHalf)
	case len(dphi) != start.c.size:
		panic(errPhi)
	case len(seeds) != steps || (w != nil && len(w) != steps) || start.c.cfg.eyes() && len(contexts) != steps:
		panic(errWindow)
	case dgrad != nil && steps != 1:
		panic(errTwice)
	case dgrad != nil && len(dgrad) != start.n, mu != nil && !mu.fits(start):
		panic(errLength)
	}
	for t := range grads {
		if len(grads[t]) != start.n || len(seeds[t]) != start.n {
			panic(errLength)
		}
	}
	a.bind(start.c)
	a.start, a.grads, a.contexts, a.seeds, a.w, a.mu, a.dgrad = start, grads, contexts, seeds, w, mu, dgrad
	a.look(contexts, steps)
	slots := slotsFor(start.blocks())
	workers := min(fan.Workers(), slots)
	for len(a.slots) < slots {
		a.slots = append(a.slots, make([]float64, a.c.size))
	}
	for len(a.work) < workers {
		a.work = append(a.work, &workspace[T]{
			mu: make([]T, a.c.stateSize), dx: make([]T, a.c.widest()*lanes), dphi: make([]T, a.c.size*a.c.k.Parts), row: make([]T, lanes),
			dn: make([]T, simd.Directions*lanes), du: make([]T, lanes), dg: make([]T, lanes),
		})
	}
	for _, ws := range a.work[:workers] {
		if len(ws.rec) < (steps+1)*a.c.recSize {
			ws.rec = a.c.newRecord(steps)
		}
	}
	if dgrad != nil && a.c.cfg.Orthogonal {
		a.throughOrthogonal()
	}
	if a.c.cfg.OrthogonalMean {
		a.throughMean(workers)
	}
	if a.c.cfg.Hyper > 0 {
		a.mixDot = resized(a.mixDot, steps*start.blocks())
	}
	a.fan.Run(slots, workers)
	if a.c.cfg.Hyper > 0 {
		a.throughHyper(dphi)
	}
	for _, slot := range a.slots[:slots] {
		for i, d := range slot {
			dphi[i] += d
		}
	}
	a.start, a.grads, a.contexts, a.seeds, a.w, a.mu, a.dgrad = nil, nil, nil, nil, nil, nil, nil
}

// throughOrthogonal computes the adjoint of the momentum that Orthogonal takes at the only step. It needs the updates'
// adjoint alone, so that blocks stay independent.
func (a *adjoint[T]) throughOrthogonal() {
	s := a.start
	_, f := s.ofOrthogonal(a.contexts[0])
	a.do, a.dm = resized(a.do, s.n), resized(a.dm, s.n)
	w := T(1)
	if a.w != nil {
		w = T(a.w[0])
	}
	for i, seed := range a.seeds[0] {
		a.do[i] = T(w*seed) * f[i]
	}
	for k := range s.parts {
		s.orthogonalizeAdjoint(a.dm, a.do, &s.parts[k], a.grads[0], &a.orthogonalizer)
	}
}

// throughMean computes the adjoints of the factors that OrthogonalMean averages. A part's mean has the adjoint ⟨λ, o⟩ over
// all of its coordinates, so it is computed before the blocks go backwards each by itself.
func (a *adjoint[T]) throughMean(workers int) {
	s, steps := a.start, len(a.grads)
	a.blockDot = resized(a.blockDot, steps*s.blocks())
	a.weights = resized(a.weights, steps*len(s.parts))
	n := (s.blocks() + sumGrain - 1) / sumGrain
	a.meanFan.Run(n, min(workers, n))
	for k := range s.parts {
		p := &s.parts[k]
		if p.axes.Len() == 0 {
			continue
		}
		for t := range steps {
			sum := 0.0
			for b := p.block; b < p.block+blocks(p.n); b++ {
				sum += a.blockDot[b*steps+t]
			}
			a.weights[t*len(s.parts)+k] = T(sum / float64(p.n))
		}
	}
}

// dotBlocks computes blockDot of sumGrain blocks.
func (a *adjoint[T]) dotBlocks(_, i int) {
	s, steps := a.start, len(a.grads)
	for b := i * sumGrain; b < min((i+1)*sumGrain, s.blocks()); b++ {
		if s.parts[s.partOf[b]].axes.Len() == 0 {
			continue
		}
		from, live := s.lanesOf(b)
		var lambda [lanes]T
		for t := steps - 1; t >= 0; t-- {
			o, _ := s.ofOrthogonal(a.contexts[t])
			a.blockDot[b*steps+t] = a.dot(&lambda, a.seeds[t][from:][:live], o[from:][:live], t)
		}
	}
}

// dot adds a step's seeds to lambda and returns ⟨lambda, o⟩.
func (a *adjoint[T]) dot(lambda *[lanes]T, seeds, o []T, t int) (sum float64) {
	w := T(1)
	if a.w != nil {
		w = T(a.w[t])
	}
	for l, seed := range seeds {
		lambda[l] += w * seed
		sum += float64(lambda[l]) * float64(o[l])
	}
	return sum
}

// look prepares the glances of all steps.
func (a *adjoint[T]) look(contexts [][]T, steps int) {
	parts, c := len(a.start.parts), a.c
	a.now = resized(a.now, steps*parts)
	out := c.maps[0].out
	a.units = resized(a.units, c.hyper.hidden)
	if c.cfg.eyes() && len(a.biases) < steps*parts*out {
		a.biases = make([]T, steps*parts*out)
	}
	for t := range steps {
		now := c.tick(a.start.steps + t + 1)
		if !c.cfg.eyes() {
			a.now[t].tick = now
			continue
		}
		if len(contexts[t]) != a.start.seen() {
			panic(errContext)
		}
		c.glances(a.now[t*parts:(t+1)*parts], now, contexts[t], a.biases[t*parts*out:], a.units)
	}
}

// slot computes partial sum i: the meta-gradient of its blocks.
func (a *adjoint[T]) slot(worker, i int) {
	n, slots := a.start.blocks(), slotsFor(a.start.blocks())
	sum, ws := a.slots[i], a.work[worker]
	clear(sum)
	steps := 0
	for b, end := i*n/slots, (i+1)*n/slots; b < end; b++ {
		a.block(ws, b)
		if steps += len(a.grads); steps >= drainAfter || b == end-1 {
			a.c.k.Drain(sum, ws.dphi)
			steps = 0
		}
	}
}

// drainAfter is the number of steps of blocks after which the float32 sums are added to
// the float64 sums. Their rounding error is then no larger than the error of one block
// in a window of this many steps.
const drainAfter = 160

// block adds block b's part of the meta-gradient to ws.dphi.
func (a *adjoint[T]) block(ws *workspace[T], b int) {
	c, steps := a.c, len(a.grads)
	record := func(t int) []T { return ws.rec[t*c.recSize:] }
	before := func(t int) ([]T, *places) {
		if t == 0 {
			return a.start.block(nil, b), &c.state
		}
		return record(t - 1), &c.rec
	}
	first, live := a.start.lanesOf(b)
	lanesOf := func(x []T) []T { return gather(ws.row, x[first:first+live]) }
	orthogonal := func(t int) []T {
		if !c.cfg.Orthogonal {
			return nil
		}
		o, _ := a.start.ofOrthogonal(a.contexts[t])
		return lanesIn(o, first, live)
	}
	look := func(t int) *glance[T] { return &a.now[t*len(a.start.parts)+a.start.partOf[b]] }
	for t := range steps {
		prev, from := before(t)
		c.forward(record(t), prev, from, record(t), &c.rec, lanesOf(a.grads[t]), look(t))
		c.recordContext(record(t), look(t))
		if c.cfg.Readout != Linear { // the adjoint of Linear does not need y
			c.readOut(record(t), look(t), orthogonal(t), nil)
		}
	}

	clear(ws.mu)
	if a.mu != nil {
		copy(ws.mu, a.mu.block(nil, b))
	}
	var lambda [lanes]T
	for t := steps - 1; t >= 0; t-- {
		w := T(1)
		if a.w != nil {
			w = T(a.w[t])
		}
		for l, s := range lanesOf(a.seeds[t]) {
			lambda[l] += w * s
		}
		prev, from := before(t)
		o, factor := orthogonal(t), T(0)
		if c.cfg.OrthogonalMean {
			o, factor = nil, look(t).orthogonal*a.weights[t*len(a.start.parts)+a.start.partOf[b]]
		}
		if c.cfg.Hyper > 0 {
			a.mixDot[b*steps+t] = dotMix(&lambda, look(t).scale, record(t)[c.recY:], live)
		}
		dx := a.step(ws, record(t), prev, from, &lambda, look(t).scale, o, factor, live)
		if a.dgrad != nil {
			dg, g := ws.dg, lanesOf(a.grads[t])
			clear(dg)
			var m, v, dm, dv []T
			if c.cfg.Inputs&RNNProp != 0 {
				m, v = record(t)[c.rec.m:], record(t)[c.rec.v:]
				dm, dv = ws.mu[c.state.m:], ws.mu[c.state.v:]
			}
			c.pre.adjoint(dg, dx, g, m, v, dm, dv, look(t).corr)
			if c.cfg.Inputs&Momenta != 0 {
				if c.cfg.Orthogonal {
					const keep, take = orthogonalMomentum, 1 - orthogonalMomentum
					for l, d := range a.dm[first : first+live] {
						dg[l] += T(take * d)
						ws.mu[c.state.moments+l] += T(keep * d)
					}
				}
				a.momenta(dg, dx, ws, record(t), g, look(t))
			}
			copy(a.dgrad[first:first+live], dg)
		}
	}
	if a.mu != nil {
		copy(a.mu.block(nil, b), ws.mu)
	}

	for _, m := range c.maps {
		c.k.Outer(ws.dphi[m.off*c.k.Parts:], ws.rec[m.recIn:], ws.rec[m.recOut:], m.in+1, m.out, steps, c.recSize)
	}
}

// momenta adds the momenta's part to the adjoint of a gradient.
func (a *adjoint[T]) momenta(dg, dx []T, ws *workspace[T], rec, g []T, now *glance[T]) {
	c := a.c
	dn := ws.dn
	if c.cfg.Readout != Mix {
		dn = nil
	}
	dx = dx[(c.features-Momenta.features())*lanes:]
	c.k.MomentaAdjoint(dg, dx, dn, rec[c.recN:], g, rec[c.rec.moments:], ws.mu[c.state.moments:], now.corrs[:], now.inv)
}

// step goes backwards through one recorded step of one block. The step began in the state
// before, scale is its read-out's scale, and orthogonal are the live lanes' orthogonals; with OrthogonalMean factor is the adjoint of each live
// lane's factor instead. lambda is the adjoint of θ after the step.
// ws.mu is the adjoint of the state: on entry after the step, on return before it. step
// returns the adjoint of the features, or nil if no caller needs it.
func (a *adjoint[T]) step(ws *workspace[T], rec, before []T, from *places, lambda *[lanes]T, scale T, orthogonal []T, factor T, live int) []T {
	c := a.c
	outs := c.read.out
	dy, y := rec[c.read.recOut:][:outs*lanes], rec[c.recY:]
	if c.cfg.Readout == Mix {
		for l, s := range lambda {
			ws.du[l] = scale * s
		}
		dn := ws.dn
		if a.dgrad == nil {
			dn = nil
		}
		c.k.MixAdjoint(dy, dn, ws.du, y, rec[c.recZ:], rec[c.recN:])
		if orthogonal != nil {
			size, weight := rec[c.recZ+simd.Mixed*lanes:], dy[(simd.Mixed+1)*lanes:][:lanes]
			clear(weight)
			for l, o := range orthogonal {
				weight[l] = T(ws.du[l]*size[l]) * o
			}
		}
		if c.cfg.OrthogonalMean {
			c.meanAdjoint(dy, rec[c.recZ:], factor, live)
		}
	}
	for l, s := range lambda {
		if c.cfg.Readout != Mix {
			dy[l] = scale * s
		}
		switch c.cfg.Readout {
		case Tanh:
			dy[l] *= 1 - y[l]*y[l]
		case Exp:
			dy[lanes+l] = dy[l] * y[l]
			dy[l] *= y[lanes+l]
		}
	}
	maps := len(a.trans)
	n := c.cfg.Hidden * lanes
	deeper := a.dgrad != nil || c.dense.out > 0
	dx := ws.dx
	if top := len(c.layers) - 1; top >= 0 {
		c.k.MatMul(ws.mu[c.state.h[top]:], a.trans[maps-1], dy, nil, c.read.in, c.read.in, outs, true)
	} else if deeper {
		c.k.MatMul(dx, a.trans[maps-1], dy, nil, c.read.in, c.read.in, outs, false)
	}
	for i := len(c.layers) - 1; i >= 0; i-- {
		m := c.layers[i]
		below := m.in - m.context - c.cfg.Hidden
		trans := a.trans[maps-1-len(c.layers)+i]
		dz, dh := rec[m.recOut:], ws.mu[c.state.h[i]:][:n]
		c.k.CellAdjoint(dz, before[from.c[i]:], rec[c.recTanh[i]:], dh, ws.mu[c.state.c[i]:], c.cfg.Hidden)
		c.k.MatMul(dh, trans[below:], dz, nil, m.in, c.cfg.Hidden, m.out, false)
		if i > 0 {
			c.k.MatMul(ws.mu[c.state.h[i-1]:], trans, dz, nil, m.in, below, m.out, true)
		} else if deeper {
			c.k.MatMul(dx, trans, dz, nil, m.in, below, m.out, false)
		}
	}
	if d := c.dense; d.out > 0 {
		dz, out := rec[d.recOut:][:d.out*lanes], rec[c.afterDense().recIn:]
		c.k.ELUAdjoint(dz, dx, out, d.out)
		if a.dgrad != nil {
			c.k.MatMul(dx, a.trans[0], dz, nil, d.in, d.in, d.out, false)
		}
	}
	if a.dgrad == nil {
		return nil
	}
	return dx
}

// meanAdjoint writes the adjoint of a_7 of the live lanes into dy, and adds that of the size z. d is the adjoint of E(z)·a_7.
func (c *core[T]) meanAdjoint(dy, z []T, d T, live int) {
	size, weight := z[simd.Mixed*lanes:], z[(simd.Mixed+1)*lanes:]
	dsize, dweight := dy[simd.Mixed*lanes:][:lanes], dy[(simd.Mixed+1)*lanes:][:lanes]
	clear(dweight)
	for l := range live {
		e := size[l]
		root := sqrt(e) // z + √(z²+1)
		dweight[l] = T(d * e)
		dsize[l] += T(T(T(4*d)*T(e*weight[l])) / (root + 1/root)) // dE/dz = 2E/√(z²+1)
	}
}

// widest returns the largest number of inputs of a map.
func (g *geometry) widest() int {
	n := 0
	for _, m := range g.maps {
		n = max(n, m.in)
	}
	return n
}
