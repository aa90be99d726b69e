package sudoku

import (
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"

	"learnedopt/optimizer"
)

// A Network is a classifier of cells to compare a Layer with: boards of size 2 in, four logits for each cell out, ReLU in between, the
// mean cross-entropy of the cells as the loss. It belongs to one goroutine.
type Network struct {
	// Widths are the units of the hidden layers, or their channels.
	Widths []int
	// Convolutional says that the layers are 3×3 convolutions of the 4×4 board, padded with zeros, and the last one 1×1;
	// otherwise they are dense.
	Convolutional bool

	layers []stage
}

// stage is a layer: rows of in numbers times a matrix in×out, plus out numbers.
type stage struct {
	in, out int
	gather  bool // the rows are 3×3 neighbourhoods of cells
	cols, z []float64
}

// plan returns the layers' sizes.
func (n *Network) plan() []stage {
	if n.layers == nil {
		in := 64
		if n.Convolutional {
			in = 4
		}
		for _, w := range n.Widths {
			s := stage{in: in, out: w, gather: n.Convolutional}
			if s.gather {
				s.in *= 9
			}
			n.layers = append(n.layers, s)
			in = w
		}
		out := 64
		if n.Convolutional {
			out = 4
		}
		n.layers = append(n.layers, stage{in: in, out: out})
	}
	return n.layers
}

// Layout returns the tensors of weights and biases.
func (n *Network) Layout() optimizer.Layout {
	var tensors []optimizer.Tensor
	for i, s := range n.plan() {
		tensors = append(tensors, optimizer.Tensor{Name: fmt.Sprintf("weights %d", i+1), Shape: []int{s.in, s.out}},
			optimizer.Tensor{Name: fmt.Sprintf("biases %d", i+1), Shape: []int{s.out}})
	}
	layout, err := optimizer.NewLayout(tensors...)
	if err != nil {
		panic(err)
	}
	return layout
}

// Init writes normal weights of variance 2/in (He et al. 2015) and biases of 0.
func (n *Network) Init(r *rand.Rand, theta []float32) {
	clear(theta)
	at := 0
	for _, s := range n.plan() {
		for i := range s.in * s.out {
			theta[at+i] = float32(r.NormFloat64() * math.Sqrt(2/float64(s.in)))
		}
		at += s.in*s.out + s.out
	}
}

// forward returns the logits, a board's 64 numbers after the other's.
func (n *Network) forward(theta []float32, puzzles []Puzzle) []float64 {
	x := make([]float64, 64*len(puzzles))
	for i, p := range puzzles {
		Encode(x[64*i:64*i+64], p.Given)
	}
	at := 0
	layers := n.plan()
	for k := range layers {
		s := &layers[k]
		rows := len(x) / s.in
		s.cols = x
		if s.gather {
			channels := s.in / 9
			rows = len(x) / channels
			s.cols = make([]float64, rows*s.in)
			neighbours(rows, func(row, place, from int) {
				copy(s.cols[row*s.in+place*channels:][:channels], x[from*channels:])
			})
		}
		s.z = make([]float64, rows*s.out)
		w, b := widen(theta[at:at+s.in*s.out]), theta[at+s.in*s.out:][:s.out]
		at += s.in*s.out + s.out
		for i := range s.z {
			s.z[i] = float64(b[i%s.out])
		}
		blas64.Gemm(blas.NoTrans, blas.NoTrans, 1, matrix(s.cols, s.in), matrix(w, s.out), 1, matrix(s.z, s.out))
		x = s.z
		if k < len(layers)-1 {
			x = make([]float64, len(s.z))
			for i, v := range s.z {
				x[i] = max(v, 0)
			}
		}
	}
	return x
}

// neighbours calls f for the cells around each cell, itself included, that are on the board.
func neighbours(rows int, f func(row, place, from int)) {
	for row := range rows {
		board, cell := row/16*16, row%16
		for place := range 9 {
			r, c := cell/4+place/3-1, cell%4+place%3-1
			if r >= 0 && r < 4 && c >= 0 && c < 4 {
				f(row, place, board+4*r+c)
			}
		}
	}
}

// LossGrad returns the mean cross-entropy of a cell and writes its gradient into grad.
func (n *Network) LossGrad(theta, grad []float32, puzzles []Puzzle) (float64, error) {
	logits := n.forward(theta, puzzles)
	loss, scale := 0.0, 1/float64(16*len(puzzles))
	d := make([]float64, len(logits))
	for cell := range 16 * len(puzzles) {
		z := logits[4*cell : 4*cell+4]
		top := max(z[0], z[1], z[2], z[3])
		sum := 0.0
		for _, v := range z {
			sum += math.Exp(v - top)
		}
		right := int(puzzles[cell/16].Solution[cell%16]) - 1
		loss += (top + math.Log(sum) - z[right]) * scale
		for k, v := range z {
			d[4*cell+k] = math.Exp(v-top) / sum * scale
		}
		d[4*cell+right] -= scale
	}
	end := len(theta)
	layers := n.plan()
	for k := len(layers) - 1; k >= 0; k-- {
		s := &layers[k]
		if k < len(layers)-1 {
			for i, v := range s.z {
				if v <= 0 {
					d[i] = 0
				}
			}
		}
		from := end - s.in*s.out - s.out
		dw, db := make([]float64, s.in*s.out), make([]float64, s.out)
		blas64.Gemm(blas.Trans, blas.NoTrans, 1, matrix(s.cols, s.in), matrix(d, s.out), 0, matrix(dw, s.out))
		for i, v := range d {
			db[i%s.out] += v
		}
		for i, v := range dw {
			grad[from+i] = float32(v)
		}
		for i, v := range db {
			grad[from+len(dw)+i] = float32(v)
		}
		if k > 0 {
			dcols := make([]float64, len(s.cols))
			blas64.Gemm(blas.NoTrans, blas.Trans, 1, matrix(d, s.out), matrix(widen(theta[from:from+len(dw)]), s.out), 0, matrix(dcols, s.in))
			d = dcols
			if s.gather {
				channels := s.in / 9
				d = make([]float64, len(dcols)/9)
				neighbours(len(dcols)/s.in, func(row, place, from int) {
					for c, v := range dcols[row*s.in+place*channels:][:channels] {
						d[from*channels+c] += v
					}
				})
			}
		}
		end = from
	}
	return loss, nil
}

// Evaluate returns the score of puzzles; the Loss is the mean cross-entropy of a cell.
func (n *Network) Evaluate(theta []float32, puzzles []Puzzle) (Score, error) {
	logits := n.forward(theta, puzzles)
	var s Score
	for i, p := range puzzles {
		s.add(logits[64*i:64*i+64], p)
	}
	s = s.mean(len(puzzles))
	loss, err := n.LossGrad(theta, make([]float32, len(theta)), puzzles)
	s.Loss = loss
	return s, err
}

func matrix(a []float64, columns int) blas64.General {
	return blas64.General{Rows: len(a) / columns, Cols: columns, Stride: columns, Data: a}
}

func widen(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}
