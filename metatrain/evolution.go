package metatrain

import (
	"context"
	"fmt"
	"math"

	"learnedopt/internal/saved"
	"learnedopt/internal/stream"
	"learnedopt/lstm"
)

// ES estimates the gradient of a window's smoothed objective by antithetic evolution strategies (Salimans et al.
// 2017, arXiv:1703.03864). With perturbation σ and P pairs,
//
//	ĝ = 1/P Σ_p ε_p (L(φ+ε_p) − L(φ−ε_p))/(2σ²),   ε_p ~ N(0, σ²I) fresh in each window.
//
// All sides start at the episode's present state and see the same data. Then the episode itself takes the window with
// φ, and its losses are the window's losses. ES takes 2P+1 unrolls and no backward pass. It treats θ and s at the
// window's start as constants, so truncation biases it as it biases TruncatedBackprop.
type ES struct {
	// Perturbation is σ. Default 0.01.
	Perturbation float64
	// Pairs is P. Default 1.
	Pairs int
	// Objective is L. Default Sum.
	Objective Objective
}

// PES is persistent evolution strategies (Vicol et al. 2021, arXiv:2112.13835). It is ES whose 2P sides continue
// through the whole episode. Each pair p keeps the sum ξ_p of all its perturbations since the episode began,
//
//	ξ_p += ε_p,   ĝ = 1/P Σ_p ξ_p (L_p⁺ − L_p⁻)/(2σ²).
//
// The estimates of an episode's windows add up to an unbiased estimate of the gradient of the whole episode's
// smoothed objective: there is no truncation bias. The price is variance, which grows with the number of windows.
// PES takes 2P unrolls, and memory for 2P trajectories. The window's losses are the means over all sides. The
// episode itself is the + side of the first pair, and its Memory holds the other sides and ξ. If another estimator
// took the episode's last steps, PES begins anew at the present step.
type PES struct {
	// Perturbation is σ. Default 0.01.
	Perturbation float64
	// Pairs is P. Default 1.
	Pairs int
	// Objective is L. Default Sum.
	Objective Objective
}

var (
	_ Estimator = ES{}
	_ Estimator = PES{}
)

// Validate returns an error if a setting is out of range.
func (es ES) Validate() error { return validateEvolution(es.Perturbation, es.Pairs, es.Objective) }

// Validate returns an error if a setting is out of range.
func (pes PES) Validate() error { return validateEvolution(pes.Perturbation, pes.Pairs, pes.Objective) }

func validateEvolution(sigma float64, pairs int, objective Objective) error {
	if !(sigma >= 0) || math.IsInf(sigma, 0) || pairs < 0 {
		return fmt.Errorf("metatrain: %d pairs with a perturbation of %v; both must be positive", pairs, sigma)
	}
	return validate(objective)
}

// Start implements Estimator. It returns nil: a window needs nothing from earlier windows.
func (ES) Start(*Episode) Memory { return nil }

// Estimate implements Estimator.
func (es ES) Estimate(ctx context.Context, dphi []float64, ep *Episode, k int) (Window, error) {
	if err := es.Validate(); err != nil {
		return Window{}, err
	}
	m, pairs := &ep.workspace().evolution, max(es.Pairs, 1)
	m.begin(ep, k, es.Perturbation)
	if m.side == nil || !m.side.fits(ep) {
		m.side = ep.fork()
	}
	for range pairs {
		m.draw()
		var value [2]float64
		for i, sign := range signs {
			m.side.copyFrom(ep)
			w, err := m.run(ctx, es.Objective, ep, m.side, sign, &value[i])
			if err != nil || w.Diverged != nil {
				return w, err
			}
		}
		m.add(m.epsilon, value, pairs)
	}
	ep.resume()
	w, err := ep.forward(ctx, k)
	if err != nil || w.Diverged != nil {
		return w, err
	}
	m.addTo(dphi)
	return w, nil
}

// Estimate implements Estimator.
func (pes PES) Estimate(ctx context.Context, dphi []float64, ep *Episode, k int) (Window, error) {
	if err := pes.Validate(); err != nil {
		return Window{}, err
	}
	m, pairs := &ep.workspace().evolution, max(pes.Pairs, 1)
	m.begin(ep, k, pes.Perturbation)
	own, ok := ep.Memory.(*pesMemory)
	if !ok || !own.belongsTo(ep, pairs) {
		own = pes.start(ep)
		ep.Memory = own
	}
	defer ep.State.SetNetwork(m.net)
	mean := Window{Losses: make([]float64, k+1)}
	for p, xi := range own.xi {
		m.draw()
		for i, e := range m.epsilon {
			xi[i] += e
		}
		var value [2]float64
		for i, sign := range signs {
			w, err := m.run(ctx, pes.Objective, ep, own.sides[2*p+i], sign, &value[i])
			if err != nil || w.Diverged != nil {
				return w, err
			}
			for t, f := range w.Losses {
				mean.Losses[t] += f / float64(2*pairs)
			}
		}
		m.add(xi, value, pairs)
	}
	ep.resume()
	m.addTo(dphi)
	return mean, nil
}

