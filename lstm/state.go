package lstm

import (
	"slices"

	"learnedopt/internal/fan"
	"learnedopt/internal/gemm"
	"learnedopt/internal/precondition"
	"learnedopt/internal/simd"
	"learnedopt/optimizer"
)

// parallelBlocks is the smallest number of blocks for which spreading an update
// over cores pays.
const parallelBlocks = 16

// grain is the number of blocks that a core takes at a time.
const grain = 2

// sumGrain is the number of blocks whose sums a core computes at a time: they take as long as the update of grain blocks.
const sumGrain = 64

// state is a run's memory in number type T: for each block of coordinates, the
// rows of geometry.state. For a network with eyes every tensor begins with a block of its own.
type state[T simd.Float] struct {
	c     *core[T]
	n     int      // number of coordinates
	steps int      // number of updates so far
	data  []T      // the rows of each block, with core.half without the first cells floats
	cells []uint16 // with core.half, these

	parts   []part // one for all coordinates, if the network has no eyes
	partOf  []int  // for each block, its part
	scratch [][]T  // for each worker, a record, two rows, and the rows of a block

	// Used with eyes.
	memories, next []memory[T]
	sums           []sums
	blockSums      [][simd.SumRows]float64
	context        []T // what the last step saw: a context for each part, and then ofOrthogonal
	orthogonalizer gemm.Orthogonalizer[T]
	biases         []T
	units          []T // of Config.Hyper
	sumFan         *fan.Fan
	meanFan        *fan.Fan

	fan              *fan.Fan
	dst, grad, theta []T         // arguments of the update in progress
	now              []glance[T] // for each part
}

func (s *state[T]) init(c *core[T], layout optimizer.Layout) {
	if layout.Len() == 0 {
		panic(errCoordinates)
	}
	if !c.cfg.eyes() {
		layout = optimizer.Flat(layout.Len())
	}
	s.c = c
	s.setParts(partsOf(layout), layout.Len())
	s.fan = fan.New(func(worker, i int) {
		for b := i * grain; b < min((i+1)*grain, s.blocks()); b++ {
			s.updateBlock(s.scratch[worker], b)
		}
	})
	s.sumFan = fan.New(func(worker, i int) {
		for b := i * sumGrain; b < min((i+1)*sumGrain, s.blocks()); b++ {
			s.sumBlock(s.scratch[worker][c.recSize:], b)
		}
	})
	s.meanFan = fan.New(func(_, i int) {
		for b := i * sumGrain; b < min((i+1)*sumGrain, s.blocks()); b++ {
			s.addOrthogonal(b)
		}
	})
}

// setParts gives the state parts, and room for n coordinates in all.
func (s *state[T]) setParts(parts []part, n int) {
	s.parts, s.n = parts, n
	s.partOf = s.partOf[:0]
	for k, p := range parts {
		for range blocks(p.n) {
			s.partOf = append(s.partOf, k)
		}
	}
	s.data = resized(s.data, s.blocks()*s.rowsSize())
	s.cells = resized(s.cells, s.blocks()*s.narrowed())
	s.now = resized(s.now, len(parts))
	if s.c.cfg.eyes() {
		s.memories, s.next, s.sums = resized(s.memories, len(parts)), resized(s.next, len(parts)), resized(s.sums, len(parts))
		s.blockSums = resized(s.blockSums, s.blocks())
		s.context = resized(s.context, s.seen())
		if s.c.cfg.Orthogonal {
			for k := range parts {
				s.orthogonalizer.Reserve(parts[k].axes)
			}
		}
		s.biases = resized(s.biases, len(parts)*s.c.maps[0].out)
		s.units = resized(s.units, s.c.hyper.hidden)
	}
}

// seen returns the length of context.
func (s *state[T]) seen() int {
	if !s.c.cfg.eyes() {
		return 0
	}
	seen := len(s.parts) * s.c.contextSize()
	if s.c.cfg.Orthogonal {
		seen += 2 * s.n
	}
	return seen
}

// resized returns a slice of n elements that are 0, in x's memory if it is large enough.
func resized[E any](x []E, n int) []E {
	x = slices.Grow(x[:0], n)[:n]
	clear(x)
	return x
}

