package tasks

import (
	"fmt"
	"math"
	"math/rand/v2"

	"learnedopt/denoising"
	"learnedopt/implicit"
	"learnedopt/internal/precondition"
	"learnedopt/internal/stream"
	"learnedopt/lagrange"
	"learnedopt/optimizer"
	"learnedopt/sudoku"
)

// A solved problem is one whose loss needs the solution of equations or of a quadratic program at each step. The data of step t are drawn
// from the stream (seed, t).
type solved struct {
	layout optimizer.Layout
	start  []float32
	seed   uint64
	step   int
	loss   func(theta, grad []float32, data *rand.Rand) (float64, error)
}

var _ optimizer.Seeker = (*solved)(nil)

// Dim implements optimizer.Problem.
func (p *solved) Dim() int { return p.layout.Len() }

// Layout implements optimizer.Laid.
func (p *solved) Layout() optimizer.Layout { return p.layout }

// Seek implements optimizer.Seeker.
func (p *solved) Seek(t int) { p.step = t }

// Init implements optimizer.Problem.
func (p *solved) Init(theta []float32) {
	precondition.Length("tasks", "theta", theta, p.Dim())
	copy(theta, p.start)
}

// LossGrad implements optimizer.Problem.
func (p *solved) LossGrad(theta, grad []float32) (float64, error) {
	precondition.Length("tasks", "theta", theta, p.Dim())
	precondition.Length("tasks", "grad", grad, p.Dim())
	t := p.step
	p.step++
	for i, v := range theta {
		if v != v || math.IsInf(float64(v), 0) {
			// No equation has a solution then; a loss of NaN says so to the loop.
			clear(grad)
			grad[i] = v
			return math.NaN(), nil
		}
	}
	return p.loss(theta, grad, stream.New(p.seed, "data", uint64(t)))
}

// validateSolved checks sizes: dims between the bounds.
func (o Options) validateSolved(task string, least, most int) error {
	switch {
	case o.Dims < least || o.Dims > most:
		return fmt.Errorf("tasks: %s: %d dimensions, want %d to %d (0 means the default)", task, o.Dims, least, most)
	case o.Batch < 1 || o.Batch > 1<<14:
		return fmt.Errorf("tasks: %s: batch %d, want 1 to %d (0 means the default)", task, o.Batch, 1<<14)
	}
	return nil
}

// Equilibrium trains a recurrent cell of n units whose output is its equilibrium (Bai, Kolter and Koltun 2019),
//
//	z = tanh(V z + U x + b),   V = 0.95 W / max(1, ‖W‖_F),
//
// to do what another cell does: the loss is the mean square error of a minibatch of n normal inputs each. V has a norm below 1, so that there is
// one equilibrium. The gradient is that of the implicit function theorem.
type Equilibrium struct {
	// Dims is n; 0 means 10.
	Dims int
	// Batch is the size of a minibatch; 0 means 32.
	Batch int
}

var _ optimizer.Family = Equilibrium{}

func (e Equilibrium) options() Options {
	return Options{Dims: e.Dims, Batch: e.Batch}.withDefaults(equilibria)
}

// Validate reports the first mistake in the configuration.
func (e Equilibrium) Validate() error {
	return e.options().validateSolved("equilibrium", 1, 200)
}

// Name implements optimizer.Family.
func (e Equilibrium) Name() string { return e.options().lists().words("equilibrium", equilibria) }

