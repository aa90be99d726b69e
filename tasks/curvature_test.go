package tasks

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"testing"

	"learnedopt/internal/gemm/mlp/mlptest"
	"learnedopt/optimizer"
)

var metrics = map[string]optimizer.Metric{"Hessian": optimizer.Hessian, "Fisher": optimizer.Fisher}

// product returns M_t(θ)·v.
func product(t testing.TB, p optimizer.Problem, theta, v []float32, metric optimizer.Metric, step int) []float32 {
	t.Helper()
	dst := make([]float32, p.Dim())
	if err := p.(optimizer.Curvature).CurvatureProduct(dst, theta, v, metric, step); err != nil {
		t.Fatal(err)
	}
	return dst
}

// normals returns n normal numbers with the given standard deviation.
func normals(seed uint64, n int, deviation float64) []float32 {
	rng, v := newRand(seed), make([]float32, n)
	for i := range v {
		v[i] = float32(deviation * rng.NormFloat64())
	}
	return v
}

// Products on the minibatches of several steps, the last step first, agree with an independent
// float64 implementation. A float32 sum of B·F terms is exact to some 1e-6 of the sum of their magnitudes;
// the bound is relative to the largest coordinate of the product.
func TestClassifierProductsMatchFloat64(t *testing.T) {
	data := noise(t, 300, 50)
	for _, c := range []ClassifierConfig{
		{},
		{Units: 20, Layers: 2, Batch: 32},
		{Units: 7, Layers: 2, Activation: "tanh", Batch: 16},
		{Units: 9, Layers: 1, Activation: "relu", Batch: 32, Split: Valid},
		{Units: 33, Layers: 3, Activation: "elu", Batch: 8, Split: Test},
	} {
		f, err := NewClassifier(data, c)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(f.Name(), func(t *testing.T) {
			p := sample(t, f, 42).(*classifier)
			net := mlptest.Network{Widths: f.widths, Activation: f.config.Activation}
			for i, step := range []int{3, 0} {
				theta, v := normals(uint64(i), p.Dim(), 0.2), normals(uint64(10+i), p.Dim(), 1)
				batch := examples(minibatch(data, c.Split, p.seed, step, f.config.Batch))
				wide, along := mlptest.Widen(theta), mlptest.Widen(v)
				for what, want := range map[string][]float64{"Hessian": net.HessianVector(wide, along, batch), "Fisher": net.FisherVector(wide, along, batch)} {
					got := product(t, p, theta, v, metrics[what], step)
					largest := 0.0
					for _, x := range want {
						largest = max(largest, math.Abs(x))
					}
					for i, x := range got {
						if !(math.Abs(float64(x)-want[i]) <= 1e-5*largest) {
							t.Fatalf("step %d, %s: coordinate %d of the product is %g, want %g (largest %g)", step, what, i, x, want[i], largest)
						}
					}
				}
			}
		})
	}
}

// A second product at the same θ and step does not repeat the forward pass. It must repeat it if another problem
// has taken over the network.
func TestProductsOfAReusedNetwork(t *testing.T) {
	f := smallClassifier(t)
	theta, v := normals(1, dim(f.widths), 0.3), normals(2, dim(f.widths), 1)
	first := sample(t, f, 1).(*classifier)
	was, net := product(t, first, theta, v, optimizer.Hessian, 2), first.net
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := sample(t, f, 2).(*classifier)
	got := product(t, second, theta, v, optimizer.Hessian, 2)
	want := product(t, sample(t, smallClassifier(t), 2), theta, v, optimizer.Hessian, 2)
	if second.net != net || slices.Equal(was, want) {
		t.Fatal("the test is blind")
	}
	if !slices.Equal(got, want) {
		t.Error("the product is not that of the problem")
	}
	dst := make([]float32, len(v))
	mustPanic(t, errClosed, func() { _ = first.CurvatureProduct(dst, theta, v, optimizer.Hessian, 2) })
}

func TestProductsIndependentOfProcessors(t *testing.T) {
	f, err := NewClassifier(noise(t, 500, 10), ClassifierConfig{Units: 70, Layers: 2})
	if err != nil {
		t.Fatal(err)
	}
	theta, v := normals(1, dim(f.widths), 0.1), normals(2, dim(f.widths), 1)
	for what, metric := range metrics {
		want := product(t, sample(t, f, 1), theta, v, metric, 1)
		for _, procs := range []int{1, 5} {
			old := runtime.GOMAXPROCS(procs)
			got := product(t, sample(t, f, 1), theta, v, metric, 1)
			runtime.GOMAXPROCS(old)
			if !slices.Equal(got, want) {
				t.Errorf("%s: other bits on %d processors", what, procs)
			}
		}
	}
}

