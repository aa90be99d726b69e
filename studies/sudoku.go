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

// sudokuStudy trains OptNet's layer and two networks on puzzles whose grids the test does not have, then solves boards of size 3
// with the true rules.
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
			if err := b.sudokus(ctx, "the published split", "published", puzzles[:9000], puzzles[9000:9000+b.pick(500, 20)]); err != nil {
				return err
			}
		}
	}
	return b.large(ctx)
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
	rules    bool // whether it has an A
}

// sudokus trains all models on one split.
func (b *bench) sudokus(ctx context.Context, title, file string, training, test []sudoku.Puzzle) error {
	t := Table{Title: fmt.Sprintf("4×4, %s: %d training puzzles, %d test puzzles", title, len(training), len(test)),
		Header: []string{"by", "boards", "cells", "boards in training", "angle to the rules", "steps × batch", "time"}}
	score, _, err := sudoku.Ceiling(test, 0.1)
	if err != nil {
		return err
	}
	t.Rows = append(t.Rows, []string{"the true rules, ε = 0.1", percent(score.Boards), percent(score.Cells), "", "0", "", ""})
	steps, interval := b.pick(600, 10), b.pick(50, 5)
	layer := sudoku.NewLayer()
	mlp, conv := &sudoku.Network{Widths: []int{256, 256}}, &sudoku.Network{Widths: []int{32, 32, 32}, Convolutional: true}
	models := []model{{"the layer, trained with adam", adam(0.1, steps), steps, b.pick(50, 10), layer.Layout(), layer.Init, layer.LossGrad, layer.Evaluate, true}}
	for _, rule := range b.Rules {
		m := models[0]
		m.name, m.rule = "the layer, trained with "+rule.Name, rule
		models = append(models, m)
	}
	longer := b.pick(800, 20)
	models = append(models,
		model{"a perceptron, 64-256-256-64", adam(1e-3, longer), longer, 100, mlp.Layout(), mlp.Init, mlp.LossGrad, mlp.Evaluate, false},
		model{"a convnet, 32-32-32", adam(1e-3, longer), longer, b.pick(100, 10), conv.Layout(), conv.Init, conv.LossGrad, conv.Evaluate, false})
	picture := Picture{Name: "error-" + file, Title: "4×4 Sudoku, " + title + ": boards not solved", X: "puzzles seen", Y: "share of test boards"}
	for _, m := range models {
		began := time.Now()
		theta := make([]float32, m.layout.Len())
		m.init(stream.New(b.Seed, "start", 0), theta)
		var at, wrong []float64
		var last sudoku.Score
		err := train(ctx, m.rule.Rule, m.layout, theta, m.steps, func(step int, grad []float32) (float64, error) {
			pick := stream.New(b.Seed, "puzzles of a step", uint64(step))
			batch := make([]sudoku.Puzzle, m.batch)
			for i := range batch {
				batch[i] = training[pick.IntN(len(training))]
			}
			return m.lossGrad(theta, grad, batch)
		}, func(step int) error {
			if step%interval != 0 && step != m.steps {
				return nil
			}
			part := test
			if step != m.steps {
				part = test[:min(len(test), 100)]
			}
			s, err := m.evaluate(theta, part)
			last = s
			at, wrong = append(at, float64(step*m.batch)), append(wrong, 1-s.Boards)
			b.note(fmt.Sprintf("%s, step %d of %d: %s of boards, loss %.3g", m.name, step, m.steps, percent(s.Boards), s.Loss))
			return err
		})
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		took := time.Since(began)
		seen, err := m.evaluate(theta, training[:min(len(training), len(test))])
		if err != nil {
			return err
		}
		angle := ""
		if m.rules {
			a, _ := sudoku.Rules(2)
			learned := make([]float64, 40*64)
			for i := range learned {
				learned[i] = float64(theta[i])
			}
			angles := sudoku.Angles(a, learned, 64)
			angle = fmt.Sprintf("%.2g (median %.2g)", angles[len(angles)-1], angles[len(angles)/2])
		}
		t.Rows = append(t.Rows, []string{m.name, percent(last.Boards), percent(last.Cells), percent(seen.Boards), angle, fmt.Sprintf("%d × %d", m.steps, m.batch), took.Round(time.Second).String()})
		picture.Series = append(picture.Series, report.Series{Name: m.name, Mean: wrong, X: at, Learned: m.rules})
	}
	b.Tables, b.Pictures = append(b.Tables, t), append(b.Pictures, picture)
	return nil
}

// large solves boards of size 3 with the true rules, in classes of difficulty: the number of digits that backtracking tries.
func (b *bench) large(ctx context.Context) error {
	r := stream.New(b.Seed, "large boards", 0)
	t := Table{Title: "9×9, the true rules, ε = 0.001", Header: []string{"givens", "boards", "digits that backtracking tries, median", "solved", "cells", "time a board, one core"}}
	s := sudoku.NewSolver(3, 1e-3)
	for _, givens := range []int{50, 40, 34, 30, 26} {
		var (
			total  time.Duration
			boards = b.pick(40, 2)
			solved int
			cells  float64
			digits []int
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
			total += time.Since(began)
			if err != nil {
				return err
			}
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
		t.Rows = append(t.Rows, []string{fmt.Sprint(givens), fmt.Sprint(boards), fmt.Sprint(digits[len(digits)/2]), percent(float64(solved) / float64(boards)), percent(cells),
			(total / time.Duration(boards)).Round(100 * time.Microsecond).String()})
		b.note(fmt.Sprintf("9×9, %d givens: %d of %d", givens, solved, boards))
	}
	b.Tables = append(b.Tables, t)
	return nil
}
