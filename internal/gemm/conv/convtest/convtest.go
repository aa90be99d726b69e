// Package convtest implements a small convolutional classifier in float64, example by example and pixel by pixel.
// Tests compare package conv with it.
package convtest

import (
	"math"

	"learnedopt/internal/gemm/mlp/mlptest"
)

// A Network is the shape of a classifier, as conv.Shape, and the name of its activation. θ has the same layout as in package conv.
type Network struct {
	Channels, Rows, Cols int
	Filters              []int
	Classes              int
	Activation           string
}

// An Example is an image, C planes of Rows×Cols numbers, and its class.
type Example = mlptest.Example

// An image is rows × cols pixels of some channels; element (i, j, c) is v[(i*cols+j)*channels+c].
type image struct {
	rows, cols, channels int
	v                    []float64
}

func newImage(rows, cols, channels int) image {
	return image{rows, cols, channels, make([]float64, rows*cols*channels)}
}

func (m image) index(i, j, c int) int { return (i*m.cols+j)*m.channels + c }

// at returns an element, and 0 outside of the image.
func (m image) at(i, j, c int) float64 {
	if i < 0 || j < 0 || i >= m.rows || j >= m.cols {
		return 0
	}
	return m.v[m.index(i, j, c)]
}

// A pass holds one example's forward pass.
type pass struct {
	h      []image // the inputs of each layer; the last one is the input of the dense layer
	slope  []image // a' at the outputs of each layer
	winner [][][2]int
	logits []float64
}

// Size returns the number of coordinates of θ.
func (n Network) Size() int {
	size, rows, cols, in := 0, n.Rows, n.Cols, n.Channels
	for _, out := range n.Filters {
		size += 9*in*out + out
		rows, cols, in = rows/2, cols/2, out
	}
	return size + (rows*cols*in+1)*n.Classes
}

// forward runs the network. With a pass of the same image, it takes the pixels that were maxima there, and the
// sides of ReLUs, as given.
func (n Network) forward(theta []float64, x []float32, given *pass) pass {
	h := newImage(n.Rows, n.Cols, n.Channels)
	for c := range n.Channels {
		for i := range n.Rows {
			for j := range n.Cols {
				h.v[h.index(i, j, c)] = float64(x[(c*n.Rows+i)*n.Cols+j])
			}
		}
	}
	p := pass{h: []image{h}}
	for l, out := range n.Filters {
		weights := 9 * h.channels * out
		z := newImage(h.rows, h.cols, out)
		for i := range h.rows {
			for j := range h.cols {
				for o := range out {
					z.v[z.index(i, j, o)] = theta[weights+o]
					for u := range 3 {
						for v := range 3 {
							for c := range h.channels {
								z.v[z.index(i, j, o)] += h.at(i+u-1, j+v-1, c) * theta[((u*3+v)*h.channels+c)*out+o]
							}
						}
					}
				}
			}
		}
		theta = theta[weights+out:]
		next, slope := newImage(h.rows/2, h.cols/2, out), newImage(h.rows/2, h.cols/2, out)
		winner := make([][2]int, len(next.v))
		for i := range next.rows {
			for j := range next.cols {
				for o := range out {
					best, where := math.Inf(-1), [2]int{}
					for k := range 4 {
						if y, x := 2*i+k/2, 2*j+k%2; z.at(y, x, o) > best {
							best, where = z.at(y, x, o), [2]int{y, x}
						}
					}
					at := next.index(i, j, o)
					if given != nil {
						where = given.winner[l][at]
						best = z.at(where[0], where[1], o)
					}
					winner[at] = where
					next.v[at], slope.v[at] = mlptest.Activation(n.Activation, best)
					if given != nil && (n.Activation == "relu" || n.Activation == "leaky-relu") {
						slope.v[at] = given.slope[l].v[at]
						next.v[at] = slope.v[at] * best
					}
				}
			}
		}
		h = next
		p.h, p.slope, p.winner = append(p.h, h), append(p.slope, slope), append(p.winner, winner)
	}
	in := len(h.v)
	for k := range n.Classes {
		z := theta[in*n.Classes+k]
		for i, v := range h.v {
			z += v * theta[i*n.Classes+k]
		}
		p.logits = append(p.logits, z)
	}
	return p
}

