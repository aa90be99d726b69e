package gorgoniaopt_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	gorgoniaopt "learnedopt/adapters/gorgonia"
	"learnedopt/optimizer"
)

// A dual is a number and its derivative along v.
type dual struct{ x, d float64 }

func (a dual) plus(b dual) dual  { return dual{a.x + b.x, a.d + b.d} }
func (a dual) times(b dual) dual { return dual{a.x * b.x, a.d*b.x + a.x*b.d} }

// images are channels × size × size numbers of each example.
type images struct {
	channels, size int
	at             []dual
}

func (m *images) get(i, channel, row, column int) dual {
	if row < 0 || column < 0 || row >= m.size || column >= m.size {
		return dual{}
	}
	return m.at[((i*m.channels+channel)*m.size+row)*m.size+column]
}

// convolved is a convolution of 3×3 with padding 1, of kernels (outputs, inputs, 3, 3).
func (m *images) convolved(batch, outputs int, kernel []dual) *images {
	out := &images{outputs, m.size, nil}
	for i := range batch {
		for o := range outputs {
			for row := range m.size {
				for column := range m.size {
					sum := dual{}
					for k := range m.channels {
						for a := range 3 {
							for b := range 3 {
								sum = sum.plus(m.get(i, k, row+a-1, column+b-1).times(kernel[((o*m.channels+k)*3+a)*3+b]))
							}
						}
					}
					out.at = append(out.at, sum)
				}
			}
		}
	}
	return out
}

// pooled takes the maximum of windows of 2×2 at every stride-th place.
func (m *images) pooled(batch, stride int) *images {
	size := (m.size-2)/stride + 1
	out := &images{m.channels, size, nil}
	for i := range batch {
		for k := range m.channels {
			for row := range size {
				for column := range size {
					best := dual{math.Inf(-1), 0}
					for a := range 2 {
						for b := range 2 {
							if v := m.get(i, k, row*stride+a, column*stride+b); v.x > best.x {
								best = v
							}
						}
					}
					out.at = append(out.at, best)
				}
			}
		}
	}
	return out
}

func rectified(x []dual) {
	for i := range x {
		if x[i].x < 0 {
			x[i] = dual{}
		}
	}
}

// The products of a convnet are those of the explicit matrix: two convolutions, of which the second is differentiated twice with
// respect to its input, and a pooling between them, with windows that overlap or not. A graph whose gradients contradict its tangents is refused.
func TestProductsOfAConvnet(t *testing.T) {
	const batch, size, classes = 3, 4, 3
	for _, pooling := range []string{"max", "overlapping max", "mean"} {
		for of, tolerance := range map[tensor.Dtype]float64{tensor.Float32: 1e-5, tensor.Float64: 1e-12} {
			stride, pooledSize := 2, 2
			if pooling == "overlapping max" {
				stride, pooledSize = 1, 3
			}
			rng := rand.New(rand.NewPCG(5, 5))
			g := gorgonia.NewGraph()
			var theta []float64
			draw := func(name string, shape ...int) (*gorgonia.Node, []float64) {
				x := make([]float64, tensor.Shape(shape).TotalSize())
				for i := range x {
					x[i] = float64(float32(rng.NormFloat64()))
				}
				return leaf(g, of, name, x, shape...), x
			}
			x, xs := draw("x", batch, 1, size, size)
			nodes := gorgonia.Nodes{}
			for _, l := range []struct {
				name  string
				shape []int
			}{{"K", []int{2, 1, 3, 3}}, {"L", []int{2, 2, 3, 3}}, {"W", []int{2 * pooledSize * pooledSize, classes}}} {
				n, values := draw(l.name, l.shape...)
				nodes, theta = append(nodes, n), append(theta, values...)
			}
			labels := make([]float64, batch*classes)
			for i := range batch {
				labels[i*classes+rng.IntN(classes)] = 1
			}
			y := leaf(g, of, "y", labels, batch, classes)
			convolution := func(x, k *gorgonia.Node) *gorgonia.Node {
				return gorgonia.Must(gorgonia.Rectify(gorgonia.Must(gorgonia.Conv2d(x, k, tensor.Shape{3, 3}, []int{1, 1}, []int{1, 1}, []int{1, 1}))))
			}
			h := convolution(x, nodes[0])
			if pooling == "mean" {
				h = gorgonia.Must(gorgonia.AveragePool2D(h, tensor.Shape{2, 2}, []int{0, 0}, []int{stride, stride}))
			} else {
				h = gorgonia.Must(gorgonia.MaxPool2D(h, tensor.Shape{2, 2}, []int{0, 0}, []int{stride, stride}))
			}
			h = gorgonia.Must(gorgonia.Reshape(convolution(h, nodes[1]), tensor.Shape{batch, 2 * pooledSize * pooledSize}))
			z := gorgonia.Must(gorgonia.Mul(h, nodes[2]))
			cost, _ := meanLoss(z, y, gorgoniaopt.CrossEntropy)
			made := curvatureOf(t, gorgoniaopt.Predictions{Output: z, Targets: y, Cost: cost, Loss: gorgoniaopt.CrossEntropy}, nodes...)
			if pooling == "mean" {
				var wrong *gorgoniaopt.DerivativeError
				v := make([]float64, made.Len())
				if err := made.Product(v, v, optimizer.Fisher, 0); !errors.As(err, &wrong) || !contains(err, "contradict") {
					t.Errorf("mean pooling, whose gradient is wrong in Gorgonia v0.9.18: %v", err)
				}
				continue
			}

			n := made.Len()
			jacobian, zs := make([][]float64, n), make([]float64, batch*classes)
			for k := range n {
				var weights []dual
				for l, v := range theta {
					weights = append(weights, dual{v, 0})
					if l == k {
						weights[l].d = 1
					}
				}
				image := &images{1, size, nil}
				for _, v := range xs {
					image.at = append(image.at, dual{v, 0})
				}
				image = image.convolved(batch, 2, weights[:18])
				rectified(image.at)
				image = image.pooled(batch, stride).convolved(batch, 2, weights[18:54])
				rectified(image.at)
				features := len(image.at) / batch
				for i := range batch {
					for c := range classes {
						sum := dual{}
						for f := range features {
							sum = sum.plus(image.at[i*features+f].times(weights[54+f*classes+c]))
						}
						zs[i*classes+c] = sum.x
						jacobian[k] = append(jacobian[k], sum.d)
					}
				}
			}
			want := make([][]float64, n)
			for k := range n {
				want[k] = make([]float64, n)
				for l := range n {
					for i := range batch {
						p := softmaxOf(zs[i*classes : (i+1)*classes])
						for a := range classes {
							for b := range classes {
								lambda := -p[a] * p[b]
								if a == b {
									lambda += p[a]
								}
								want[k][l] += jacobian[k][i*classes+a] * lambda * jacobian[l][i*classes+b] / batch
							}
						}
					}
				}
			}
			if d := off(columns(t, made, optimizer.Fisher, 0), want); !(d <= tolerance) {
				t.Errorf("%s pooling, %v: off by %.2g of the largest element", pooling, of, d)
			}
		}
	}
}