func TestProductsAllocateNothing(t *testing.T) {
	f, err := NewClassifier(noise(t, 50, 10), ClassifierConfig{Units: 5, Layers: 2, Batch: 16})
	if err != nil {
		t.Fatal(err)
	}
	p := sample(t, Perturbed{Family: RandomScaling{Family: f}, Scale: 2}, 1).(optimizer.Curvature)
	n, step := dim(f.widths), 0
	theta, v, dst := normals(1, n, 0.1), normals(2, n, 1), make([]float32, n)
	for what, metric := range metrics {
		if n := testing.AllocsPerRun(10, func() {
			step++
			if err := p.CurvatureProduct(dst, theta, v, metric, step); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations a product", what, n)
		}
	}
}

// A joint problem offers the metrics that all its parts offer, and its products are the products of its parts.
func TestJointCurvature(t *testing.T) {
	quadratic, graph := Quadratic{Dims: 2, Batch: 3}, GraphFamily{Label: "regression", Build: regression}
	both := optimizer.Hessian | optimizer.Fisher
	for _, c := range []struct {
		parts []optimizer.Family
		want  optimizer.Metric
	}{
		{[]optimizer.Family{quadratic, smallClassifier(t)}, both},
		{[]optimizer.Family{smallClassifier(t), RandomScaling{Family: Convex{}, Range: 1}}, optimizer.Hessian},
		{[]optimizer.Family{quadratic, graph}, 0},
	} {
		f := Joint{c.parts}
		p := sample(t, f, 3)
		if got := optimizer.MetricsOf(p); got != c.want {
			t.Errorf("%s offers %b, want %b", f.Name(), got, c.want)
		}
		theta, v := normals(1, p.Dim(), 0.3), normals(2, p.Dim(), 1)
		if c.want&optimizer.Fisher == 0 {
			mustPanic(t, errMetric, func() {
				_ = p.(optimizer.Curvature).CurvatureProduct(make([]float32, p.Dim()), theta, v, optimizer.Fisher, 0)
			})
			continue
		}
		for what, metric := range metrics {
			got, at := product(t, p, theta, v, metric, 4), 0
			for i, part := range p.(*joint).parts {
				n := part.Dim()
				if want := product(t, part, theta[at:at+n], v[at:at+n], metric, 4); !slices.Equal(got[at:at+n], want) {
					t.Errorf("%s: part %d of the %s's product is %v, want %v", f.Name(), i, what, got[at:at+n], want)
				}
				at += n
			}
		}
	}
}

// For least squares Fisher is the Hessian, with the same scale as the gradient.
func TestFisherOfQuadratics(t *testing.T) {
	for _, f := range []optimizer.Family{Quadratic{Dims: 3, Batch: 4}, QuadraticUniform{Dims: 3, Batch: 4}, Perturbed{Family: Quadratic{Dims: 3, Batch: 4}, Scale: 7}} {
		p := sample(t, f, 1)
		theta, v := normals(1, p.Dim(), 1), normals(2, p.Dim(), 1)
		if h, fisher := product(t, p, theta, v, optimizer.Hessian, 0), product(t, p, theta, v, optimizer.Fisher, 0); !slices.Equal(h, fisher) {
			t.Errorf("%s: H·v = %v, F·v = %v", f.Name(), h, fisher)
		}
	}
}

// The cost of a product, side by side with the cost of a gradient. METAOPT_SIMD names the kernels.
func BenchmarkClassifierGradient(b *testing.B) {
	eachShape(b, func(b *testing.B, p optimizer.Problem, theta, dst []float32) {
		for b.Loop() {
			if _, err := p.LossGrad(theta, dst); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// The point changes from product to product, as in meta-training.
func BenchmarkClassifierHessianVector(b *testing.B) { benchmarkProducts(b, optimizer.Hessian, true) }

func BenchmarkClassifierFisherVector(b *testing.B) { benchmarkProducts(b, optimizer.Fisher, true) }

// The point stays the same, as in conjugate gradients.
func BenchmarkClassifierHessianVectorAgain(b *testing.B) {
	benchmarkProducts(b, optimizer.Hessian, false)
}

func benchmarkProducts(b *testing.B, metric optimizer.Metric, moves bool) {
	eachShape(b, func(b *testing.B, p optimizer.Problem, theta, dst []float32) {
		c, v, step := p.(optimizer.Curvature), normals(2, len(theta), 1), 0
		for b.Loop() {
			if moves {
				step++
			}
			if err := c.CurvatureProduct(dst, theta, v, metric, step); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// eachShape runs a function on MLPs of MNIST's size, 784-20-10 and 784-20-20-10, with batches of 128.
func eachShape(b *testing.B, run func(b *testing.B, p optimizer.Problem, theta, dst []float32)) {
	data := noise(b, 10000, 100)
	for _, layers := range []int{1, 2} {
		for _, activation := range []string{"sigmoid", "relu"} {
			f, err := NewClassifier(data, ClassifierConfig{Layers: layers, Activation: activation})
			if err != nil {
				b.Fatal(err)
			}
			b.Run(fmt.Sprintf("layers=%d/%s", layers, activation), func(b *testing.B) {
				p := sample(b, f, 1)
				theta, dst := normals(1, p.Dim(), 0.1), make([]float32, p.Dim())
				b.ReportAllocs()
				run(b, p, theta, dst)
			})
		}
	}
}