// pesMemory is the Memory of PES.
type pesMemory struct {
	sides []*Episode  // + and − of each pair in turn; the first is the episode itself
	xi    [][]float64 // ξ of each pair
}

// Start implements Estimator. All sides start at the episode's present state.
func (pes PES) Start(ep *Episode) Memory { return pes.start(ep) }

func (pes PES) start(ep *Episode) *pesMemory {
	work, pairs, size := ep.workspace(), max(pes.Pairs, 1), ep.State.Network().Size()
	if m := work.pes; m != nil && len(m.xi) == pairs && len(m.xi[0]) == size && m.sides[1].fits(ep) {
		work.pes = nil
		m.sides[0] = ep
		for _, side := range m.sides[1:] {
			side.copyFrom(ep)
		}
		for _, xi := range m.xi {
			clear(xi)
		}
		return m
	}
	m := &pesMemory{sides: []*Episode{ep}}
	for range pairs {
		m.xi = append(m.xi, make([]float64, size))
		for len(m.sides) < 2*len(m.xi) {
			m.sides = append(m.sides, ep.fork())
		}
	}
	return m
}

// belongsTo says whether the memory has the given number of pairs, and its sides are at the same step of the same
// episode.
func (m *pesMemory) belongsTo(ep *Episode, pairs int) bool {
	return len(m.xi) == pairs && m.sides[0] == ep && m.sides[1].Step == ep.Step
}

// pesForm is the version of pesMemory's binary form: the number of pairs, each pair's ξ, then all sides except the
// first, which is the episode itself.
const pesForm = 1

// MarshalBinary implements encoding.BinaryMarshaler.
func (m *pesMemory) MarshalBinary() ([]byte, error) {
	w := saved.NewWriter("pes", pesForm)
	w.Int(len(m.xi))
	for _, xi := range m.xi {
		w.Floats64(xi)
	}
	for _, side := range m.sides[1:] {
		w.State(side)
	}
	return w.Bytes()
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (m *pesMemory) UnmarshalBinary(data []byte) error {
	r := saved.NewReader(data, "pes", pesForm)
	r.Same("pairs", len(m.xi))
	for _, xi := range m.xi {
		if copy(xi, r.Floats64(len(xi))) < len(xi) {
			r.Fail(errShort)
		}
	}
	for _, side := range m.sides[1:] {
		r.State(side)
		if r.Err() == nil && side.Step != m.sides[0].Step {
			r.Fail(fmt.Errorf("sides of PES at steps %d and %d", m.sides[0].Step, side.Step))
		}
	}
	return r.Close()
}

// signs are the signs of ε on the two sides of a pair.
var signs = [2]float64{1, -1}

// evolution is the working memory of an estimate from perturbed unrolls.
type evolution struct {
	net     *lstm.Network // the network with the present φ
	first   int           // the step at the window's start
	k       int
	sigma   float64
	normal  func() float64
	phi     []float32
	moved   []float32 // φ ± ε
	epsilon []float64
	sum     []float64 // the estimate so far
	weights []float64
	side    *Episode // the perturbed copy of the episode; only ES uses it
}

// begin prepares the memory for a window of k steps of the episode.
func (m *evolution) begin(ep *Episode, k int, sigma float64) {
	if sigma == 0 {
		sigma = 0.01
	}
	m.net, m.first, m.k, m.sigma = ep.State.Network(), ep.Step, k, sigma
	m.phi = m.net.Params()
	m.normal = stream.New(ep.Seed, "perturbation", uint64(ep.Step)).NormFloat64
	if len(m.epsilon) != len(m.phi) {
		m.moved = make([]float32, len(m.phi))
		m.epsilon, m.sum = make([]float64, len(m.phi)), make([]float64, len(m.phi))
	}
	clear(m.sum)
	if len(m.weights) < k {
		m.weights = make([]float64, k)
	}
}

// draw draws the ε of the next pair.
func (m *evolution) draw() {
	for i := range m.epsilon {
		m.epsilon[i] = m.sigma * m.normal()
	}
}

// run unrolls a side of the episode with φ ± ε, and writes its objective to value.
func (m *evolution) run(ctx context.Context, o Objective, ep, side *Episode, sign float64, value *float64) (Window, error) {
	for i, e := range m.epsilon {
		m.moved[i] = float32(float64(m.phi[i]) + sign*e)
	}
	side.State.SetNetwork(m.net.With(m.moved))
	side.resume()
	w, err := side.forward(ctx, m.k)
	if err != nil || w.Diverged != nil {
		return w, err
	}
	*value, err = weigh(ctx, o, m.weights[:m.k], ep, m.first, &w)
	return w, err
}

// add adds a pair's share to the estimate.
func (m *evolution) add(xi []float64, value [2]float64, pairs int) {
	scale := (value[0] - value[1]) / (2 * m.sigma * m.sigma * float64(pairs))
	for i, x := range xi {
		m.sum[i] += scale * x
	}
}

func (m *evolution) addTo(dphi []float64) {
	for i, d := range m.sum {
		dphi[i] += d
	}
}
