package adjoint_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"learnedopt/lstm"
	"learnedopt/metatrain"
	"learnedopt/metatrain/adjoint"
)

// configs cover every kind of inputs and every read-out, alone and together, with and without a dense layer and LSTM
// layers. With p = 1 or 2, LogAndSign clips some gradients and not others.
var configs = []lstm.Config{
	{Hidden: 3, Scale: 0.5},
	{Hidden: 3, Inputs: lstm.LogAndSign, P: 1, Scale: 0.5, Readout: lstm.Tanh},
	{Hidden: 3, Inputs: lstm.Raw, Layers: 1, Scale: 1},
	{Hidden: 3, Inputs: lstm.Raw, Readout: lstm.Tanh, Scale: 0.5},
	{Hidden: 3, Inputs: lstm.RNNProp, Scale: 0.5, Anneal: 2},
	{Hidden: 3, Inputs: lstm.RNNProp, Readout: lstm.Tanh, Scale: 0.5},
	{Hidden: 2, Layers: 3, Inputs: lstm.Raw | lstm.LogAndSign | lstm.RNNProp, P: 2, Scale: 0.5},
	{Hidden: 3, Dense: 4, Inputs: lstm.RNNProp, Readout: lstm.Tanh, Scale: 0.5},
	{Hidden: 3, Layers: 1, Dense: 3, Inputs: lstm.Raw | lstm.LogAndSign, P: 1, Scale: 0.5},
	{NoLSTM: true, Inputs: lstm.Raw | lstm.LogAndSign, P: 2, Scale: 0.5},
	{NoLSTM: true, Dense: 3, Inputs: lstm.RNNProp | lstm.Raw, Readout: lstm.Tanh, Scale: 0.5},
}

func name(cfg lstm.Config) string {
	cfg = cfg.WithDefaults()
	return fmt.Sprintf("%v-%dx%d-dense%d-%v", cfg.Inputs, cfg.Layers, cfg.Hidden, cfg.Dense, cfg.Readout)
}

const steps = 6

// setting is an unroll that the oracle, lstm.Reference and the estimator can all run.
type setting struct {
	net     *lstm.Network
	start   []float32
	weights []float64 // weights of one window, repeated; nil means all 1
	k       int       // length of a truncated window
}

func settings(t *testing.T, cfg lstm.Config) []setting {
	t.Helper()
	rng := rand.New(rand.NewPCG(11, 0))
	net, err := lstm.Init{}.Random(cfg, rng)
	if err != nil {
		t.Fatal(err)
	}
	phi := net.Params() // enlarged, so that updates depend strongly on gradients
	for i := range phi {
		phi[i] *= 1.5
	}
	net = net.With(phi)
	return []setting{
		{net, []float32{0.75, -0.5}, nil, 2},
		{net, []float32{-0.25, 0.875, 0.0625}, []float64{1, 0.5, 2}, 3},
	}
}

// weightsOf returns the weights of k steps.
func (s setting) weightsOf(k int) []float64 {
	if s.weights == nil {
		return nil
	}
	var w []float64
	for t := range k {
		w = append(w, s.weights[t%len(s.weights)])
	}
	return w
}

func (s setting) problem() adjoint.Problem {
	return adjoint.Problem{
		Network: s.net.Config(), Phi: widen(s.net.Params()), Loss: loss, Theta0: widen(s.start),
		Steps: steps, Weights: s.weightsOf(steps),
	}
}

// modes are the four masks.
func (s setting) modes() map[string]adjoint.Mask {
	return map[string]adjoint.Mask{
		"second derivatives":            {},
		"first order":                   {FirstOrder: true},
		"second derivatives, truncated": {Unroll: s.k},
		"first order, truncated":        {FirstOrder: true, Unroll: s.k},
	}
}

// reference computes dL/dφ in float64 with lstm's adjoint, window by window.
func (s setting) reference(t *testing.T, m adjoint.Mask) []float64 {
	t.Helper()
	ref, err := lstm.NewReference(s.net.Config(), widen(s.net.Params()))
	if err != nil {
		t.Fatal(err)
	}
	k, n := m.Unroll, len(s.start)
	if k == 0 {
		k = steps
	}
	w := s.weightsOf(k)
	weight := func(i int) float64 {
		if w == nil {
			return 1
		}
		return w[i-1]
	}
	theta, u, state := widen(s.start), make([]float64, n), ref.NewState(n)
	dphi := make([]float64, len(s.net.Params()))
	var back lstm.ReferenceAdjoint
	for first := 0; first < steps; first += k {
		var states []*lstm.ReferenceState
		var thetas, grads [][]float64
		for i := range k + 1 {
			g := make([]float64, n)
			lossGrad(first+i, theta, g)
			states, grads, thetas = append(states, state.Clone()), append(grads, g), append(thetas, append([]float64(nil), theta...))
			if i == k {
				break
			}
			state.Update(u, g)
			for j := range theta {
				theta[j] += u[j]
			}
		}
		if m.FirstOrder {
			back.Unroll(dphi, states[0], grads, nil, w)
			continue
		}
		mu, lambda, v, hv := ref.NewState(n), make([]float64, n), make([]float64, n), make([]float64, n)
		for i := k; i > 0; i-- {
			for j, g := range grads[i] {
				lambda[j] += weight(i)*g + hv[j]
			}
			back.Step(dphi, states[i-1], grads[i-1], nil, lambda, mu, v)
			hessianVector(first+i-1, hv, thetas[i-1], v)
		}
	}
	return dphi
}

