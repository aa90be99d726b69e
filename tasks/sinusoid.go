package tasks

import (
	"fmt"
	"math"
	"math/rand/v2"

	"learnedopt/internal/gemm/mlp"
	"learnedopt/internal/precondition"
	"learnedopt/internal/stream"
	"learnedopt/optimizer"
)

// Sinusoid is the fit of a small network to a random smooth function, from which no data are drawn: all steps see the same B
// points, so that the gradient has no noise and the loss can go to 0. It is for problems that are no images: regression in few
// dimensions, curve fits, physics-informed networks. Finn et al. 2017 (arXiv:1703.03400, section 5.1) regress one sine wave; here
//
//	y(x) = Σ_{k=1..3} a_k sin(ω_k·x + φ_k),   a_k ~ N(0, 1), ω_k ~ N(0, 3² I/d), φ_k uniform on [0, 2π),
//	f(θ) = 1/B Σ_b (z(x_b) − y(x_b))²,         x_b uniform on [−1, 1)^d,
//
// where z is a multilayer perceptron with L hidden layers of H units and one output. θ holds the W (inputs×outputs) and the b of each
// layer.
type Sinusoid struct {
	// Dims is the number d of inputs; 0 means 1.
	Dims int
	// Units is H, 0 means 20; Layers is L, 0 means 1, and NoLayers makes a linear model.
	Units, Layers int
	// Activation is one of Activations; "" means "tanh".
	Activation string
	// Batch is the number B of points; 0 means 128.
	Batch int
	// WeightInit names the distribution of the initial weights: see WeightInits; "" means "glorot". InitScale is the
	// standard deviation if it is "normal"; 0 means 0.01. With any other WeightInit it must be 0.
	WeightInit string
	InitScale  float64
}

var _ optimizer.Family = Sinusoid{}

// given returns the configuration as options, without defaults.
func (s Sinusoid) given() Options {
	return Options{Dims: s.Dims, Units: s.Units, Layers: s.Layers, Activation: s.Activation, Batch: s.Batch, WeightInit: s.WeightInit, InitScale: s.InitScale}
}

// options returns the configuration with its defaults.
func (s Sinusoid) options() Options { return s.given().withDefaults(sinusoids) }

// Validate reports the first mistake in the configuration.
func (s Sinusoid) Validate() error {
	o := s.given()
	if d := s.options().Dims; d < 1 || d > 1<<14 {
		return fmt.Errorf("tasks: sinusoid: %d dimensions, want 1 to %d (0 means the default)", d, 1<<14)
	}
	if o.WeightInit == "" {
		o.WeightInit = s.options().WeightInit // with it InitScale has no effect
	}
	return o.validateNetwork(sinusoids)
}

// Name implements optimizer.Family.
func (s Sinusoid) Name() string { return s.options().lists().words("sinusoid", sinusoids) }

// Sample implements optimizer.Family.
func (s Sinusoid) Sample(rng *rand.Rand) (optimizer.Problem, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	o := s.options()
	widths := []int{o.Dims}
	for range o.Layers { // no time for NoLayers
		widths = append(widths, o.Units)
	}
	layout, err := optimizer.NewLayout(perceptronTensors(append(widths, 1))...)
	if err != nil {
		return nil, err
	}
	activation, ok := mlp.ActivationOf(o.Activation)
	if !ok {
		return nil, fmt.Errorf("tasks: no activation %q", o.Activation) // cannot happen: the configuration is valid
	}
	p := &sinusoid{options: o, layout: layout, seed: rng.Uint64(), x: make([]float32, o.Batch*o.Dims), y: make([]float32, o.Batch)}
	p.net = mlp.NewSquared(append(widths, 1), activation, o.Batch)
	p.draw(rng)
	return p, nil
}

type sinusoid struct {
	options Options
	layout  optimizer.Layout
	seed    uint64
	x, y    []float32 // B×d and B
	net     *mlp.Curvature
	moved   bool // net is at a point
}

var (
	_ optimizer.Curvature = (*sinusoid)(nil)
	_ optimizer.Laid      = (*sinusoid)(nil)
)

// waves is the number of sine waves in a function.
const waves = 3

// draw draws the function and its points.
func (p *sinusoid) draw(rng *rand.Rand) {
	d := p.options.Dims
	var amplitude, phase [waves]float64
	omega := make([]float64, waves*d)
	for k := range waves {
		amplitude[k], phase[k] = rng.NormFloat64(), 2*math.Pi*rng.Float64()
		for i := range d {
			omega[k*d+i] = 3 * rng.NormFloat64() / math.Sqrt(float64(d))
		}
	}
	for b := range p.y {
		x, y := p.x[b*d:(b+1)*d], 0.0
		for i := range x {
			x[i] = 2*rng.Float32() - 1
		}
		for k := range waves {
			at := phase[k]
			for i, v := range x {
				at += omega[k*d+i] * float64(v)
			}
			y += amplitude[k] * math.Sin(at)
		}
		p.y[b] = float32(y)
	}
}

// Dim implements optimizer.Problem.
func (p *sinusoid) Dim() int { return p.layout.Len() }

// Layout implements optimizer.Laid: a matrix W of inputs × outputs and a bias b for each layer.
func (p *sinusoid) Layout() optimizer.Layout { return p.layout }

// Init implements optimizer.Problem.
func (p *sinusoid) Init(theta []float32) {
	precondition.Length("tasks", "theta", theta, p.Dim())
	p.options.start(theta, p.layout.Tensors(), stream.New(p.seed, "init", 0))
}

// LossGrad implements optimizer.Problem.
func (p *sinusoid) LossGrad(theta, grad []float32) (float64, error) {
	precondition.Length("tasks", "theta", theta, p.Dim())
	precondition.Length("tasks", "grad", grad, p.Dim())
	p.moveTo(theta)
	p.net.Gradient(grad)
	return p.net.Loss(), nil
}

// moveTo moves the network to θ, unless it is there.
func (p *sinusoid) moveTo(theta []float32) {
	if !p.moved || !sameBits(p.net.Theta(), theta) {
		p.net.Move(theta, p.x, p.y)
		p.moved = true
	}
}

// Metrics implements optimizer.Curvature.
func (p *sinusoid) Metrics() optimizer.Metric { return optimizer.Hessian | optimizer.Fisher }

// CurvatureProduct implements optimizer.Curvature with the exact products of the package mlp.
func (p *sinusoid) CurvatureProduct(dst, theta, v []float32, metric optimizer.Metric, step int) error {
	checkProduct(p, dst, theta, v, metric, step)
	p.moveTo(theta)
	if metric == optimizer.Fisher {
		p.net.Fisher(dst, v)
	} else {
		p.net.Hessian(dst, v)
	}
	return nil
}