// Sample implements optimizer.Family.
func (e Equilibrium) Sample(rng *rand.Rand) (optimizer.Problem, error) {
	if err := e.Validate(); err != nil {
		return nil, err
	}
	o := e.options()
	n := o.Dims
	layout, err := optimizer.NewLayout(optimizer.Tensor{Name: "W", Shape: []int{n, n}}, optimizer.Tensor{Name: "U", Shape: []int{n, n}}, optimizer.Tensor{Name: "b", Shape: []int{n}})
	if err != nil {
		return nil, err
	}
	p := &solved{layout: layout, start: make([]float32, layout.Len())}
	teacher := make([]float32, layout.Len())
	for i := range teacher {
		deviation := 1 / math.Sqrt(float64(n))
		teacher[i] = float32(deviation * rng.NormFloat64())
		p.start[i] = float32(startDeviation * rng.NormFloat64())
	}
	p.seed = rng.Uint64()
	truth, _ := contraction(teacher, n)
	x, z, target, sum := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, layout.Len())
	p.loss = func(theta, grad []float32, data *rand.Rand) (float64, error) {
		cell, norm := contraction(theta, n)
		clear(sum)
		loss, scale := 0.0, 1/float64(o.Batch*n)
		for range o.Batch {
			for i := range x {
				x[i] = data.NormFloat64()
			}
			if err := truth.Solve(target, x); err != nil {
				return 0, err
			}
			if err := cell.Solve(z, x); err != nil {
				return 0, err
			}
			for i, v := range z {
				d := v - target[i]
				loss += d * d * scale
				target[i] = 2 * d * scale
			}
			if err := cell.Adjoint(target, z); err != nil {
				return 0, err
			}
			for k, v := range target {
				for j := range n {
					sum[k*n+j] += v * z[j]
					sum[n*n+k*n+j] += v * x[j]
				}
				sum[2*n*n+k] += v
			}
		}
		// Through V: 0.95/f·(G − ⟨G, W⟩/f² W) where f = ‖W‖_F > 1, else 0.95·G.
		factor, along := 0.95, 0.0
		if norm > 1 {
			factor /= norm
			for i := range n * n {
				along += sum[i] * float64(theta[i]) / (norm * norm)
			}
		}
		for i, v := range sum {
			if i < n*n {
				v = factor * (v - along*float64(theta[i]))
			}
			grad[i] = float32(v)
		}
		return loss, nil
	}
	return p, nil
}

// contraction returns the cell of parameters and ‖W‖_F.
func contraction(theta []float32, n int) (*implicit.Cell, float64) {
	all := make([]float64, len(theta))
	norm := 0.0
	for i, v := range theta {
		all[i] = float64(v)
		if i < n*n {
			norm += all[i] * all[i]
		}
	}
	norm = math.Sqrt(norm)
	for i := range n * n {
		all[i] *= 0.95 / max(1, norm)
	}
	return &implicit.Cell{N: n, D: n, W: all[:n*n], U: all[n*n : 2*n*n], B: all[2*n*n:]}, norm
}

// MaxEnt is a batch of B independent problems of maximum entropy under a penalty: logits θ_b of n outcomes with values x_i evenly spread over
// [−1, 1], p = softmax(θ_b), and
//
//	f_b = log n − H(p) + 10 (Σ_i p_i x_i − c_b)²,   c_b uniform on [−0.8, 0.8), θ_b = 0 at the start.
//
// The loss is the mean over the batch, and each function has its own gradient: B times that of the loss (see Scaled). Package lagrange
// turns the penalty into a constraint.
type MaxEnt struct {
	// Dims is n; 0 means 6.
	Dims int
	// Batch is B; 0 means 32.
	Batch int
}

var _ optimizer.Family = MaxEnt{}

func (m MaxEnt) options() Options {
	return Options{Dims: m.Dims, Batch: m.Batch}.withDefaults(entropies)
}

// Validate reports the first mistake in the configuration.
func (m MaxEnt) Validate() error { return m.options().validateSolved("maxent", 2, 1<<14) }

// Name implements optimizer.Family.
func (m MaxEnt) Name() string { return m.options().lists().words("maxent", entropies) }

// Sample implements optimizer.Family.
func (m MaxEnt) Sample(rng *rand.Rand) (optimizer.Problem, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	o := m.options()
	n := o.Dims
	values := make([]float64, n)
	for i := range values {
		values[i] = -1 + 2*float64(i)/float64(n-1)
	}
	problems := make([]lagrange.MaximumEntropy, o.Batch)
	for b := range problems {
		problems[b] = lagrange.MaximumEntropy{Functions: [][]float64{values}, Target: []float64{1.6*rng.Float64() - 0.8}}
	}
	p := &solved{layout: rows(o.Batch, n), start: make([]float32, o.Batch*n)}
	x, g, c := make([]float64, n), make([]float64, n), make([]float64, 1)
	const penalty = 20 // ρ/2 = 10
	p.loss = func(theta, grad []float32, _ *rand.Rand) (float64, error) {
		loss := 0.0
		for b := range problems {
			for i, v := range theta[b*n : b*n+n] {
				x[i] = float64(v)
			}
			f := problems[b].Value(c, x)
			loss += (math.Log(float64(n)) + f + penalty/2*c[0]*c[0]) / float64(o.Batch)
			c[0] *= penalty
			problems[b].Gradient(g, x, c)
			for i, v := range g {
				grad[b*n+i] = float32(v)
			}
		}
		return loss, nil
	}
	return &sideBySide{p, float64(o.Batch)}, nil
}

