package lstm

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"learnedopt/optimizer"
)

// blind, dense and seeing are networks of the same width: the first reads each coordinate alone, the second has a dense layer
// before the first one's LSTM layer, the third has all eyes.
var (
	blind  = Config{Inputs: RNNProp, Readout: Tanh, Hidden: 20, Layers: 1}
	dense  = Config{Inputs: RNNProp, Readout: Tanh, Hidden: 20, Layers: 1, Dense: 20}
	seeing = Config{
		Inputs: Momenta, Readout: Mix, Hidden: 20, Layers: 1,
		Context: ShapeContext | NormContext | FeedbackContext | TimeContext, FanIn: true,
	}
)

// benchmarked are the networks of the benchmarks. The first is the default.
var benchmarked = []struct {
	name string
	cfg  Config
}{{"default", Config{}}, {"blind", blind}, {"dense", dense}, {"seeing", seeing}}

// perceptron returns the layout of a 784-h-10 net.
func perceptron(h int) optimizer.Layout {
	layout, err := optimizer.NewLayout(
		optimizer.Tensor{Name: "W1", Shape: []int{784, h}, Kind: optimizer.Matrix, OutputAxis: 1},
		optimizer.Tensor{Name: "b1", Shape: []int{h}, Kind: optimizer.Bias},
		optimizer.Tensor{Name: "W2", Shape: []int{h, 10}, Kind: optimizer.Matrix, OutputAxis: 1},
		optimizer.Tensor{Name: "b2", Shape: []int{10}, Kind: optimizer.Bias},
	)
	if err != nil {
		panic(err)
	}
	return layout
}

// BenchmarkUpdate measures updates of 784-h-10 nets, the smallest with fewer blocks than are spread over cores.
func BenchmarkUpdate(b *testing.B) {
	for _, net := range benchmarked {
		for _, h := range []int{1, 20, 32, 1250} {
			layout := perceptron(h)
			n := layout.Len()
			b.Run(net.name+"/"+strconv.Itoa(n), func(b *testing.B) {
				net, _ := pair(b, net.cfg, 1)
				s, u := net.Start(layout), make([]float32, n)
				rows := gradients(rand.New(rand.NewPCG(1, 1)), 2, n)
				p := optimizer.Point{Grad: rows[0], Theta: rows[1]}
				s.Update(u, p)
				b.ReportAllocs()
				for b.Loop() {
					s.Update(u, p)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*b.N), "ns/coordinate")
			})
		}
	}
}

// BenchmarkUnroll measures meta-gradients of windows of 20 steps, and BenchmarkStep single steps with the adjoint of the
// gradients.
func BenchmarkUnroll(b *testing.B) {
	benchmarkAdjoint(b, func(a *Adjoint, dphi []float64, s, mu *State, grads, contexts [][]float32) {
		a.Unroll(dphi, s, grads, contexts, nil)
	})
}

func BenchmarkStep(b *testing.B) {
	dg := make([]float32, perceptron(32).Len())
	benchmarkAdjoint(b, func(a *Adjoint, dphi []float64, s, mu *State, grads, contexts [][]float32) {
		mu.Zero()
		a.Step(dphi, s, grads[0], contexts[0], grads[1], mu, dg[:s.Len()])
	})
}

func benchmarkAdjoint(b *testing.B, run func(a *Adjoint, dphi []float64, s, mu *State, grads, contexts [][]float32)) {
	const steps = 20
	for _, net := range benchmarked {
		layout := perceptron(32)
		n := layout.Len()
		b.Run(net.name, func(b *testing.B) {
			net, _ := pair(b, net.cfg, 1)
			grads := gradients(rand.New(rand.NewPCG(1, 1)), steps+1, n)
			s, u, contexts := net.Start(layout).(*State), make([]float32, n), make([][]float32, steps)
			for t := range contexts {
				s.Update(u, optimizer.Point{Grad: grads[t], Theta: grads[steps]})
				contexts[t] = append(contexts[t], s.Context()...)
			}
			var a Adjoint
			dphi, mu := make([]float64, net.core.size), s.Clone()
			run(&a, dphi, s, mu, grads, contexts)
			b.ReportAllocs()
			for b.Loop() {
				run(&a, dphi, s, mu, grads, contexts)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*b.N), "ns/coordinate")
		})
	}
}
