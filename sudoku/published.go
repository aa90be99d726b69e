package sudoku

import (
	"bufio"
	"fmt"
	"os"
)

// Published reads the puzzles that came with OptNet's code, as lines "given,solution" of 16 digits each with 0 for an empty cell. Their
// authors trained on the first 9,000 of 10,000 and tested on the others, which have solutions in common with the first.
func Published(path string) ([]Puzzle, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("sudoku: %w", err)
	}
	defer f.Close()
	var puzzles []Puzzle
	lines := bufio.NewScanner(f)
	for line := 1; lines.Scan(); line++ {
		text := lines.Text()
		if line == 1 && len(text) > 0 && (text[0] < '0' || text[0] > '9') {
			continue // a heading
		}
		if len(text) != 33 || text[16] != ',' {
			return nil, fmt.Errorf("sudoku: %s:%d: want 16 digits, a comma and 16 digits", path, line)
		}
		p := Puzzle{make([]uint8, 16), make([]uint8, 16)}
		for i := range 16 {
			g, s := text[i]-'0', text[17+i]-'0'
			if g > 4 || s < 1 || s > 4 || g != 0 && g != s {
				return nil, fmt.Errorf("sudoku: %s:%d: cell %d is %q with the solution %q", path, line, i, text[i], text[17+i])
			}
			p.Given[i], p.Solution[i] = g, s
		}
		puzzles = append(puzzles, p)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("sudoku: %w", err)
	}
	return puzzles, nil
}
