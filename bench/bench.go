// Package bench measures the speed and the memory of the library on this machine. `metaopt bench` prints the figures, and
// docs/performance.md explains them.
package bench

import (
	"context"
	"runtime"
	"slices"
	"time"

	"learnedopt/baselines"
	"learnedopt/internal/simd"
	"learnedopt/internal/stream"
	"learnedopt/lstm"
	"learnedopt/metatrain"
	"learnedopt/optimizer"
	"learnedopt/tasks"
)

// A Report is the result of Run. Other programs read its JSON. Times are medians, in seconds.
type Report struct {
	// MetaStep is the time of a meta-step: 20 inner steps, the backward pass, and Adam on φ. Quadratic is for 128
	// quadratics of 10 dimensions (1,280 coordinates). MNIST is for an MLP 784-20-10 with batches of 128 images (15,910
	// coordinates). Convnet is for a convolutional network on images of 14×14 pixels: 3×3 kernels to 8 and 16 channels, each with
	// ReLU and 2×2 maxima, and a dense layer; batches of 32 (2,698 coordinates).
	MetaStep struct {
		Quadratic float64 `json:"quadratic"`
		MNIST     float64 `json:"mnist"`
		Convnet   float64 `json:"convnet"`
	} `json:"meta_step_s"`
	// SecondDerivatives is the time of the meta-step with exact second derivatives.
	SecondDerivatives struct {
		MNIST   float64 `json:"mnist"`
		Convnet float64 `json:"convnet"`
	} `json:"second_derivatives_s"`
	// MetaStepOneCore is MetaStep with GOMAXPROCS 1.
	MetaStepOneCore struct {
		Quadratic float64 `json:"quadratic"`
		MNIST     float64 `json:"mnist"`
	} `json:"meta_step_one_core_s"`
	// UpdateRate is the number of coordinates updated per second, without training, for a million coordinates. HalfStateRate is the
	// same with a state of float16, and AdamRate is that of Adam in this library. UpdateBytes is what an update of the network moves at least between memory and cores, per coordinate: its
	// state in and out, its gradient in, its update out.
	UpdateRate    float64 `json:"update_coordinates_per_s"`
	HalfStateRate float64 `json:"half_state_update_coordinates_per_s"`
	AdamRate      float64 `json:"adam_coordinates_per_s"`
	UpdateBytes   float64 `json:"update_bytes_per_coordinate"`
	// LossGrad is the time of one evaluation of a loss and its gradient.
	LossGrad struct {
		MNIST   float64 `json:"mnist"`
		Convnet float64 `json:"convnet"`
	} `json:"loss_grad_s"`
	// FMAPeak is the rate, in billions of floating-point operations per second, of independent multiply-adds in registers
	// on all cores together. Forward is the rate of updates, and LSTM the rate of the network's part of a meta-step, both on
	// 15,910 coordinates. Both count only the operations that flops counts.
	FMAPeak float64 `json:"fma_peak_gflops"`
	Forward float64 `json:"forward_gflops"`
	LSTM    float64 `json:"lstm_gflops"`
	// Memory is the growth of the heap in bytes. Unroll100 is for meta-training on the MLP with windows of 100 steps. Update
	// is for the state of a million coordinates, and HalfState for one of float16.
	Memory struct {
		Unroll100 uint64 `json:"mnist_unroll_100"`
		Update    uint64 `json:"update_1000000"`
		HalfState uint64 `json:"half_state_update_1000000"`
	} `json:"memory_bytes"`
	SIMD  string `json:"simd"`
	Cores int    `json:"cores"`
}

// The number of coordinates of the MLP, the inner steps of a window, and a large number of coordinates.
const (
	coordinates = 15910
	unroll      = 20
	million     = 1000000
)

// Run measures everything. Each measurement takes about the time each, and at least five rounds. Before each measurement,
// report is called with its name, the number done and the number of all measurements. The images are drawn from fonts,
// because only their size matters. Run changes GOMAXPROCS and restores it.
func Run(ctx context.Context, each time.Duration, report func(what string, done, total int)) (*Report, error) {
	b := &bench{ctx: ctx, each: each}
	kernels := simd.Float32()
	r := &Report{SIMD: kernels.Path, Cores: runtime.GOMAXPROCS(0)}
	digits, err := tasks.New("digits", tasks.Options{})
	if err != nil {
		return nil, err
	}
	quadratic, err := tasks.New("quadratic-uniform", tasks.Options{})
	if err != nil {
		return nil, err
	}
	convnet, err := tasks.New("digits", tasks.Options{Channels: "8-16", ImageSize: 14, Batch: 32, Activation: "relu", WeightInit: "he"})
	if err != nil {
		return nil, err
	}
	net, err := lstm.Init{}.Random(lstm.Config{}, stream.New(0, "bench", 0))
	if err != nil {
		return nil, err
	}
	measurements := []struct {
		what string
		run  func() error
	}{
		{"multiply-adds at most", func() error { r.FMAPeak = simd.Peak(kernels, r.Cores, each); return nil }},
		{"network's part of a meta-step", func() error { b.network(r, net); return nil }},
		{"update of a million coordinates", func() error { b.updates(r, net); return nil }},
		{"loss and gradient of an MLP", func() (err error) { r.LossGrad.MNIST, err = b.lossGrad(digits); return err }},
		{"loss and gradient of a convnet", func() (err error) { r.LossGrad.Convnet, err = b.lossGrad(convnet); return err }},
		{"meta-step on quadratics", func() (err error) { r.MetaStep.Quadratic, err = b.metaStep(quadratic, false); return err }},
		{"meta-step on an MLP", func() (err error) { r.MetaStep.MNIST, err = b.metaStep(digits, false); return err }},
		{"meta-step with second derivatives", func() (err error) { r.SecondDerivatives.MNIST, err = b.metaStep(digits, true); return err }},
		{"meta-step on a convnet", func() (err error) { r.MetaStep.Convnet, err = b.metaStep(convnet, false); return err }},
		{"the same with second derivatives", func() (err error) { r.SecondDerivatives.Convnet, err = b.metaStep(convnet, true); return err }},
		{"meta-steps with one core", func() error { return b.oneCore(r, quadratic, digits) }},
		{"memory of a window of 100 steps", func() (err error) { r.Memory.Unroll100, err = b.memory(digits); return err }},
	}
	for i, m := range measurements {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		report(m.what, i, len(measurements))
		if err := m.run(); err != nil {
			return nil, err
		}
	}
	return r, ctx.Err()
}

