package lstm

import (
	"fmt"

	"learnedopt/internal/simd"
)

const lanes = simd.Lanes

// affine is one affine map of the network: φ[off:] holds its weights, in rows
// row-major of out columns each, then its bias of out.
type affine struct {
	name    string
	off     int
	in, out int
	// Where a step's record keeps the map's input, with a row of ones below
	// it, and the adjoint of its output.
	recIn, recOut int
}

func (m affine) size() int { return (m.in + 1) * m.out }

// geometry is where things are: in φ, in a block of state, in the record of one
// step of one block. The latter two count in floats and are made of rows of lanes.
type geometry struct {
	cfg      Config
	features int

	dense  affine // out = 0 if there is none
	layers []affine
	read   affine
	maps   []affine // all of them, in the order of φ
	size   int      // of φ

	// State: h and c of each layer, then m and v of RNNProp.
	stateH, stateC []int
	stateM, stateV int
	stateSize      int

	// Record: for each layer tanh(c); the output y; the state after the step.
	recTanh  []int
	recY     int
	recState int
	recSize  int
	// ones are the rows of a record that hold the constant 1.
	ones []int
}

func newGeometry(cfg Config) *geometry {
	cfg = cfg.WithDefaults()
	g := &geometry{cfg: cfg, features: cfg.Inputs.features()}
	rec := func(rows int) int {
		at := g.recSize
		g.recSize += rows * lanes
		return at
	}
	input := func(rows int) int {
		at := rec(rows + 1)
		g.ones = append(g.ones, at+rows*lanes)
		return at
	}
	place := func(name string, in, out, outRows int) affine {
		m := affine{name: name, off: g.size, in: in, out: out, recIn: input(in), recOut: rec(outRows)}
		g.size += m.size()
		g.maps = append(g.maps, m)
		return m
	}
	width := g.features
	if cfg.Dense > 0 {
		g.dense = place("dense", width, cfg.Dense, cfg.Dense)
		width = cfg.Dense
	}
	h := cfg.Hidden
	for l := range cfg.Layers {
		g.layers = append(g.layers, place(fmt.Sprintf("lstm%d", l+1), width+h, 4*h, 4*h))
		g.recTanh = append(g.recTanh, rec(h))
		g.stateH = append(g.stateH, g.stateSize)
		g.stateC = append(g.stateC, g.stateSize+h*lanes)
		g.stateSize += 2 * h * lanes
		width = h
	}
	g.read = place("readout", width, 1, 1)
	g.recY = rec(1)
	if cfg.Inputs&RNNProp != 0 {
		g.stateM = g.stateSize
		g.stateV = g.stateSize + lanes
		g.stateSize += 2 * lanes
	}
	g.recState = rec(g.stateSize / lanes)
	return g
}

// recFeatures is where a record keeps the features.
func (g *geometry) recFeatures() int { return g.maps[0].recIn }

// blocks returns how many blocks hold n coordinates.
func blocks(n int) int { return (n + lanes - 1) / lanes }