// fits says whether two states have the same coordinates in the same parts.
func (s *state[T]) fits(other *state[T]) bool {
	return s.n == other.n && slices.EqualFunc(s.parts, other.parts, func(a, b part) bool { return a.n == b.n && a.shape == b.shape })
}

// copyFrom copies the memory of a state that fits.
func (s *state[T]) copyFrom(from *state[T]) {
	s.c, s.steps = from.c, from.steps
	copy(s.data, from.data)
	copy(s.cells, from.cells)
	copy(s.memories, from.memories)
	copy(s.context, from.context)
}

// clone returns a copy of s.
func (s *state[T]) clone() *state[T] {
	d := &state[T]{}
	d.initLike(s)
	d.copyFrom(s)
	return d
}

// initLike makes d a fresh state with the network and the parts of s.
func (d *state[T]) initLike(s *state[T]) {
	d.init(s.c, optimizer.Flat(s.n))
	d.setParts(s.parts, s.n)
}

func (s *state[T]) blocks() int { return len(s.partOf) }

// workers returns the number of cores that share a step.
func (s *state[T]) workers() int {
	if s.blocks() >= parallelBlocks {
		return fan.Workers()
	}
	return 1
}

// narrowed is the number of a block's first floats that the state keeps as float16.
func (s *state[T]) narrowed() int {
	if s.c.half {
		return s.c.cells
	}
	return 0
}

// rowsSize is the number of a block's floats that the state keeps in data.
func (s *state[T]) rowsSize() int { return s.c.stateSize - s.narrowed() }

// row returns block b from a place on, which is no place of h or c.
func (s *state[T]) row(b, place int) []T {
	size := s.rowsSize()
	return s.data[b*size:][:size][place-s.narrowed():]
}

// narrowCells returns what the state keeps of block b as float16.
func (s *state[T]) narrowCells(b int) []uint16 { return s.cells[b*s.c.cells:][:s.c.cells] }

// block returns the rows of block b. With core.half they are a copy in buf, which setBlock keeps.
func (s *state[T]) block(buf []T, b int) []T {
	size := s.rowsSize()
	rows := s.data[b*size:][:size]
	if !s.c.half {
		return rows
	}
	buf = buf[:s.c.stateSize]
	s.c.k.Widen(buf, s.narrowCells(b), s.c.cells/lanes)
	copy(buf[s.c.cells:], rows)
	return buf
}

// setBlock keeps the rows of block b, which block has returned.
func (s *state[T]) setBlock(rows []T, b int) {
	if s.c.half {
		s.c.k.Narrow(s.narrowCells(b), rows, s.c.cells/lanes)
		copy(s.row(b, s.c.cells), rows[s.c.cells:])
	}
}

// lanesOf returns the first coordinate of block b and the number of its coordinates.
func (s *state[T]) lanesOf(b int) (from, live int) {
	p := &s.parts[s.partOf[b]]
	at := (b - p.block) * lanes
	return p.from + at, min(lanes, p.n-at)
}

// place returns where data holds a row of the coordinates of part p that are i, i+1 … in p. It is no row of h or c if these are float16.
func (s *state[T]) place(p *part, row, i int) int {
	return (p.block+i/lanes)*s.rowsSize() + row*lanes - s.narrowed() + i%lanes
}

// values calls read for each float of the coordinates, row by row.
func (s *state[T]) values(read func(x T)) {
	s.eachPlace(func(x *T) { read(*x) }, func(x *uint16) { read(T(simd.FromHalf(*x))) })
}

// setValues sets each float of the coordinates, row by row, to the next one of next.
func (s *state[T]) setValues(next func() T) {
	s.eachPlace(func(x *T) { *x = next() }, func(x *uint16) { *x = simd.ToHalf(float32(next())) })
}

func (s *state[T]) eachPlace(whole func(*T), half func(*uint16)) {
	for row := range s.c.stateSize / lanes {
		for k := range s.parts {
			p := &s.parts[k]
			for i := range p.n {
				if row*lanes < s.narrowed() {
					half(&s.narrowCells(p.block + i/lanes)[row*lanes+i%lanes])
				} else {
					whole(&s.data[s.place(p, row, i)])
				}
			}
		}
	}
}

