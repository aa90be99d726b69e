package sudoku

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
)

// A Puzzle is a board with empty cells and its solution, row by row; 0 is an empty cell.
type Puzzle struct {
	Given, Solution []uint8
}

// Givens returns the number of cells that are not empty.
func (p Puzzle) Givens() int {
	n := 0
	for _, v := range p.Given {
		if v != 0 {
			n++
		}
	}
	return n
}

// Size returns n for a board of n⁴ cells, or an error.
func Size(cells int) (int, error) {
	for n := 2; n <= 4; n++ {
		if n*n*n*n == cells {
			return n, nil
		}
	}
	return 0, fmt.Errorf("sudoku: a board of %d cells, want 16, 81 or 256", cells)
}

// search is a backtracking search that fills the cell with the fewest candidates first.
type search struct {
	n                   int
	cells               []uint8
	row, column, blocks []uint32 // the digits in use, as bits
	limit, found        int
	steps               int
	each                func(cells []uint8)
	order               *rand.Rand // nil tries digits in ascending order
}

// count finds up to limit solutions of a board, calls each with their cells, which it uses again, and returns how many there are, and how many
// digits were tried.
func count(given []uint8, limit int, order *rand.Rand, each func([]uint8)) (found, steps int) {
	n, err := Size(len(given))
	if err != nil {
		panic(err.Error())
	}
	s := &search{n: n, cells: append([]uint8(nil), given...), row: make([]uint32, n*n), column: make([]uint32, n*n), blocks: make([]uint32, n*n), limit: limit, each: each, order: order}
	for i, v := range s.cells {
		if v == 0 {
			continue
		}
		r, c, b := s.units(i)
		bit := uint32(1) << v
		if (s.row[r]|s.column[c]|s.blocks[b])&bit != 0 {
			return 0, 0
		}
		s.row[r] |= bit
		s.column[c] |= bit
		s.blocks[b] |= bit
	}
	s.fill()
	return s.found, s.steps
}

func (s *search) units(cell int) (row, column, block int) {
	side := s.n * s.n
	row, column = cell/side, cell%side
	return row, column, row/s.n*s.n + column/s.n
}

func (s *search) fill() {
	side := s.n * s.n
	all := uint32(1)<<(side+1) - 2
	best, least, open := -1, side+1, uint32(0)
	for i, v := range s.cells {
		if v != 0 {
			continue
		}
		r, c, b := s.units(i)
		free := all &^ (s.row[r] | s.column[c] | s.blocks[b])
		if k := bits.OnesCount32(free); k < least {
			best, least, open = i, k, free
		}
	}
	if best < 0 {
		s.found++
		if s.each != nil {
			s.each(s.cells)
		}
		return
	}
	r, c, b := s.units(best)
	var digits [17]uint8
	k := 0
	for v := 1; v <= side; v++ {
		if open>>v&1 == 1 {
			digits[k] = uint8(v)
			k++
		}
	}
	if s.order != nil {
		s.order.Shuffle(k, func(i, j int) { digits[i], digits[j] = digits[j], digits[i] })
	}
	for _, v := range digits[:k] {
		bit := uint32(1) << v
		s.steps++
		s.cells[best] = v
		s.row[r] |= bit
		s.column[c] |= bit
		s.blocks[b] |= bit
		s.fill()
		s.cells[best] = 0
		s.row[r] &^= bit
		s.column[c] &^= bit
		s.blocks[b] &^= bit
		if s.found >= s.limit {
			return
		}
	}
}

// Solve returns the solution of a board by backtracking, and the number of digits that it tried, a measure of difficulty. It
// returns nil if there is no solution, or more than one.
func Solve(given []uint8) (solution []uint8, steps int) {
	var last []uint8
	found, steps := count(given, 2, nil, func(cells []uint8) { last = append(last[:0], cells...) })
	if found != 1 {
		return nil, steps
	}
	return last, steps
}

// Grids returns the 288 full boards of size 2, in a fixed order.
func Grids() [][]uint8 {
	var grids [][]uint8
	count(make([]uint8, 16), 1<<30, nil, func(cells []uint8) { grids = append(grids, append([]uint8(nil), cells...)) })
	return grids
}

// Grid returns a random full board of size n.
func Grid(r *rand.Rand, n int) (grid []uint8) {
	count(make([]uint8, n*n*n*n), 1, r, func(cells []uint8) { grid = append(grid, cells...) })
	return grid
}

// Pluck empties cells of a full board in random order as long as the solution stays the only one, down to the given number of givens or as far
// as it goes.
func Pluck(r *rand.Rand, grid []uint8, givens int) Puzzle {
	p := Puzzle{Given: append([]uint8(nil), grid...), Solution: grid}
	left := len(grid)
	for _, i := range r.Perm(len(grid)) {
		if left <= givens {
			break
		}
		v := p.Given[i]
		p.Given[i] = 0
		if found, _ := count(p.Given, 2, nil, nil); found != 1 {
			p.Given[i] = v
		} else {
			left--
		}
	}
	return p
}

// Split draws puzzles of size 2 with one solution each and 4 to 8 givens, the test ones of grids of which no training puzzle is: a fifth
// of all grids is kept for them.
func Split(r *rand.Rand, train, test int) (training, testing []Puzzle) {
	grids := Grids()
	r.Shuffle(len(grids), func(i, j int) { grids[i], grids[j] = grids[j], grids[i] })
	kept := len(grids) / 5
	draw := func(from [][]uint8, count int) []Puzzle {
		var puzzles []Puzzle
		for range count {
			puzzles = append(puzzles, Pluck(r, from[r.IntN(len(from))], 4+r.IntN(5)))
		}
		return puzzles
	}
	return draw(grids[kept:], train), draw(grids[:kept], test)
}