// pull adds Jᵀδ to grad; δ is the derivative with respect to the logits.
func (n Network) pull(grad, theta []float64, p pass, delta []float64) {
	last := p.h[len(p.h)-1]
	end := len(theta) - (len(last.v)+1)*n.Classes
	dh := make([]float64, len(last.v))
	for k, d := range delta {
		grad[end+len(last.v)*n.Classes+k] += d
		for i, v := range last.v {
			grad[end+i*n.Classes+k] += d * v
			dh[i] += d * theta[end+i*n.Classes+k]
		}
	}
	for l := len(n.Filters) - 1; l >= 0; l-- {
		h, out := p.h[l], n.Filters[l]
		weights := 9 * h.channels * out
		end -= weights + out
		w, dw, below := theta[end:], grad[end:], make([]float64, len(h.v))
		for at, d := range dh {
			d *= p.slope[l].v[at]
			o, i, j := at%out, p.winner[l][at][0], p.winner[l][at][1]
			dw[weights+o] += d
			for u := range 3 {
				for v := range 3 {
					y, x := i+u-1, j+v-1
					if y < 0 || x < 0 || y >= h.rows || x >= h.cols {
						continue
					}
					for c := range h.channels {
						k := ((u*3+v)*h.channels+c)*out + o
						dw[k] += d * h.at(y, x, c)
						below[h.index(y, x, c)] += d * w[k]
					}
				}
			}
		}
		dh = below
	}
}

// Logits returns the logits of an image.
func (n Network) Logits(theta []float64, x []float32) []float64 {
	return n.forward(theta, x, nil).logits
}

// LossGrad returns the mean cross-entropy of the examples and its gradient.
func (n Network) LossGrad(theta []float64, batch []Example) (loss float64, grad []float64) {
	return n.lossGrad(theta, batch, nil)
}

// lossGrad is LossGrad with the maxima and the sides of ReLUs that they have at the parameters given, unless given is nil.
func (n Network) lossGrad(theta []float64, batch []Example, given []float64) (loss float64, grad []float64) {
	grad = make([]float64, len(theta))
	for _, e := range batch {
		var at *pass
		if given != nil {
			p := n.forward(given, e.X, nil)
			at = &p
		}
		pass := n.forward(theta, e.X, at)
		delta, logsum := mlptest.Softmax(pass.logits)
		loss += (logsum - pass.logits[e.Label]) / float64(len(batch))
		delta[e.Label]--
		for j := range delta {
			delta[j] /= float64(len(batch))
		}
		n.pull(grad, theta, pass, delta)
	}
	return loss, grad
}

// Slope returns the derivative of the loss along v by central differences. The differences do not cross kinks: which pixels are
// maxima, and the sides of ReLUs, are those at θ.
func (n Network) Slope(theta, v []float64, batch []Example) float64 {
	h := mlptest.Step(theta, v)
	above, _ := n.lossGrad(mlptest.Moved(theta, v, h), batch, theta)
	below, _ := n.lossGrad(mlptest.Moved(theta, v, -h), batch, theta)
	return (above - below) / (2 * h)
}

// HessianVector returns ∇²f(θ)·v by central differences of gradients, which do not cross kinks either.
func (n Network) HessianVector(theta, v []float64, batch []Example) []float64 {
	h := mlptest.Step(theta, v)
	_, above := n.lossGrad(mlptest.Moved(theta, v, h), batch, theta)
	_, below := n.lossGrad(mlptest.Moved(theta, v, -h), batch, theta)
	for i := range above {
		above[i] = (above[i] - below[i]) / (2 * h)
	}
	return above
}

// FisherVector returns 1/B Σ_i J_iᵀ Λ_i J_i v with J_i v by such differences of logits.
func (n Network) FisherVector(theta, v []float64, batch []Example) []float64 {
	product, h := make([]float64, len(theta)), mlptest.Step(theta, v)
	for _, e := range batch {
		pass := n.forward(theta, e.X, nil)
		above, below := n.forward(mlptest.Moved(theta, v, h), e.X, &pass).logits, n.forward(mlptest.Moved(theta, v, -h), e.X, &pass).logits
		for j := range above {
			above[j] = (above[j] - below[j]) / (2 * h)
		}
		n.pull(product, theta, pass, mlptest.Lambda(pass.logits, above, len(batch)))
	}
	return product
}
