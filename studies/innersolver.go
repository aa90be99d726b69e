package studies

import (
	"context"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"strings"

	"gonum.org/v1/gonum/floats"

	"learnedopt/internal/stream"
	"learnedopt/qp"
	"learnedopt/qp/learned"
)

// innerSizes are the numbers of variables unless Config.Sizes says otherwise.
var innerSizes = []int{64, 200, 729}

// innerSolverStudy compares interior point and ADMM with two solvers that learned, as the inner solver of a layer.
func innerSolverStudy(ctx context.Context, b *bench) error {
	sizes := b.Sizes
	switch {
	case len(sizes) > 0:
	case b.Quick:
		sizes = []int{24, 48}
	default:
		sizes = innerSizes
	}
	for _, n := range sizes {
		if n < 8 || n > 4000 {
			return fmt.Errorf("studies: a size of %d variables, want 8 to 4,000", n)
		}
	}
	t, err := b.trainInner(ctx, learned.Random(16, 48))
	if err != nil {
		return err
	}
	var all [][]race
	for _, n := range sizes {
		races, err := b.race(ctx, t, n)
		if err != nil {
			return err
		}
		all = append(all, races)
		for _, row := range timesRows(n, races) {
			b.note("n = " + strings.Join(row, ", "))
		}
	}
	b.Tables = append(b.Tables, timesTable(sizes, all), crossover(sizes, all))
	return b.innerSudoku(ctx)
}

// levels are the residuals at which times and gradients are compared.
var levels = []float64{1e-1, 1e-2, 1e-4, 1e-6, 1e-8}

// A race is what one solver did on the programs of one size.
type race struct {
	name    string
	learned bool
	// points are the mean of the paths as far as all programs have one.
	points []racePoint
	// time and gradient are the means of the CPU time and of the logarithm of the gradient's relative error when the residual falls
	// to each of levels; NaN if it does not for one of the programs.
	time, gradient []float64
}

// racePoint has seconds of CPU time, and the logarithms of the residual and of the gradient's relative error, NaN if it was not computed.
type racePoint struct{ seconds, residual, gradient float64 }

// racer runs a solver on a program and calls each with points on its way, the last one included.
type racer struct {
	name    string
	learned bool
	run     func(p *qp.Problem, clock *stopwatch, each func(*qp.Solution) bool) error
}

const interiorPoint = "interior point"

// racers are the solvers of the study for programs of n variables.
func (b *bench) racers(t *trainedSolvers, n int) []racer {
	steps := b.pick(600, 60)
	if n > 1000 {
		steps = b.pick(300, 60)
	}
	lagrangian := func(s *learned.Lagrangian) func(*qp.Problem, *stopwatch, func(*qp.Solution) bool) error {
		var out qp.Solution
		return func(p *qp.Problem, _ *stopwatch, each func(*qp.Solution) bool) error {
			s.Fixed, s.Each = steps, each
			return s.Solve(&out, p)
		}
	}
	admm := func(s *learned.WarmStart) func(*qp.Problem, *stopwatch, func(*qp.Solution) bool) error {
		var out qp.Solution
		return func(p *qp.Problem, _ *stopwatch, each func(*qp.Solution) bool) error {
			s.Penalty, s.Fixed, s.Each = t.penalty, steps, each
			return s.Solve(&out, p)
		}
	}
	var interior qp.InteriorPoint
	var out qp.Solution
	return []racer{
		{interiorPoint, false, func(p *qp.Problem, clock *stopwatch, each func(*qp.Solution) bool) error {
			// One solve for each level, each from the start.
			for _, level := range levels {
				if n > 1000 && level != levels[1] && level != levels[len(levels)-1] {
					continue // to save time
				}
				interior.Options = qp.Options{Tolerance: level, Acceptable: level}
				clock.reset()
				if err := interior.Solve(&out, p); err != nil {
					return err
				}
				if !each(&out) {
					break
				}
			}
			return nil
		}},
		{"ADMM", false, admm(&learned.WarmStart{})},
		{"warm start, ADMM", true, admm(&learned.WarmStart{Weights: t.weights})},
		{"LSTM, Lagrangian", true, lagrangian(&learned.Lagrangian{Rule: t.rule, Restart: true})},
		{"Nesterov, Lagrangian", false, lagrangian(&learned.Lagrangian{Rule: nesterov})},
	}
}

