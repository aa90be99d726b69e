package lstm

import (
	"learnedopt/internal/fan"
	"learnedopt/internal/simd"
)

// parallelBlocks is the smallest number of blocks for which spreading an update
// over cores pays.
const parallelBlocks = 16

// grain is the number of blocks that a core takes at a time.
const grain = 2

// state is a run's memory in number type T: for each block of coordinates, the
// rows of geometry.state.
type state[T simd.Float] struct {
	c     *core[T]
	n     int // number of coordinates
	steps int // number of updates so far
	data  []T

	fan       *fan.Fan
	scratch   [][]T // for each worker, a record and a row of gradients
	dst, grad []T   // arguments of the update in progress
	now       tick[T]
}

func (s *state[T]) init(c *core[T], n int) {
	if n <= 0 {
		panic(errCoordinates)
	}
	s.c, s.n = c, n
	s.data = make([]T, blocks(n)*c.stateSize)
	s.fan = fan.New(func(worker, i int) {
		for b := i * grain; b < min((i+1)*grain, blocks(s.n)); b++ {
			s.updateBlock(s.scratch[worker], b)
		}
	})
}

func (s *state[T]) block(b int) []T { return s.data[b*s.c.stateSize:][:s.c.stateSize] }

func (s *state[T]) update(dst, grad []T) {
	if len(dst) != s.n || len(grad) != s.n {
		panic(errLength)
	}
	workers := 1
	if blocks(s.n) >= parallelBlocks {
		workers = fan.Workers()
	}
	for len(s.scratch) < workers {
		s.scratch = append(s.scratch, append(s.c.newRecord(0), make([]T, lanes)...))
	}
	s.steps++
	s.dst, s.grad, s.now = dst, grad, s.c.tick(s.steps)
	s.fan.Run((blocks(s.n)+grain-1)/grain, workers)
	s.dst, s.grad = nil, nil
}

func (s *state[T]) updateBlock(rec []T, b int) {
	g := gather(rec[s.c.recSize:], s.grad, b)
	st := s.block(b)
	s.c.forward(rec, st, &s.c.state, st, &s.c.state, g, s.now)
	s.c.readOut(rec)
	dst := s.dst[b*lanes : min((b+1)*lanes, s.n)]
	for l, y := range rec[s.c.recY:][:len(dst)] {
		dst[l] = s.now.scale * y
	}
}

// gather returns the lanes of block b of x. It is a part of x, or for a block that x
// does not fill, a copy in buf with zeros at the end.
func gather[T simd.Float](buf, x []T, b int) []T {
	x = x[b*lanes:]
	if len(x) >= lanes {
		return x[:lanes]
	}
	buf = buf[:lanes]
	clear(buf[copy(buf, x):])
	return buf
}
