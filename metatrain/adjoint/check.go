package adjoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"

	"learnedopt/compare"
	"learnedopt/internal/stream"
	"learnedopt/lstm"
	"learnedopt/metatrain"
	"learnedopt/optimizer"
)

// A CheckConfig says which meta-gradients to compare. Of its fields only Family
// and Network have no default.
type CheckConfig struct {
	// Family draws the problems: episode e gets the stream (Seed, "check", e).
	Family optimizer.Family
	// Network is the optimizer at whose φ the gradients are taken.
	Network *lstm.Network
	// Steps is the length T of an episode. Default 100.
	Steps int
	// Unrolls are the window lengths K to compare; each must divide T, and T itself
	// is added where it is missing. Default: those of 1, 5, 10, 20, 50 and 100
	// that divide T.
	Unrolls []int
	// Episodes is the number of episodes that the gradients are summed over. Default 1.
	Episodes int
	// Differences takes second derivatives by central differences of gradients also where problems offer
	// exact ones. Default false.
	Differences bool
	// Seed fixes everything random.
	Seed uint64
	// Progress, if set, is called after each gradient.
	Progress func(done, total int)
}

// WithDefaults returns cfg with its defaults filled in: Unrolls then ascends to T.
func (cfg CheckConfig) WithDefaults() CheckConfig {
	if cfg.Steps == 0 {
		cfg.Steps = 100
	}
	if cfg.Episodes == 0 {
		cfg.Episodes = 1
	}
	unrolls := append([]int(nil), cfg.Unrolls...)
	if len(unrolls) == 0 {
		for _, k := range []int{1, 5, 10, 20, 50, 100} {
			if cfg.Steps%k == 0 {
				unrolls = append(unrolls, k)
			}
		}
	}
	unrolls = append(unrolls, cfg.Steps)
	slices.Sort(unrolls)
	cfg.Unrolls = slices.Compact(unrolls)
	return cfg
}

// Validate says what is wrong with cfg, after its defaults are filled in.
func (cfg CheckConfig) Validate() error {
	cfg = cfg.WithDefaults()
	switch {
	case cfg.Family == nil:
		return errors.New("adjoint: no family of problems to take gradients on")
	case cfg.Network == nil:
		return errors.New("adjoint: no network to take gradients of")
	case cfg.Steps < 0 || cfg.Episodes < 0:
		return fmt.Errorf("adjoint: %d steps in %d episodes; both must be positive", cfg.Steps, cfg.Episodes)
	}
	for _, k := range cfg.Unrolls {
		if k < 1 || cfg.Steps%k != 0 {
			return fmt.Errorf("adjoint: %d steps are not a whole number of windows of %d; choose steps divisible by unroll", cfg.Steps, k)
		}
	}
	return nil
}

// Check measures how far truncated meta-gradients are from the whole one. With φ
// held fixed over all episodes it computes by metatrain.TruncatedBackprop, for every
// unroll length K and both without and with second derivatives, the gradient
//
//	d(K) = Σ_windows dL_window/dφ,   L_window = Σ_{t=1..K} f_t(θ_t),
//
// summed over the T/K windows of an episode and over episodes, and compares each
// with the gradient of the whole meta-loss: K = T with second derivatives. That one
// is computed once more from a start moved by little more than rounding, which
// tells whether it is worth comparing with. An episode of which a loss, an update or a gradient is not finite is left out and
// counted; if none is left the error wraps the first's *optimizer.DivergedError.
//
// Memory: with second derivatives T states and 2T gradients, of n coordinates each.
// Time: as many unrolls of T steps as there are gradients, (2·len(Unrolls)+1)·Episodes.
// Where the problem does not offer exact products of its Hessian (optimizer.Curvature), they are
// central differences of float32 gradients (docs/truncation.md says what that is worth).
func Check(ctx context.Context, cfg CheckConfig) (*Report, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.WithDefaults()
	c := &checker{cfg: cfg, total: (2*len(cfg.Unrolls) + 1) * cfg.Episodes}
	c.firstOrder, c.second = metatrain.TruncatedBackprop{}, metatrain.TruncatedBackprop{SecondDerivatives: true, Differences: cfg.Differences}
	var episodes []gradients
	var first error
	for e := range cfg.Episodes {
		gs, err := c.episode(ctx, e)
		var diverged *optimizer.DivergedError
		if errors.As(err, &diverged) {
			if first == nil {
				first = fmt.Errorf("adjoint: no episode of %s stayed finite, the first being episode %d: %w", cfg.Family.Name(), e, err)
			}
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("adjoint: episode %d of %s: %w", e, cfg.Family.Name(), err)
		}
		episodes = append(episodes, gs)
	}
	if len(episodes) == 0 {
		return nil, first
	}
	return newReport(cfg, episodes), nil
}

