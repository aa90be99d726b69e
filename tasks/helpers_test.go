package tasks

import (
	"io"
	"math"
	"math/rand/v2"
	"testing"

	"learnedopt/internal/stream"
	"learnedopt/optimizer"
)

// sample draws the problem of a seed and closes it with the test.
func sample(t testing.TB, f optimizer.Family, seed uint64) optimizer.Problem {
	t.Helper()
	p, err := f.Sample(rand.New(rand.NewPCG(seed, 0)))
	if err != nil {
		t.Fatal(err)
	}
	if c, ok := p.(io.Closer); ok {
		t.Cleanup(func() { c.Close() })
	}
	return p
}

// trace returns θ_0 and the losses and gradients of some steps of gradient
// descent.
func trace(t testing.TB, p optimizer.Problem, steps int) []float64 {
	t.Helper()
	theta, grad := make([]float32, p.Dim()), make([]float32, p.Dim())
	p.Init(theta)
	var out []float64
	for _, x := range theta {
		out = append(out, float64(x))
	}
	for range steps {
		loss, err := p.LossGrad(theta, grad)
		if err != nil {
			t.Error(err)
			return out
		}
		out = append(out, loss)
		for i, g := range grad {
			out = append(out, float64(g))
			theta[i] -= 1e-3 * g
		}
	}
	return out
}

func equalBits(t testing.TB, got, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d numbers, want %d", len(got), len(want))
	}
	for i := range got {
		if math.Float64bits(got[i]) != math.Float64bits(want[i]) {
			t.Fatalf("number %d is %v, want %v", i, got[i], want[i])
		}
	}
}

func mustPanic(t testing.TB, want any, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if got := recover(); got != want {
			t.Errorf("panicked with %v, want %v", got, want)
		}
	}()
	f()
}

// noise is a data set of MNIST's shape whose pixels, mostly 0 as MNIST's, and
// labels are random: it costs what MNIST costs and needs no files.
func noise(t testing.TB, train, other int) *Dataset {
	t.Helper()
	part := func(s Split, n int) Part {
		rng := stream.New(1, "noise", uint64(s))
		p := Part{Pixels: make([]byte, n*784), Labels: make([]byte, n)}
		for i := range p.Pixels {
			if rng.IntN(5) == 0 {
				p.Pixels[i] = byte(rng.IntN(256))
			}
		}
		for i := range p.Labels {
			p.Labels[i] = byte(rng.IntN(10))
		}
		return p
	}
	d, err := NewDataset("noise", 28, 28, 10, part(Train, train), part(Valid, other), part(Test, other))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// mlp64 is the classifier written out in float64, independently of Gorgonia
// and of EvaluateSplit: the mean cross-entropy of examples x and its gradient.
func mlp64(theta []float32, widths []int, activation string, x [][]float32, labels []int) (loss float64, grad []float64) {
	f := map[string]func(float64) (y, slope float64){
		"sigmoid": func(v float64) (float64, float64) { s := 1 / (1 + math.Exp(-v)); return s, s * (1 - s) },
		"tanh":    func(v float64) (float64, float64) { s := math.Tanh(v); return s, 1 - s*s },
		"relu": func(v float64) (float64, float64) {
			if v > 0 {
				return v, 1
			}
			return 0, 0
		},
		"elu": func(v float64) (float64, float64) {
			if v > 0 {
				return v, 1
			}
			return math.Exp(v) - 1, math.Exp(v)
		},
	}[activation]
	layers := len(widths) - 1
	w, b := make([]int, layers), make([]int, layers) // where each layer starts
	at := 0
	for l := range layers {
		w[l], b[l] = at, at+widths[l]*widths[l+1]
		at = b[l] + widths[l+1]
	}
	grad = make([]float64, at)
	for e := range x {
		h, slope := make([][]float64, layers+1), make([][]float64, layers+1)
		h[0] = make([]float64, widths[0])
		for i, v := range x[e] {
			h[0][i] = float64(v)
		}
		for l := range layers {
			h[l+1], slope[l+1] = make([]float64, widths[l+1]), make([]float64, widths[l+1])
			for j := range h[l+1] {
				z := float64(theta[b[l]+j])
				for i, v := range h[l] {
					z += v * float64(theta[w[l]+i*widths[l+1]+j])
				}
				if h[l+1][j], slope[l+1][j] = z, 1; l < layers-1 {
					h[l+1][j], slope[l+1][j] = f(z)
				}
			}
		}
		z := h[layers]
		top, sum := math.Inf(-1), 0.0
		for _, v := range z {
			top = max(top, v)
		}
		for _, v := range z {
			sum += math.Exp(v - top)
		}
		logsum := top + math.Log(sum)
		loss += (logsum - z[labels[e]]) / float64(len(x))
		delta := make([]float64, len(z))
		for j, v := range z {
			delta[j] = math.Exp(v-logsum) / float64(len(x))
		}
		delta[labels[e]] -= 1 / float64(len(x))
		for l := layers - 1; l >= 0; l-- {
			back := make([]float64, widths[l])
			for j, d := range delta {
				d *= slope[l+1][j]
				grad[b[l]+j] += d
				for i, v := range h[l] {
					grad[w[l]+i*widths[l+1]+j] += d * v
					back[i] += d * float64(theta[w[l]+i*widths[l+1]+j])
				}
			}
			delta = back
		}
	}
	return loss, grad
}

// minibatch is minibatch t of a problem, drawn here a second time from the
// stream that the documentation names.
func minibatch(d *Dataset, split Split, seed uint64, t, size int) (x [][]float32, labels []int) {
	rng := stream.New(seed, "batch", uint64(t))
	for range size {
		i := rng.IntN(d.Len(split))
		image := make([]float32, 784)
		d.Image(image, split, i)
		x, labels = append(x, image), append(labels, d.Label(split, i))
	}
	return x, labels
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }
