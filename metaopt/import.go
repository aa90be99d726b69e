package metaopt

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"learnedopt/checkpoints/l2l"
	"learnedopt/lstm"
)

// ImportL2L reads a learned optimizer in the format of DeepMind's
// learning-to-learn code and of the code that descends from it. Such a file
// holds weights only. The rest of the configuration follows the code that wrote the file:
//
//   - without an input projection and with two features: LogAndSign with p = 5 and
//     output × 0.01 (the code of Andrychowicz et al. 2016);
//   - without an input projection and with one feature: the raw gradient and output × 1 (the same
//     code, on quadratics);
//   - with an input projection: RNNProp, a dense layer with ELU, and output
//     0.01·tanh (Lv et al. 2017, as in Chen et al. 2020).
//
// Sonnet orders its gates i, j, f, o; here they become i, f, g, o. Sonnet adds 1 to
// f at run time; here the 1 becomes part of the bias.
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

// importer takes arrays out of a file and remembers the first error.
type importer struct {
	modules map[string]map[string]l2l.Array
	err     error
}

// array returns an array and its shape. After an error the array is nil and the dimensions are 0.
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

// leftovers refuses modules that the network does not use.
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

// ifgo reorders gates from i, j, f, o to i, f, g, o, where g is another name
// for j, and adds forget to f.
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
