package layers

import (
	"errors"
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"learnedopt/implicit"
	"learnedopt/internal/fan"
	"learnedopt/internal/operation"
)

// Equilibrium adds the equilibria of a recurrent cell of n units to the graph, one for each of the N rows x of the input (N×d):
//
//	z = tanh(W z + U x + b),   W n×n, U n×d, b n
//
// as an N×n matrix. There is exactly one if ‖W‖ < 1; beyond that, one that is found from 0. The forward pass is Anderson's
// acceleration, the backward pass one LU factorisation for each row.
func Equilibrium(w, u, b, x *gorgonia.Node) (*gorgonia.Node, error) {
	if w == nil || u == nil || b == nil || x == nil {
		return nil, fmt.Errorf("layers: equilibrium: missing input")
	}
	if !w.IsMatrix() || !u.IsMatrix() || !x.IsMatrix() || !b.IsVector() {
		return nil, fmt.Errorf("layers: equilibrium: W, U and x have to be matrices and b a vector; they have shapes %v, %v, %v and %v", w.Shape(), u.Shape(), x.Shape(), b.Shape())
	}
	c := &cells{rows: x.Shape()[0], d: x.Shape()[1], n: b.Shape()[0]}
	if !w.Shape().Eq(tensor.Shape{c.n, c.n}) || !u.Shape().Eq(tensor.Shape{c.n, c.d}) {
		return nil, fmt.Errorf("layers: equilibrium: W has shape %v and U %v, want (%d, %d) and (%d, %d)", w.Shape(), u.Shape(), c.n, c.n, c.n, c.d)
	}
	c.z, c.adjoint, c.errs = make([]float64, c.rows*c.n), make([]float64, c.rows*c.n), make([]error, c.rows)
	c.cell = implicit.Cell{N: c.n, D: c.d, W: make([]float64, c.n*c.n), U: make([]float64, c.n*c.d), B: make([]float64, c.n)}
	c.x = make([]float64, c.rows*c.d)
	c.solve, c.back = fan.New(func(_, i int) { c.errs[i] = c.cell.Solve(c.row(c.z, i), c.x[i*c.d:(i+1)*c.d]) }),
		fan.New(func(_, i int) { c.errs[i] = c.cell.Adjoint(c.row(c.adjoint, i), c.row(c.z, i)) })
	forward := &operation.Op{Name: "equilibrium", Shape: tensor.Shape{c.rows, c.n}, Compute: c.forward}
	forward.Derive = func(in gorgonia.Nodes, output, grad *gorgonia.Node) (gorgonia.Nodes, error) {
		total := 0
		var shapes []tensor.Shape
		for _, node := range in {
			shapes = append(shapes, node.Shape())
			total += node.Shape().TotalSize()
		}
		back := &operation.Op{Name: "equilibrium's derivative", Shape: tensor.Shape{total}, Compute: c.backward}
		packed, err := back.Apply(output, grad)
		if err != nil {
			return nil, err
		}
		return pieces(packed, shapes)
	}
	return forward.Apply(w, u, b, x)
}

// cells are the equilibria of one node.
type cells struct {
	rows, n, d  int
	cell        implicit.Cell
	x           []float64
	z, adjoint  []float64 // rows×n
	errs        []error
	solve, back *fan.Fan
}

func (c *cells) forward(out []float32, in [][]float32) error {
	for k, to := range [...][]float64{c.cell.W, c.cell.U, c.cell.B, c.x} {
		for i, v := range in[k] {
			to[i] = float64(v)
		}
	}
	c.solve.Run(c.rows, fan.Workers())
	if err := c.first(); err != nil {
		return err
	}
	return narrow(out, c.z...)
}

// row is row i of a matrix of n columns.
func (c *cells) row(a []float64, i int) []float64 { return a[i*c.n : (i+1)*c.n] }

func (c *cells) first() error {
	for i, err := range c.errs {
		if err != nil {
			return fmt.Errorf("row %d of the batch: %w", i, err)
		}
	}
	return nil
}

func (c *cells) backward(out []float32, in [][]float32) error {
	for i, v := range in[1] {
		c.adjoint[i] = float64(v)
	}
	c.back.Run(c.rows, fan.Workers())
	if err := c.first(); err != nil {
		return err
	}
	dw, rest := out[:c.n*c.n], out[c.n*c.n:]
	du, rest := rest[:c.n*c.d], rest[c.n*c.d:]
	db, dx := rest[:c.n], rest[c.n:]
	for k := range c.n {
		if err := errors.Join(outer(dw[k*c.n:(k+1)*c.n], c.adjoint, c.z, k, c.n, c.n), outer(du[k*c.d:(k+1)*c.d], c.adjoint, c.x, k, c.n, c.d)); err != nil {
			return err
		}
		sum := 0.0
		for i := range c.rows {
			sum += c.adjoint[i*c.n+k]
		}
		if err := narrow(db[k:], sum); err != nil {
			return err
		}
	}
	for i := range c.rows {
		for j := range c.d {
			sum := 0.0
			for k := range c.n {
				sum += c.cell.U[k*c.d+j] * c.adjoint[i*c.n+k]
			}
			if err := narrow(dx[i*c.d+j:], sum); err != nil {
				return err
			}
		}
	}
	return nil
}

// outer writes Σ_i a_ik v_ij into dst_j.
func outer(dst []float32, a, v []float64, k, n, width int) error {
	for j := range dst {
		sum := 0.0
		for i := 0; i*n < len(a); i++ {
			sum += a[i*n+k] * v[i*width+j]
		}
		if err := narrow(dst[j:], sum); err != nil {
			return err
		}
	}
	return nil
}
