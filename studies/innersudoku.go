package studies

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"

	"learnedopt/internal/stream"
	"learnedopt/qp"
	"learnedopt/qp/learned"
	"learnedopt/report"
	"learnedopt/sudoku"
)

// innerSudoku gives each solver the same time for 4×4 boards with the true rules, and counts the boards that come out right. The learned ones
// were trained on boards of other grids.
func (b *bench) innerSudoku(ctx context.Context) error {
	training, test := sudoku.Split(stream.New(b.Seed, "puzzles", 0), b.pick(2000, 20), b.pick(100, 4))
	a, rows := sudoku.IndependentRules(2)
	program := func(p sudoku.Puzzle) *qp.Problem {
		width := len(a) / rows
		q := &qp.Problem{Q: make([]float64, width), Linear: make([]float64, width), A: a, B: make([]float64, rows), G: make([]float64, width*width), H: make([]float64, width)}
		for i := range q.B {
			q.B[i] = 1
		}
		sudoku.Encode(q.Linear, p.Given)
		for j := range width {
			q.Q[j], q.Linear[j], q.G[j*width+j] = 0.1, -q.Linear[j], -1
		}
		return q
	}
	t, err := b.trainInner(ctx, learned.Source{Name: "4×4 Sudoku", Draw: func(r *rand.Rand) *qp.Problem { return program(training[r.IntN(len(training))]) }})
	if err != nil {
		return err
	}
	programs := make([]*qp.Problem, len(test))
	for i, p := range test {
		programs[i] = program(p)
	}
	type trial struct {
		name    string
		learned bool
		unit    string // of steps
		steps   []int
		solve   func(dst *qp.Solution, p *qp.Problem, steps int) error
	}
	var (
		interior   qp.InteriorPoint
		cold       = learned.WarmStart{Penalty: t.penalty}
		warm       = learned.WarmStart{Penalty: t.penalty, Weights: t.weights}
		long       = learned.Lagrangian{Rule: t.rule, Restart: true}
		accelerate = learned.Lagrangian{Rule: nesterov}
	)
	admm := func(s *learned.WarmStart) func(*qp.Solution, *qp.Problem, int) error {
		return func(dst *qp.Solution, p *qp.Problem, steps int) error {
			s.Fixed = steps
			return s.Solve(dst, p)
		}
	}
	lagrangian := func(s *learned.Lagrangian) func(*qp.Solution, *qp.Problem, int) error {
		return func(dst *qp.Solution, p *qp.Problem, steps int) error {
			s.Fixed = steps
			return s.Solve(dst, p)
		}
	}
	trials := []trial{
		{interiorPoint, false, "digits", []int{1, 2, 3, 4, 6, 8}, func(dst *qp.Solution, p *qp.Problem, digits int) error {
			tolerance := math.Pow(10, -float64(digits))
			interior.Options = qp.Options{Tolerance: tolerance, Acceptable: tolerance}
			return interior.Solve(dst, p)
		}},
		{"ADMM", false, "steps", []int{6, 7, 8, 10, 15, 20, 40, 80, 160}, admm(&cold)},
		{"warm start, ADMM", true, "steps", []int{6, 7, 8, 10, 15, 20, 40, 80, 160}, admm(&warm)},
		{"LSTM, Lagrangian", true, "steps", []int{20, 40, 60, 80, 120, 160, 320, 640}, lagrangian(&long)},
		{"Nesterov, Lagrangian", false, "steps", []int{20, 40, 60, 80, 120, 160, 320, 640}, lagrangian(&accelerate)},
	}
	type outcome struct{ seconds, boards float64 }
	outcomes := make([][]outcome, len(trials))
	picture := Picture{Name: "sudoku", Title: "4×4 Sudoku with the true rules: boards that come out right", X: "CPU time a board, ms", Y: "share of boards", Top: 1.05, LogX: true}
	for i, trial := range trials {
		s := report.Series{Name: trial.name, Learned: trial.learned}
		for _, steps := range trial.steps {
			b.note(fmt.Sprintf("Sudoku: %s, %d %s", trial.name, steps, trial.unit))
			var out qp.Solution
			if err := trial.solve(&out, programs[0], steps); err != nil { // for the memory
				return err
			}
			right := 0.0
			var clock stopwatch
			runtime.GC()
			clock.reset()
			for k, p := range programs {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := trial.solve(&out, p, steps); err != nil {
					return fmt.Errorf("%s: %w", trial.name, err)
				}
				if slices.Equal(sudoku.Decode(out.Z, len(test[k].Solution)), test[k].Solution) {
					right += 1 / float64(len(programs))
				}
			}
			clock.pause()
			o := outcome{clock.seconds() / float64(len(programs)), right}
			outcomes[i] = append(outcomes[i], o)
			if len(s.X) == 0 || 1000*o.seconds > s.X[len(s.X)-1] {
				s.X, s.Mean = append(s.X, 1000*o.seconds), append(s.Mean, o.boards)
			}
		}
		picture.Series = append(picture.Series, s)
	}
	// The unit of time is what the interior point takes for eight digits.
	full := outcomes[0][len(outcomes[0])-1].seconds
	table := Table{Title: fmt.Sprintf("4×4 Sudoku, the true rules, %d boards of grids that were not in training: boards right in a part of the interior point's time for eight digits, %.2g ms", len(test), 1000*full), Header: []string{"by"}}
	parts := []float64{0.25, 0.5, 1, 2, 4}
	for _, part := range parts {
		table.Header = append(table.Header, fmt.Sprintf("%g ×", part))
	}
	for i, trial := range trials {
		row := []string{trial.name}
		for _, part := range parts {
			best := math.NaN()
			for _, o := range outcomes[i] {
				if o.seconds <= part*full*1.0001 {
					best = o.boards // that of the most steps that fit
				}
			}
			cell := "too short"
			if !math.IsNaN(best) {
				cell = percent(best)
			}
			row = append(row, cell)
		}
		table.Rows = append(table.Rows, row)
	}
	b.Tables, b.Pictures = append(b.Tables, table), append(b.Pictures, picture)
	return nil
}
