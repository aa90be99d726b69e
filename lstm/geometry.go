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
	index   int // in geometry.maps
	off     int
	in, out int
	context int // number of inputs, the last ones, that are the context
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
	hyper  hyper
	maps   []affine // all maps, in the order of φ
	size   int      // number of parameters in φ

	state     places
	stateSize int
	// The first cells floats of a state are h and c of the layers.
	cells int

	// A record also holds tanh(c) of each layer, the output y, and the state after
	// the step. The h of that state lies in the next step's record, as its input.
	recTanh []int
	recY    int
	recZ    int // the outputs of the read-out's map; with other read-outs than Mix, recY
	recN    int // the directions of Momenta, and then the row of signs
	rec     places
	recSize int
	// ones are the rows of a record that hold the constant 1.
	ones []int
}

// places says where the rows of a state lie: h and c of each layer, m and v of RNNProp, the moments of Momenta, and the
// last update u, which networks with eyes keep.
type places struct {
	h, c    []int
	m, v    int
	moments int
	u       int
}

// eyes says whether the network tells tensors apart.
func (c Config) eyes() bool { return c.Context != 0 || c.FanIn || c.Inputs&Momenta != 0 }

// contextSize is the number of floats of a tensor's context: features, 1/√V, and the factor of updates.
func (g *geometry) contextSize() int { return g.cfg.Context.features() + 2 }

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
		m := affine{name: name, index: len(g.maps), off: g.size, in: in, out: out}
		if len(g.maps) == 0 {
			m.context = cfg.Context.features()
			m.in += m.context
		}
		m.recIn, m.recOut = input(m.in), rec(outRows)
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
	g.cells = g.stateSize
	g.read = place("readout", width, cfg.outputs(), cfg.outputs())
	if cfg.Hyper > 0 {
		g.hyper = hyper{off: g.size, in: cfg.Context.features(), hidden: cfg.Hyper, out: 1}
		if cfg.Orthogonal {
			g.hyper.out = 2
		}
		g.size += g.hyper.size()
	}
	if cfg.Readout == Mix {
		g.recZ = rec(g.read.out)
		g.recY = rec(1)
	} else {
		g.recY = rec(g.read.out)
		g.recZ = g.recY
	}
	if cfg.Inputs&RNNProp != 0 {
		g.state.m = g.stateSize
		g.state.v = g.stateSize + lanes
		g.stateSize += 2 * lanes
		g.rec.m, g.rec.v = rec(1), rec(1)
	}
	if cfg.Inputs&Momenta != 0 {
		g.state.moments = g.stateSize
		g.stateSize += simd.Moments * lanes
		g.rec.moments = rec(simd.Moments)
		g.recN = rec(simd.Directions + 1)
	}
	if cfg.eyes() {
		g.state.u = g.stateSize
		g.stateSize += lanes
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
func (g *geometry) ownInput(l affine) int { return l.recIn + (l.in-l.context-g.cfg.Hidden)*lanes }

// recFeatures returns where a record keeps the features.
func (g *geometry) recFeatures() int { return g.maps[0].recIn }

// blocks returns the number of blocks that hold n coordinates.
func blocks(n int) int { return (n + lanes - 1) / lanes }