// race runs the solvers on programs of n variables, and draws the picture.
func (b *bench) race(ctx context.Context, t *trainedSolvers, n int) ([]race, error) {
	count := b.pick(5, 2)
	if n > 400 {
		count = min(count, 2)
	}
	if n > 1000 {
		count = 1
	}
	racers := b.racers(t, n)
	paths := make([][][]racePoint, len(racers)) // solver, program, point
	for k := range count {
		p := learned.Random(n, n).Draw(stream.New(b.Seed, "programs to compare on", uint64(k)))
		up := qp.Upstream{Z: make([]float64, n)}
		direction := stream.New(b.Seed, "losses to compare with", uint64(k))
		for i := range up.Z {
			up.Z[i] = direction.NormFloat64()
		}
		var exact []float64 // the gradient at the interior point's last solution
		for i, racer := range racers {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			b.note(fmt.Sprintf("n = %d, program %d of %d: %s", n, k+1, count, racer.name))
			if k == 0 && n <= 1000 {
				// Once for the memory.
				if err := racer.run(p, &stopwatch{}, func(*qp.Solution) bool { return false }); err != nil {
					return nil, fmt.Errorf("%s, n = %d: %w", racer.name, n, err)
				}
			}
			path, marks, err := follow(ctx, racer, p)
			if err != nil {
				return nil, fmt.Errorf("%s, n = %d: %w", racer.name, n, err)
			}
			if i == 0 {
				if exact, err = gradientAt(p, marks[slices.Max(slices.Collect(maps.Keys(marks)))], up); err != nil {
					return nil, fmt.Errorf("n = %d, at the interior point's solution: %w", n, err)
				}
			}
			for at, s := range marks {
				if n > 1000 && path[at].residual > -1 {
					continue // to save time
				}
				// Far from the solution there may be none.
				if g, err := gradientAt(p, s, up); err == nil {
					path[at].gradient = math.Log10(max(floats.Distance(g, exact, 2)/floats.Norm(exact, 2), 1e-16))
				}
			}
			paths[i] = append(paths[i], path)
		}
	}
	races := make([]race, len(racers))
	for i, racer := range racers {
		races[i] = summary(racer, paths[i])
	}
	b.Pictures = append(b.Pictures, racePicture(n, races))
	return races, nil
}

// follow runs a solver and returns its path, and the points at which the residual first fell to one of levels, by their place in it.
func follow(ctx context.Context, racer racer, p *qp.Problem) (path []racePoint, marks map[int]*qp.Solution, err error) {
	marks = make(map[int]*qp.Solution)
	reached := 0
	var clock stopwatch
	runtime.GC() // or what was made before would be collected in this time
	clock.reset()
	err = racer.run(p, &clock, func(s *qp.Solution) bool {
		clock.pause()
		r := residual(s)
		path = append(path, racePoint{clock.seconds(), math.Log10(r), math.NaN()})
		if reached < len(levels) && r <= levels[reached] {
			marks[len(path)-1] = &qp.Solution{Z: slices.Clone(s.Z), Nu: slices.Clone(s.Nu), Lambda: slices.Clone(s.Lambda), Slack: slices.Clone(s.Slack)}
			for reached < len(levels) && r <= levels[reached] {
				reached++
			}
		}
		clock.resume()
		return reached < len(levels) && ctx.Err() == nil
	})
	if err == nil {
		err = ctx.Err()
	}
	return path, marks, err
}

// gradientAt returns the derivatives with respect to all numbers of a program at an approximate solution, one after the other.
func gradientAt(p *qp.Problem, s *qp.Solution, up qp.Upstream) ([]float64, error) {
	var e qp.Equilibrated
	if err := e.Load(p); err != nil {
		return nil, err
	}
	x, y := make([]float64, len(s.Z)), make([]float64, len(s.Nu)+len(s.Lambda))
	e.Read(x, y, s)
	var at qp.Solution
	e.Write(&at, p, x, y, 0)
	var d qp.Gradient
	err := e.Gradient(&d, up)
	return slices.Concat(d.Q, d.Linear, d.A, d.B, d.G, d.H), err
}

// summary takes the means over programs.
func summary(racer racer, paths [][]racePoint) race {
	r := race{name: racer.name, learned: racer.learned}
	shortest := len(paths[0])
	for _, path := range paths {
		shortest = min(shortest, len(path))
	}
	count := float64(len(paths))
	for i := range shortest {
		var mean racePoint
		for _, path := range paths {
			mean.seconds += path[i].seconds / count
			mean.residual += path[i].residual / count
		}
		r.points = append(r.points, mean)
	}
	for _, level := range levels {
		seconds, gradient := 0.0, 0.0
		for _, path := range paths {
			i := slices.IndexFunc(path, func(p racePoint) bool { return p.residual <= math.Log10(level) })
			if i < 0 {
				seconds, gradient = math.NaN(), math.NaN()
				break
			}
			seconds += path[i].seconds / count
			gradient += path[i].gradient / count
		}
		r.time, r.gradient = append(r.time, seconds), append(r.gradient, gradient)
	}
	return r
}
