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

// A CheckConfig says which meta-gradients to compare. Family and Network must be set; all other fields have defaults.
type CheckConfig struct {
	// Family draws the problems: episode e is drawn from the stream (Seed, "check", e).
	Family optimizer.Family
	// Network is the optimizer whose meta-gradients are compared.
	Network *lstm.Network
	// Steps is the length T of an episode. Default 100.
	Steps int
	// Unrolls are the window lengths K to compare. Each must divide T. T itself is added if it is missing. Default:
	// the divisors of T among 1, 5, 10, 20, 50 and 100.
	Unrolls []int
	// Episodes is the number of episodes over which the gradients are summed. Default 1.
	Episodes int
	// Differences computes second derivatives as central differences of gradients, even if problems offer exact
	// products. Default false.
	Differences bool
	// Seed determines everything random.
	Seed uint64
	// Progress, if set, is called after each gradient.
	Progress func(done, total int)
}

// WithDefaults returns cfg with its defaults filled in. Unrolls then ascends and ends with T.
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

// Validate returns an error if cfg, with its defaults filled in, is invalid.
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

// Check measures how much truncated meta-gradients differ from the whole meta-gradient. φ is the same for all episodes.
// For every unroll length K, both without and with second derivatives, metatrain.TruncatedBackprop computes
//
//	d(K) = Σ_windows dL_window/dφ,   L_window = Σ_{t=1..K} f_t(θ_t),
//
// summed over the T/K windows of an episode and over episodes. Each d(K) is compared with the whole meta-gradient: K = T
// with second derivatives. The whole meta-gradient is also computed from a start that is moved by little more than
// rounding. This shows whether it is stable enough for a comparison. An episode with a non-finite loss, update or gradient
// is left out and counted. If no episode is left, the error wraps the *optimizer.DivergedError of the first episode.
//
// Memory: with second derivatives, T states and 2T gradients, of n coordinates each.
// Time: one unroll of T steps for each gradient, (2·len(Unrolls)+1)·Episodes in total.
// If the problem does not offer exact Hessian-vector products (optimizer.Curvature), they are central differences of
// float32 gradients (see docs/truncation.md for their accuracy).
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

// nudge is the distance of the moved start from the original start in every coordinate, relative to the largest
// coordinate: eight times float32's ε.
const nudge = 1. / (1 << 20)

// gradients holds the gradients of one episode: for each K without and with second derivatives, and the whole gradient
// from a nudged start.
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

// episode computes all gradients of one episode on the same problem. All runs see the same data, because a problem's data
// depend only on the step.
func (c *checker) episode(ctx context.Context, e int) (gradients, error) {
	problem, err := c.cfg.Family.Sample(stream.New(c.cfg.Seed, "check", uint64(e)))
	if err != nil {
		return gradients{}, err
	}
	gs, err := c.all(ctx, problem, e)
	if closer, ok := problem.(io.Closer); ok {
		err = errors.Join(err, closer.Close())
	}
	c.progress((e+1)*(2*len(c.cfg.Unrolls)+1) - c.done) // count the gradients that were skipped after a divergence
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

// gradient is d(K) of one episode. If rng is not nil, the start is nudged.
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

// move adds the nudge to theta, with random signs. For a start at 0, the largest coordinate counts as 1.
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
