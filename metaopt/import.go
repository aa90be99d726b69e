package metaopt

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"learnedopt/checkpoints/l2l"
	"learnedopt/lstm"
)

// ImportL2L reads a learned optimizer in the format in which DeepMind's
// learning-to-learn code and its descendants published theirs. Such a file
// holds weights only; what they mean is taken from the code that wrote them:
//
//   - without an input projection and with two features, LogAndSign with p = 5 and
//     output × 0.01 (Andrychowicz et al. 2016, as in their code);
//   - with one feature, the raw gradient and output × 1 (the same, on quadratics);
//   - with an input projection, RNNProp, a dense layer with ELU and
//     0.01·tanh (Lv et al. 2017, as in Chen et al. 2020).
//
// Sonnet's gates in order i, j, f, o become i, f, g, o, and the 1 that it adds to
// f at run time becomes part of the bias.
func ImportL2L(r io.Reader) (*Optimizer, error) {
	modules, err := l2l.Read(r)
	if err != nil {
		return nil, err
	}
	im := importer{modules: modules}
	cfg := lstm.Config{}
	var phi []float32
	features := 0
	if _, ok := modules["input_projection"]; ok {
		w, shape := im.array("input_projection", "w", 2)
		bias, _ := im.array("input_projection", "b", 1)
		features, cfg.Dense = shape[0], shape[1]
		phi = append(append(phi, w...), bias...)
	}
	for {
		name := fmt.Sprintf("lstm_%d", cfg.Layers+1)
		if _, ok := modules[name]; !ok {
			break
		}
		w, shape := im.array(name, "w_gates", 2)
		bias, _ := im.array(name, "b_gates", 1)
		if im.err == nil && (shape[1]%4 != 0 || len(bias) != shape[1]) {
			im.err = fmt.Errorf("%s has gates of shape %v and %d biases", name, shape, len(bias))
		}
		if im.err != nil {
			break
		}
		h := shape[1] / 4
		if cfg.Layers == 0 {
			cfg.Hidden = h
			if cfg.Dense == 0 {
				features = shape[0] - h
			}
		}
		cfg.Layers++
		for row := range slices.Chunk(w, 4*h) {
			phi = append(phi, ifgo(row, 0)...)
		}
		phi = append(phi, ifgo(bias, 1)...)
	}
	w, _ := im.array("linear", "w", 2)
	bias, _ := im.array("linear", "b", 1)
	phi = append(append(phi, w...), bias...)
	if im.err == nil {
		im.leftovers(cfg)
	}
	if im.err != nil {
		return nil, fmt.Errorf("metaopt: import: %w", im.err)
	}
	switch {
	case cfg.Dense > 0 && features == 2:
		cfg.Inputs, cfg.Readout, cfg.Scale = lstm.RNNProp, lstm.Tanh, 0.01
	case cfg.Dense == 0 && features == 2:
		cfg.Inputs, cfg.P, cfg.Scale = lstm.LogAndSign, 5, 0.01
	case cfg.Dense == 0 && features == 1:
		cfg.Inputs, cfg.Scale = lstm.Raw, 1
	default:
		return nil, fmt.Errorf("metaopt: import: %d inputs of each gradient; the known optimizers read 1 or 2", features)
	}
	net, err := lstm.NewNetwork(cfg, phi)
	if err != nil {
		return nil, fmt.Errorf("metaopt: import: %w", err)
	}
	return &Optimizer{Network: net, Provenance: Provenance{Source: "l2l file", Version: Version()}}, nil
}

// importer takes arrays out of a file and remembers what was wrong first.
type importer struct {
	modules map[string]map[string]l2l.Array
	err     error
}

// array returns an array, whose data are of no use after an error.
func (im *importer) array(module, name string, rank int) ([]float32, []int) {
	a, ok := im.modules[module][name]
	if im.err == nil && !ok {
		im.err = fmt.Errorf("the file has no array %s/%s", module, name)
	}
	if im.err == nil && len(a.Shape) != rank {
		im.err = fmt.Errorf("%s/%s has shape %v, not %d dimensions", module, name, a.Shape, rank)
	}
	if im.err != nil {
		return nil, make([]int, rank)
	}
	return a.Data, a.Shape
}

// leftovers refuses modules of which the network has no use.
func (im *importer) leftovers(cfg lstm.Config) {
	known := []string{"linear"}
	if cfg.Dense > 0 {
		known = append(known, "input_projection")
	}
	for l := range cfg.Layers {
		known = append(known, fmt.Sprintf("lstm_%d", l+1))
	}
	for _, name := range slices.Sorted(maps.Keys(im.modules)) {
		if !slices.Contains(known, name) {
			im.err = fmt.Errorf("the file has a module %s, which is none of %v", name, known)
		}
	}
}

// ifgo turns gates in the order i, j, f, o into i, f, g, o, g being another name
// of j, and adds forget to f.
func ifgo(gates []float32, forget float32) []float32 {
	h := len(gates) / 4
	out := make([]float32, 0, len(gates))
	out = append(out, gates[:h]...)
	for _, f := range gates[2*h : 3*h] {
		out = append(out, f+forget)
	}
	out = append(out, gates[h:2*h]...)
	return append(out, gates[3*h:]...)
}
