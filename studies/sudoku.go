package studies

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"time"

	"learnedopt/internal/stream"
	"learnedopt/optimizer"
	"learnedopt/report"
	"learnedopt/sudoku"
)

// sudokuStudy trains OptNet's layer and two networks on puzzles whose grids the test does not have, then on the published split.
func sudokuStudy(ctx context.Context, b *bench) error {
	training, test := sudoku.Split(stream.New(b.Seed, "puzzles", 0), b.pick(9000, 100), b.pick(500, 20))
	if err := b.sudokus(ctx, "split by grid", "grids", training, test); err != nil {
		return err
	}
	if b.DataDir != "" {
		puzzles, err := sudoku.Published(filepath.Join(b.DataDir, "sudoku4", "optnet4x4.csv"))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			b.note("the published puzzles are left out: " + err.Error())
		case err != nil:
			return err
		default:
			return b.sudokus(ctx, "the published split", "published", puzzles[:9000], puzzles[9000:9000+b.pick(1000, 20)])
		}
	}
	return nil
}

// model is what is trained on puzzles.
type model struct {
	name     string
	rule     Rule
	steps    int
	batch    int
	layout   optimizer.Layout
	init     func(*rand.Rand, []float32)
	lossGrad func(theta, grad []float32, puzzles []sudoku.Puzzle) (float64, error)
	evaluate func(theta []float32, puzzles []sudoku.Puzzle) (sudoku.Score, error)
	layer    *sudoku.Layer // nil for a network
	from     []float32     // where to start; nil: where init says
}

// sudokus trains all models on one split.
func (b *bench) sudokus(ctx context.Context, title, file string, training, test []sudoku.Puzzle) error {
	s := &split{bench: b, training: training, test: test, table: Table{Title: fmt.Sprintf("4×4, %s: %d training puzzles, %d test puzzles", title, len(training), len(test)),
		Header: []string{"by", "boards", "cells", "boards in training", "angle to the rules", "steps × batch", "time"}},
		picture: Picture{Name: "error-" + file, Title: "4×4 Sudoku, " + title + ": boards not solved", X: "puzzles seen", Y: "share of test boards", Top: 1}}
	score, _, err := sudoku.Ceiling(test, 0.1)
	if err != nil {
		return err
	}
	s.table.Rows = append(s.table.Rows, []string{"the true rules, ε = 0.1", percent(score.Boards), percent(score.Cells), "", "0", "", ""})
	layer := sudoku.NewLayer()
	hull := make([]float32, layer.Layout().Len())
	if err := layer.Hull(hull, training); err == nil {
		score, err := layer.Evaluate(hull, test)
		if err != nil {
			return err
		}
		s.table.Rows = append(s.table.Rows, []string{"the affine hull of the training solutions", percent(score.Boards), percent(score.Cells), "", angles(layer, hull), "", ""})
	} else {
		b.note(err.Error())
	}
	steps, longer := b.pick(600, 10), b.pick(800, 20)
	of := func(name string, rule Rule, steps int, layer *sudoku.Layer, from []float32) model {
		return model{name, rule, steps, b.pick(50, 10), layer.Layout(), layer.Init, layer.LossGrad, layer.Evaluate, layer, from}
	}
	theta, err := s.train(ctx, of("the layer, trained with adam", adam(0.1, steps), steps, layer, nil))
	if err != nil {
		return err
	}
	// At ε = 0.1 the true rules leave fractions in some solutions, so that the least error is not at them.
	sharp := sudoku.NewLayer()
	sharp.Epsilon = 0.01
	sharp.Orthonormalize(theta)
	more := b.pick(400, 10)
	if _, err := s.train(ctx, of("then with ε = 0.01", adam(sharpRate, more), more, sharp, theta)); err != nil {
		return err
	}
	for _, rule := range b.Rules {
		if _, err := s.train(ctx, of("the layer, trained with "+rule.Name, rule, steps, layer, nil)); err != nil {
			return err
		}
	}
	mlp, conv := &sudoku.Network{Widths: []int{256, 256}}, &sudoku.Network{Widths: []int{32, 32, 32}, Convolutional: true}
	for _, m := range []model{
		{"a perceptron, 64-256-256-64", adam(1e-3, longer), longer, 100, mlp.Layout(), mlp.Init, mlp.LossGrad, mlp.Evaluate, nil, nil},
		{"a convnet, 32-32-32", adam(1e-3, longer), longer, b.pick(100, 10), conv.Layout(), conv.Init, conv.LossGrad, conv.Evaluate, nil, nil},
	} {
		if _, err := s.train(ctx, m); err != nil {
			return err
		}
	}
	b.Tables, b.Pictures = append(b.Tables, s.table), append(b.Pictures, s.picture)
	return nil
}

// sharpRate is the learning rate for orthonormal rows near the rules.
const sharpRate = 0.0007

