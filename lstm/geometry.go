package lstm

import (
	"fmt"

	"learnedopt/internal/simd"
)

const lanes = simd.Lanes

// affine is one affine map of the network. φ[off:] holds its in × out weights,
// row-major, and then its out biases.
type affine struct {
	name    string
	off     int
	in, out int
	// recIn is where a step's record keeps the map's input, followed by a row of
	// ones. recOut is where it keeps the adjoint of the map's output; there an LSTM
	// layer first keeps its gates.
	recIn, recOut int
}

func (m affine) size() int { return (m.in + 1) * m.out }

// geometry says where everything lies in φ, in a block of state, and in the record of
// one step of one block. Positions count floats; a block of state and a record consist
// of rows of lanes floats.
type geometry struct {
	cfg      Config
	features int

	dense  affine // out = 0 if there is no dense layer
	layers []affine
	read   affine
	maps   []affine // all maps, in the order of φ
	size   int      // number of parameters in φ

	state     places
	stateSize int

	// A record also holds tanh(c) of each layer, the output y, and the state after
	// the step. The h of that state lies in the next step's record, as its input.
	recTanh []int
	recY    int
	rec     places
	recSize int
	// ones are the rows of a record that hold the constant 1.
	ones []int
}

// places says where the rows of a state lie: h and c of each layer, m and v of RNNProp.
type places struct {
	h, c []int
	m, v int
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
		g.rec.c = append(g.rec.c, rec(h))
		g.state.h = append(g.state.h, g.stateSize)
		g.state.c = append(g.state.c, g.stateSize+h*lanes)
		g.stateSize += 2 * h * lanes
		width = h
	}
	g.read = place("readout", width, cfg.Readout.outputs(), cfg.Readout.outputs())
	g.recY = rec(g.read.out)
	if cfg.Inputs&RNNProp != 0 {
		g.state.m = g.stateSize
		g.state.v = g.stateSize + lanes
		g.stateSize += 2 * lanes
		g.rec.m, g.rec.v = rec(1), rec(1)
	}
	if g.recSize/lanes%2 == 0 {
		// The same row of every step's record is in use at the same time. An odd
		// distance, in rows, spreads these rows over the sets of a cache.
		rec(1)
	}
	for _, l := range g.layers {
		g.rec.h = append(g.rec.h, g.recSize+g.ownInput(l))
	}
	return g
}

// ownInput returns where a record keeps the h that a layer reads, after its other inputs.
func (g *geometry) ownInput(l affine) int { return l.recIn + (l.in-g.cfg.Hidden)*lanes }

// recFeatures returns where a record keeps the features.
func (g *geometry) recFeatures() int { return g.maps[0].recIn }

// blocks returns the number of blocks that hold n coordinates.
func blocks(n int) int { return (n + lanes - 1) / lanes }