type bench struct {
	ctx  context.Context
	each time.Duration
}

// median returns the median time of op, in seconds. The first call is not counted.
func (b *bench) median(op func() error) (float64, error) {
	var times []float64
	for start := time.Now(); len(times) < 6 || time.Since(start) < b.each; {
		if err := b.ctx.Err(); err != nil {
			return 0, err
		}
		t := time.Now()
		if err := op(); err != nil {
			return 0, err
		}
		times = append(times, time.Since(t).Seconds())
	}
	times = times[1:]
	slices.Sort(times)
	return times[len(times)/2], nil
}

func (b *bench) metaStep(family optimizer.Family, second bool) (float64, error) {
	trainer, err := metatrain.NewTrainer(metatrain.TrainConfig{
		Family: family, Unroll: unroll, MetaSteps: 1, Estimator: metatrain.TruncatedBackprop{SecondDerivatives: second},
	})
	if err != nil {
		return 0, err
	}
	defer trainer.Close()
	return b.median(func() error { return trainer.Step(b.ctx) })
}

func (b *bench) oneCore(r *Report, quadratic, digits optimizer.Family) (err error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	if r.MetaStepOneCore.Quadratic, err = b.metaStep(quadratic, false); err != nil {
		return err
	}
	r.MetaStepOneCore.MNIST, err = b.metaStep(digits, false)
	return err
}

func (b *bench) lossGrad(family optimizer.Family) (float64, error) {
	p, err := family.Sample(stream.New(0, "bench", 1))
	if err != nil {
		return 0, err
	}
	theta, grad := make([]float32, p.Dim()), make([]float32, p.Dim())
	p.Init(theta)
	return b.median(func() error {
		_, err := p.LossGrad(theta, grad)
		return err
	})
}

// network measures forward passes and whole unrolls on fixed gradients.
func (b *bench) network(r *Report, net *lstm.Network) {
	grads := gradients(unroll+1, coordinates)
	state, update := net.NewState(coordinates), make([]float32, coordinates)
	forward, _ := b.median(func() error {
		for _, g := range grads[:unroll] {
			state.Update(update, optimizer.Point{Grad: g})
		}
		return nil
	})
	var adjoint lstm.Adjoint
	start, dphi := net.NewState(coordinates), make([]float64, len(net.Params()))
	backward, _ := b.median(func() error { adjoint.Unroll(dphi, start, grads, nil, nil); return nil })
	once, whole := flops(net)
	r.Forward = once * unroll * coordinates / forward / 1e9
	r.LSTM = whole * unroll * coordinates / (forward + backward) / 1e9
}

// updates measures updates of a million coordinates, of the network with both kinds of state and of Adam.
func (b *bench) updates(r *Report, net *lstm.Network) {
	g := gradients(1, million)[0]
	update := make([]float32, million)
	measure := func(rule optimizer.Rule) (rate float64, memory uint64) {
		before := heap()
		state := rule.Start(optimizer.Flat(million))
		t, _ := b.median(func() error { _, err := state.Update(update, optimizer.Point{Grad: g}); return err })
		memory = heap() - before
		runtime.KeepAlive(state)
		return million / t, memory
	}
	r.UpdateRate, r.Memory.Update = measure(net)
	r.HalfStateRate, r.Memory.HalfState = measure(net.WithHalfState())
	r.AdamRate, _ = measure(baselines.Adam{LearningRate: 1e-3})
	r.UpdateBytes = float64(2*r.Memory.Update)/million + 2*4
}

// flops counts the multiplications and additions in matrix products, per coordinate and step. forward is for a forward pass.
// whole is for an unroll: its forward pass, the replay of the forward pass, the adjoints of lower layers and of earlier steps,
// and the weight gradients.
func flops(net *lstm.Network) (forward, whole float64) {
	cfg := net.Config()
	params := float64(len(net.Params()))
	h := float64(cfg.Hidden)
	back := h // through the read-out
	for l := range cfg.Layers {
		back += 4 * h * h // into the layer's own past
		if l > 0 {
			back += 4 * h * h // into the layer below
		}
	}
	return 2 * params, 2 * (3*params + back)
}

// gradients returns rows of n gradients of many magnitudes.
func gradients(rows, n int) [][]float32 {
	rng := stream.New(0, "bench", 2)
	g := make([][]float32, rows)
	for t := range g {
		g[t] = make([]float32, n)
		for i := range g[t] {
			g[t][i] = float32(rng.NormFloat64() * rng.ExpFloat64() / 100)
		}
	}
	return g
}