// update makes a step. theta may be nil if the network has no eyes.
func (s *state[T]) update(dst, grad, theta []T, total int) {
	precondition.Length("lstm", "dst", dst, s.n)
	precondition.Length("lstm", "Point.Grad", grad, s.n)
	s.glance(grad, theta, total)
	s.advance(dst, grad)
}

// advance makes the step that glance has prepared.
func (s *state[T]) advance(dst, grad []T) {
	workers := s.workers()
	s.reserve(workers)
	s.steps++
	s.memories, s.next = s.next, s.memories
	s.dst, s.grad = dst, grad
	s.fan.Run((s.blocks()+grain-1)/grain, workers)
	if s.c.cfg.OrthogonalMean {
		s.average()
		s.meanFan.Run((s.blocks()+sumGrain-1)/sumGrain, min(workers, (s.blocks()+sumGrain-1)/sumGrain))
	}
	s.dst, s.grad = nil, nil
}

// average replaces the factors of the orthogonal directions by their scaled means over each part.
func (s *state[T]) average() {
	_, f := s.ofOrthogonal(s.context)
	for k := range s.parts {
		p := &s.parts[k]
		if p.axes.Len() == 0 {
			continue
		}
		mean := s.now[k].orthogonal * meanOf(f[p.from:][:p.n])
		for i := range p.n {
			f[p.from+i] = mean
		}
	}
}

// meanOf is the mean of x, 0 if x is empty. It adds up in float64, in the order of x.
func meanOf[T simd.Float](x []T) T {
	sum := 0.0
	for _, v := range x {
		sum += float64(v)
	}
	return T(sum / float64(max(len(x), 1)))
}

// addOrthogonal adds the orthogonal directions to the updates of block b.
func (s *state[T]) addOrthogonal(b int) {
	if s.parts[s.partOf[b]].axes.Len() == 0 {
		return
	}
	from, live := s.lanesOf(b)
	o, f := s.ofOrthogonal(s.context)
	dst := s.dst[from:][:live]
	for l, o := range o[from:][:live] {
		dst[l] += T(f[from] * o)
	}
	copy(s.row(b, s.c.state.u), dst)
}

// reserve makes scratch memory for a number of workers.
func (s *state[T]) reserve(workers int) {
	for len(s.scratch) < workers {
		s.scratch = append(s.scratch, append(s.c.newRecord(0), make([]T, 2*lanes+s.c.stateSize)...))
	}
}

// glance sets s.now to what the network sees at the next step.
func (s *state[T]) glance(grad, theta []T, total int) {
	now := s.c.tick(s.steps + 1)
	if !s.c.cfg.eyes() {
		s.now[0] = glance[T]{tick: now}
		return
	}
	s.observe(grad, theta, total)
	s.c.glances(s.now, now, s.context, s.biases, s.units)
}

func (s *state[T]) updateBlock(rec []T, b int) {
	from, live := s.lanesOf(b)
	g := gather(rec[s.c.recSize:], s.grad[from:from+live])
	st, now := s.block(rec[s.c.recSize+2*lanes:], b), &s.now[s.partOf[b]]
	s.c.forward(rec, st, &s.c.state, st, &s.c.state, g, now)
	o, f := s.ofOrthogonal(s.context)
	s.c.readOut(rec, now, lanesIn(o, from, live), lanesIn(f, from, live))
	dst := s.dst[from : from+live]
	for l, y := range rec[s.c.recY:][:len(dst)] {
		dst[l] = now.scale * y
	}
	if s.c.cfg.eyes() {
		copy(st[s.c.state.u:], dst)
	}
	s.setBlock(st, b)
}

// lanesIn returns x[from:from+live], or nil if x is nil.
func lanesIn[T simd.Float](x []T, from, live int) []T {
	if x == nil {
		return nil
	}
	return x[from : from+live]
}

// gather returns the lanes of a block, of which x are the coordinates. It is x, or if x does not fill a block, a copy in
// buf with zeros at the end.
func gather[T simd.Float](buf, x []T) []T {
	if len(x) == lanes {
		return x
	}
	buf = buf[:lanes]
	clear(buf[copy(buf, x):])
	return buf
}
