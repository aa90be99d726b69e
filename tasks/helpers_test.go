package tasks

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"learnedopt/internal/gemm/mlp/mlptest"
	"learnedopt/internal/stream"
	"learnedopt/optimizer"
)

// sample draws the problem of a seed; the end of the test closes it.
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

// mustPanicSaying fails unless f panics with a text that says something.
func mustPanicSaying(t testing.TB, says string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if text, _ := recover().(string); !strings.Contains(text, says) {
			t.Errorf("panicked with %q, want a text that says %q", text, says)
		}
	}()
	f()
}

// noise returns a data set of MNIST's shape with random pixels, mostly 0 as in MNIST, and random
// labels. It takes as much time as MNIST and needs no files.
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
	net := mlptest.Network{Widths: widths, Activation: activation}
	return net.LossGrad(mlptest.Widen(theta), examples(x, labels))
}

func examples(x [][]float32, labels []int) (all []mlptest.Example) {
	for i := range x {
		all = append(all, mlptest.Example{X: x[i], Label: labels[i]})
	}
	return all
}

// minibatch returns minibatch t of a problem. It draws it independently, from the
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

// dim returns the number of coordinates of a multilayer perceptron with layers of the given widths.
func dim(widths []int) int {
	n := 0
	for l := range len(widths) - 1 {
		n += widths[l]*widths[l+1] + widths[l+1]
	}
	return n
}

// numberedTable returns a CSV file with a header in which columns are named by numbers that tests pick, and small whole
// numbers below it.
func numberedTable() string {
	var b strings.Builder
	names := []string{"x", "0", "0.01", "0.1", "1", "2", "3", "128", "10", "20", "8-16", "12345.678", "1e-7", "1e6"}
	fmt.Fprintln(&b, strings.Join(names, ","))
	rng := newRand(3)
	for range 80 {
		row := make([]string, len(names))
		for i := range row {
			row[i] = strconv.Itoa(rng.IntN(4))
		}
		fmt.Fprintln(&b, strings.Join(row, ","))
	}
	return b.String()
}
