package policy

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"learnedopt/internal/gemm/mlp"
	"learnedopt/internal/precondition"
	"learnedopt/optimizer"
)

// A Network is a policy: a multilayer perceptron with tanh in its hidden layers, whose outputs are the logits of the actions.
type Network struct {
	Observations, Actions int
	// Hidden holds the units of the hidden layers.
	Hidden []int
}

func (n Network) widths() []int {
	return slices.Concat([]int{n.Observations}, n.Hidden, []int{n.Actions})
}

// Validate returns an error unless all widths are positive.
func (n Network) Validate() error {
	if slices.Min(n.widths()) < 1 || n.Actions < 2 {
		return fmt.Errorf("policy: network: widths %d; want at least 1 observation, 2 actions and 1 unit in each hidden layer", n.widths())
	}
	return nil
}

// Layout returns the tensors of θ: W and b of each layer, W inputs × outputs.
func (n Network) Layout() optimizer.Layout {
	var tensors []optimizer.Tensor
	w := n.widths()
	for l, in := range w[:len(w)-1] {
		tensors = append(tensors, optimizer.Tensor{Name: fmt.Sprintf("W%d", l+1), Shape: []int{in, w[l+1]}, Kind: optimizer.Matrix, OutputAxis: 1},
			optimizer.Tensor{Name: fmt.Sprintf("b%d", l+1), Shape: []int{w[l+1]}, Kind: optimizer.Bias})
	}
	layout, err := optimizer.NewLayout(tensors...)
	if err != nil {
		panic(err)
	}
	return layout
}

// Init draws weights by Glorot and Bengio 2010, those of the last layer a hundredth of that, so that the policy starts near the uniform
// one; biases are 0.
func (n Network) Init(theta []float32, rng *rand.Rand) {
	layout := n.Layout()
	precondition.Length("policy", "theta", theta, layout.Len())
	clear(theta)
	tensors := layout.Tensors()
	for l, t := range tensors {
		if t.Outputs() == 0 {
			continue
		}
		scale := math.Sqrt(6 / float64(t.Inputs()+t.Outputs()))
		if l == len(tensors)-2 {
			scale /= 100
		}
		for i := range t.Len() {
			theta[t.From+i] = float32(scale * (2*rng.Float64() - 1))
		}
	}
}

func (n Network) curvature(rows int) *mlp.Curvature {
	tanh, _ := mlp.ActivationOf("tanh")
	return mlp.New(n.widths(), tanh, rows)
}

// A Surrogate is the problem of TRPO on N sampled steps (Schulman et al. 2015, equation 14):
//
//	f(θ') = −1/N Σ_i π_θ'(a_i|s_i)/π_θ(a_i|s_i) Â_i,   θ the parameters that sampled
//
// ∇f(θ) is the policy gradient, KL is the mean of KL(π_θ(·|s_i) ‖ π_θ'(·|s_i)) and the metric Fisher is its second derivative. It is
// the same function at every step. It belongs to one goroutine.
type Surrogate struct {
	network    Network
	start      []float32
	states     []float32
	actions    []int
	advantages []float64
	old        []float64 // log π_θ(a_i|s_i)
	at, tried  *mlp.Curvature
	moved      bool // whether at has a point
	logs, to   []float64
	labels     []float32
}

var (
	_ optimizer.Laid      = (*Surrogate)(nil)
	_ optimizer.Curvature = (*Surrogate)(nil)
	_ optimizer.Trier     = (*Surrogate)(nil)
)

// NewSurrogate returns the surrogate of N steps that the parameters theta sampled: N×F observations, the actions taken, and their advantages. The
// slices of states, actions and advantages are kept. Wrong lengths panic.
func NewSurrogate(n Network, theta, states []float32, actions []int, advantages []float64) *Surrogate {
	rows := len(actions)
	if rows == 0 || len(states) != rows*n.Observations || len(advantages) != rows {
		panic(errBatch)
	}
	s := &Surrogate{network: n, at: n.curvature(rows), tried: n.curvature(rows), logs: make([]float64, rows*n.Actions), to: make([]float64, rows*n.Actions), labels: make([]float32, rows*n.Actions)}
	s.Set(theta, states, actions, advantages)
	return s
}

// Set replaces the steps by as many others, as NewSurrogate does.
func (s *Surrogate) Set(theta, states []float32, actions []int, advantages []float64) {
	n := s.network
	precondition.Length("policy", "theta", theta, len(s.at.Theta()))
	if rows := len(s.labels) / n.Actions; len(actions) != rows || len(states) != rows*n.Observations || len(advantages) != rows {
		panic(errBatch)
	}
	s.start = slices.Clone(theta)
	s.states, s.actions, s.advantages, s.moved = states, actions, advantages, false
	s.old = s.old[:0]
	logSoftmax(s.logs, s.tried.Logits(theta, states), n.Actions)
	for i, a := range actions {
		if a < 0 || a >= n.Actions {
			panic(errAction)
		}
		s.old = append(s.old, s.logs[i*n.Actions+a])
	}
}

// Dim implements optimizer.Problem.
func (s *Surrogate) Dim() int { return len(s.at.Theta()) }

// Layout implements optimizer.Laid.
func (s *Surrogate) Layout() optimizer.Layout { return s.network.Layout() }

// Init implements optimizer.Problem: the parameters that sampled.
func (s *Surrogate) Init(theta []float32) {
	precondition.Length("policy", "theta", theta, s.Dim())
	copy(theta, s.start)
}

// loss returns f and the logarithms of π at θ.
func (s *Surrogate) loss(logs []float64, theta []float32) float64 {
	logSoftmax(logs, s.tried.Logits(theta, s.states), s.network.Actions)
	sum := 0.0
	for i, a := range s.actions {
		sum -= s.advantages[i] * math.Exp(logs[i*s.network.Actions+a]-s.old[i])
	}
	return sum / float64(len(s.actions))
}

// LossGrad implements optimizer.Problem.
func (s *Surrogate) LossGrad(theta, grad []float32) (float64, error) {
	precondition.Length("policy", "theta", theta, s.Dim())
	precondition.Length("policy", "grad", grad, s.Dim())
	loss, n := s.loss(s.logs, theta), s.network.Actions
	// The cross-entropy with labels y has the derivative π − y in the logits; here it is wÂ(π − e_a), w the ratio of probabilities.
	for i, a := range s.actions {
		weight := s.advantages[i] * math.Exp(s.logs[i*n+a]-s.old[i])
		for k := range n {
			p := math.Exp(s.logs[i*n+k])
			y := p - weight*p
			if k == a {
				y += weight
			}
			s.labels[i*n+k] = float32(y)
		}
	}
	s.at.Move(theta, s.states, s.labels)
	s.moved = true
	s.at.Gradient(grad)
	return loss, nil
}

// Metrics implements optimizer.Curvature.
func (s *Surrogate) Metrics() optimizer.Metric { return optimizer.Fisher }

// CurvatureProduct implements optimizer.Curvature.
func (s *Surrogate) CurvatureProduct(dst, theta, v []float32, metric optimizer.Metric, step int) error {
	precondition.Length("policy", "theta", theta, s.Dim())
	precondition.Length("policy", "dst", dst, s.Dim())
	precondition.Length("policy", "v", v, s.Dim())
	if metric != optimizer.Fisher {
		panic(errMetric)
	}
	if step < 0 {
		panic(errStep)
	}
	if !s.moved || !slices.Equal(s.at.Theta(), theta) {
		s.at.Move(theta, s.states, s.labels) // Fisher does not depend on the labels
		s.moved = true
	}
	s.at.Fisher(dst, v)
	return nil
}

// CanTry implements optimizer.Trier.
func (s *Surrogate) CanTry() bool { return true }

// Try implements optimizer.Trier.
func (s *Surrogate) Try(theta, to []float32, step int) (optimizer.Trial, error) {
	precondition.Length("policy", "theta", theta, s.Dim())
	precondition.Length("policy", "to", to, s.Dim())
	if step < 0 {
		panic(errStep)
	}
	before := s.loss(s.logs, theta)
	after := s.loss(s.to, to)
	kl := 0.0
	for i, l := range s.logs {
		if p := math.Exp(l); p > 0 {
			kl += p * (l - s.to[i])
		}
	}
	return optimizer.Trial{Change: after - before, KL: kl / float64(len(s.actions))}, nil
}