// sideBySide is a solved problem of many functions, each with its own gradient.
type sideBySide struct {
	*solved
	count float64
}

var _ Scaled = (*sideBySide)(nil)

// GradientScale implements Scaled.
func (p *sideBySide) GradientScale() float64 { return p.count }

// Denoising trains the matrix D of a layer that denoises signals of n numbers (package denoising), from total variation with λ = 4. The loss is the
// mean square error of a minibatch of new signals, in units of the noise's variance.
type Denoising struct {
	// Dims is n; 0 means 20. The paper's signals have 100.
	Dims int
	// Batch is the number of signals of a minibatch; 0 means 8.
	Batch int
}

var _ optimizer.Family = Denoising{}

func (d Denoising) options() Options {
	return Options{Dims: d.Dims, Batch: d.Batch}.withDefaults(signals)
}

// Validate reports the first mistake in the configuration.
func (d Denoising) Validate() error { return d.options().validateSolved("denoising", 2, 500) }

// Name implements optimizer.Family.
func (d Denoising) Name() string { return d.options().lists().words("denoising", signals) }

// Sample implements optimizer.Family.
func (d Denoising) Sample(rng *rand.Rand) (optimizer.Problem, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	o := d.options()
	layer := &denoising.Layer{N: o.Dims}
	p := &solved{layout: layer.Layout(), start: make([]float32, layer.Layout().Len()), seed: rng.Uint64()}
	layer.Differences(p.start, 4)
	batch := make([]denoising.Signal, o.Batch)
	const variance = 100
	p.loss = func(theta, grad []float32, data *rand.Rand) (float64, error) {
		for i := range batch {
			batch[i] = denoising.Draw(data, o.Dims)
		}
		loss, err := layer.LossGrad(theta, grad, batch)
		for i := range grad {
			grad[i] /= variance
		}
		return loss / variance, err
	}
	return p, nil
}

// Sudoku trains OptNet's layer (package sudoku) on 4×4 puzzles with one solution, whose grids are four fifths of all. The loss is the mean
// square error of a minibatch of new puzzles.
type Sudoku struct {
	// Batch is the number of puzzles of a minibatch; 0 means 32.
	Batch int
}

var _ optimizer.Family = Sudoku{}

func (s Sudoku) options() Options { return Options{Batch: s.Batch}.withDefaults(puzzles) }

// Validate reports the first mistake in the configuration.
func (s Sudoku) Validate() error {
	o := s.options()
	o.Dims = 1
	return o.validateSolved("sudoku", 1, 1)
}

// Name implements optimizer.Family.
func (s Sudoku) Name() string { return s.options().lists().words("sudoku", puzzles) }

// Sample implements optimizer.Family.
func (s Sudoku) Sample(rng *rand.Rand) (optimizer.Problem, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	o := s.options()
	layer := sudoku.NewLayer()
	p := &solved{layout: layer.Layout(), start: make([]float32, layer.Layout().Len()), seed: rng.Uint64()}
	layer.Init(rng, p.start)
	grids := sudoku.Grids()
	rng.Shuffle(len(grids), func(i, j int) { grids[i], grids[j] = grids[j], grids[i] })
	grids = grids[len(grids)/5:]
	batch := make([]sudoku.Puzzle, o.Batch)
	p.loss = func(theta, grad []float32, data *rand.Rand) (float64, error) {
		for i := range batch {
			batch[i] = sudoku.Pluck(data, grids[data.IntN(len(grids))], 4+data.IntN(5))
		}
		return layer.LossGrad(theta, grad, batch)
	}
	return p, nil
}