// split is training and test puzzles with what was learned from them.
type split struct {
	*bench
	training, test []sudoku.Puzzle
	table          Table
	picture        Picture
}

// train trains a model, adds its row and curve, and returns its parameters.
func (s *split) train(ctx context.Context, m model) ([]float32, error) {
	began, interval := time.Now(), s.pick(50, 5)
	theta := append([]float32(nil), m.from...)
	if m.from == nil {
		theta = make([]float32, m.layout.Len())
		m.init(stream.New(s.Seed, "start", 0), theta)
	}
	var at, wrong []float64
	var last sudoku.Score
	err := train(ctx, m.rule.Rule, m.layout, theta, m.steps, func(step int, grad []float32) (float64, error) {
		pick := stream.New(s.Seed, "puzzles of a step", uint64(step))
		batch := make([]sudoku.Puzzle, m.batch)
		for i := range batch {
			batch[i] = s.training[pick.IntN(len(s.training))]
		}
		return m.lossGrad(theta, grad, batch)
	}, func(step int) error {
		if step%interval != 0 && step != m.steps {
			return nil
		}
		part := s.test
		if step != m.steps {
			part = s.test[:min(len(s.test), 100)]
		}
		score, err := m.evaluate(theta, part)
		last = score
		at, wrong = append(at, float64(step*m.batch)), append(wrong, 1-score.Boards)
		s.note(fmt.Sprintf("%s, step %d of %d: %s of boards, loss %.3g", m.name, step, m.steps, percent(score.Boards), score.Loss))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.name, err)
	}
	took := time.Since(began)
	seen, err := m.evaluate(theta, s.training[:min(len(s.training), len(s.test))])
	if err != nil {
		return nil, err
	}
	angle := ""
	if m.layer != nil {
		angle = angles(m.layer, theta)
	}
	s.table.Rows = append(s.table.Rows, []string{m.name, percent(last.Boards), percent(last.Cells), percent(seen.Boards), angle, fmt.Sprintf("%d × %d", m.steps, m.batch), took.Round(time.Second).String()})
	s.picture.Series = append(s.picture.Series, report.Series{Name: m.name, Mean: wrong, X: at, Learned: m.layer != nil})
	return theta, nil
}

// angles describes the angles between the row space of the layer's A and that of the rules.
func angles(l *sudoku.Layer, theta []float32) string {
	rules, _ := sudoku.Rules(2)
	learned := make([]float64, l.Rows*l.Width)
	for i := range learned {
		learned[i] = float64(theta[i])
	}
	all := sudoku.Angles(rules, learned, l.Width)
	return fmt.Sprintf("%.2g (median %.2g)", all[len(all)-1], all[len(all)/2])
}

// largeStudy solves boards of size 3 with the true rules, in classes of difficulty: the number of givens, and of digits that backtracking tries.
func largeStudy(ctx context.Context, b *bench) error {
	r := stream.New(b.Seed, "large boards", 0)
	boards := b.pick(200, 2)
	t := Table{Title: fmt.Sprintf("9×9, the true rules, ε = 0.001, %d boards for each number of givens", boards),
		Header: []string{"givens", "digits that backtracking tries, median", "boards", "cells", "median time", "mean", "factorisations"}}
	s := sudoku.NewSolver(3, 1e-3)
	for _, givens := range []int{50, 40, 34, 30, 26} {
		var (
			total      time.Duration
			times      []time.Duration
			digits     []int
			solved     int
			iterations int
			cells      float64
		)
		for range boards {
			if err := ctx.Err(); err != nil {
				return err
			}
			p := sudoku.Pluck(r, sudoku.Grid(r, 3), givens)
			_, steps := sudoku.Solve(p.Given)
			digits = append(digits, steps)
			began := time.Now()
			z, err := s.Solve(p.Given)
			took := time.Since(began)
			if err != nil {
				return err
			}
			times = append(times, took)
			total += took
			iterations += s.Iterations()
			right := 0
			for i, v := range sudoku.Decode(z, 81) {
				if v == p.Solution[i] {
					right++
				}
			}
			if right == 81 {
				solved++
			}
			cells += float64(right) / 81 / float64(boards)
		}
		slices.Sort(digits)
		slices.Sort(times)
		const unit = 100 * time.Microsecond
		t.Rows = append(t.Rows, []string{fmt.Sprint(givens), fmt.Sprint(digits[len(digits)/2]), percent(float64(solved) / float64(boards)), percent(cells),
			times[len(times)/2].Round(unit).String(), (total / time.Duration(boards)).Round(unit).String(), fmt.Sprintf("%.1f", float64(iterations)/float64(boards))})
		b.note(fmt.Sprintf("9×9, %d givens: %d of %d", givens, solved, boards))
	}
	b.Tables = append(b.Tables, t)
	return nil
}