// weighted is L = Σ w_t f(θ_t), the same in every window.
type weighted []float64

func (w weighted) Weigh(_ context.Context, weights []float64, _ *metatrain.Episode, _ int, losses []float64) (float64, error) {
	sum := 0.0
	for t, f := range losses {
		weights[t] = w[t]
		sum += w[t] * f
	}
	return sum, nil
}

// engine computes dL/dφ in float32 with metatrain.TruncatedBackprop.
func (s setting) engine(t *testing.T, m adjoint.Mask) []float64 {
	t.Helper()
	k := m.Unroll
	if k == 0 {
		k = steps
	}
	ep := metatrain.NewEpisode(s.net, &quartic{start: s.start})
	tb := &metatrain.TruncatedBackprop{SecondDerivatives: !m.FirstOrder}
	if w := s.weightsOf(k); w != nil {
		tb.Objective = weighted(w)
	}
	dphi := make([]float64, len(s.net.Params()))
	for range steps / k {
		if w, err := tb.Estimate(t.Context(), dphi, ep, k); err != nil || w.Diverged != nil {
			t.Fatal(err, w.Diverged)
		}
	}
	return dphi
}

// TestMasksAreModes: four masks on one matrix give the four modes of the estimator. The measured rounding error is 1e-15 of
// the gradient in float64, and 3.4e-7 in float32, whose ε is 1e-7. A hundred float32 operations may give up to 1e-5, which
// is the tolerance. The modes differ from each other by at least ten times as much.
func TestMasksAreModes(t *testing.T) {
	for _, cfg := range configs {
		t.Run(name(cfg), func(t *testing.T) {
			for _, s := range settings(t, cfg) {
				sys, err := adjoint.Assemble(s.problem())
				if err != nil {
					t.Fatal(err)
				}
				gradients := map[string][]float64{}
				for mode, mask := range s.modes() {
					solution, err := sys.Solve(mask)
					if err != nil {
						t.Fatal(err)
					}
					gradients[mode] = solution.Gradient
					if d := distance(s.reference(t, mask), solution.Gradient); !(d <= 1e-10) {
						t.Errorf("%d unknowns, %s: the float64 engine is %.2g away", sys.Unknowns(), mode, d)
					}
					if d := distance(s.engine(t, mask), solution.Gradient); !(d <= 1e-5) {
						t.Errorf("%d unknowns, %s: the float32 engine is %.2g away", sys.Unknowns(), mode, d)
					}
				}
				for a := range gradients {
					for b := range gradients {
						if d := distance(gradients[a], gradients[b]); a != b && d < 1e-4 {
							t.Errorf("%s and %s differ by %.2g only: the test is blind", a, b, d)
						}
					}
				}
			}
		})
	}
}

// TestFullMaskAgainstDifferences: without a mask the solution is the gradient of the loss itself. The loss and its third
// derivatives are O(10), and the gradient is O(1). So central differences with step 1e-5 have a relative truncation error
// of 1e-9 and a relative rounding error of 1e-10.
func TestFullMaskAgainstDifferences(t *testing.T) {
	for _, cfg := range configs {
		t.Run(name(cfg), func(t *testing.T) {
			for _, s := range settings(t, cfg) {
				p := s.problem()
				sys, err := adjoint.Assemble(p)
				if err != nil {
					t.Fatal(err)
				}
				solution, err := sys.Solve(adjoint.Mask{})
				if err != nil {
					t.Fatal(err)
				}
				if d := distance(solution.Gradient, differences(t, p, 0)); !(d <= 1e-7) {
					t.Errorf("%d unknowns: %.2g from central differences", sys.Unknowns(), d)
				}
			}
		})
	}
}

// differences are the central differences of metaLoss.
func differences(t *testing.T, p adjoint.Problem, quiet int) []float64 {
	t.Helper()
	const h = 1e-5
	d := make([]float64, len(p.Phi))
	for i, at := range p.Phi {
		p.Phi[i] = at + h
		above := metaLoss(t, p, quiet)
		p.Phi[i] = at - h
		d[i] = (above - metaLoss(t, p, quiet)) / (2 * h)
		p.Phi[i] = at
	}
	return d
}

// metaLoss is Σ w_t f_t(θ_t), computed with lstm.Reference, where f_t = 0 for t < quiet.
func metaLoss(t *testing.T, p adjoint.Problem, quiet int) float64 {
	t.Helper()
	ref, err := lstm.NewReference(p.Network, p.Phi)
	if err != nil {
		t.Fatal(err)
	}
	n, sum := len(p.Theta0), 0.0
	theta, u, g, state := append([]float64(nil), p.Theta0...), make([]float64, n), make([]float64, n), ref.NewState(n)
	for k := range p.Steps + 1 {
		f := lossGrad(k, theta, g)
		if k < quiet {
			f, g = 0, make([]float64, n)
		}
		if k > 0 && p.Weights != nil {
			f *= p.Weights[k-1]
		}
		if k > 0 {
			sum += f
		}
		state.Update(u, g)
		for i := range theta {
			theta[i] += u[i]
		}
	}
	return sum
}