// nudge is how far the second start is from the first in every coordinate, as a
// part of the largest: eight times float32's ε.
const nudge = 1. / (1 << 20)

// gradients are those of one episode: for each K without and with second
// derivatives, and the last of these from a nudged start.
type gradients struct {
	firstOrder, second [][]float64
	nudged             []float64
}

type checker struct {
	cfg                CheckConfig
	firstOrder, second metatrain.TruncatedBackprop
	work               metatrain.Workspace
	done, total        int
}

// episode computes all gradients of one episode. Runs of one problem from its
// beginning are the same, as problems are functions of the step.
func (c *checker) episode(ctx context.Context, e int) (gradients, error) {
	problem, err := c.cfg.Family.Sample(stream.New(c.cfg.Seed, "check", uint64(e)))
	if err != nil {
		return gradients{}, err
	}
	gs, err := c.all(ctx, problem, e)
	if closer, ok := problem.(io.Closer); ok {
		err = errors.Join(err, closer.Close())
	}
	c.progress((e+1)*(2*len(c.cfg.Unrolls)+1) - c.done) // those that a divergence made needless
	return gs, err
}

func (c *checker) all(ctx context.Context, problem optimizer.Problem, e int) (gs gradients, err error) {
	take := func(estimator metatrain.Estimator, k int, rng *rand.Rand) (d []float64) {
		if err == nil {
			d, err = c.gradient(ctx, estimator, problem, k, rng)
		}
		if err == nil {
			c.progress(1)
		}
		return d
	}
	for _, k := range c.cfg.Unrolls {
		gs.firstOrder = append(gs.firstOrder, take(c.firstOrder, k, nil))
		gs.second = append(gs.second, take(c.second, k, nil))
	}
	gs.nudged = take(c.second, c.cfg.Steps, stream.New(c.cfg.Seed, "nudge", uint64(e)))
	return gs, err
}

// gradient is d(K) of one episode, from a nudged start if there is an rng.
func (c *checker) gradient(ctx context.Context, estimator metatrain.Estimator, problem optimizer.Problem, k int, rng *rand.Rand) ([]float64, error) {
	ep := metatrain.NewEpisode(c.cfg.Network, problem)
	ep.Workspace = &c.work
	if rng != nil {
		move(ep.Theta, rng)
	}
	dphi := make([]float64, len(c.cfg.Network.Params()))
	for ep.Step < c.cfg.Steps {
		w, err := estimator.Estimate(ctx, dphi, ep, k)
		if err != nil {
			return nil, err
		}
		if w.Diverged != nil {
			return nil, w.Diverged
		}
	}
	for i, d := range dphi {
		if !compare.Number(d).Finite() {
			return nil, &optimizer.DivergedError{Step: ep.Step, What: "meta-gradient", Coordinate: i, Value: d}
		}
	}
	return dphi, nil
}

// move adds the nudge, with random signs. A start at 0 moves as one of size 1.
func move(theta []float32, rng *rand.Rand) {
	largest := float32(0)
	for _, x := range theta {
		largest = max(largest, x, -x)
	}
	if largest == 0 {
		largest = 1
	}
	for i := range theta {
		theta[i] += nudge * largest * float32(2*rng.IntN(2)-1)
	}
}

func (c *checker) progress(n int) {
	for range n {
		c.done++
		if c.cfg.Progress != nil {
			c.cfg.Progress(c.done, c.total)
		}
	}
}
