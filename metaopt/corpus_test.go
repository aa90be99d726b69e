package metaopt_test

import (
	"encoding/json"
	"flag"
	"math"
	"os"
	"path/filepath"
	"testing"

	"learnedopt/internal/stream"
	"learnedopt/lstm"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
)

var add = flag.Bool("add", false, "write what testdata/corpus lacks; what is there is never changed")

// corpusConfigs has a network for every key and value of a file's configuration
// (docs/format.md, "Kind lstm-optimizer").
var corpusConfigs = map[string]lstm.Config{
	"raw":         {Inputs: lstm.Raw, Hidden: 4, Layers: 1, Scale: 1},
	"logsign":     {Inputs: lstm.LogAndSign, P: 7, Hidden: 5},
	"sign_p":      {Inputs: lstm.LogAndSign, P: 10, SignP: 3.5, Hidden: 5},
	"rnnprop":     {Inputs: lstm.RNNProp, Dense: 6, Hidden: 5, Readout: lstm.Tanh, Scale: 0.01},
	"clock-exp":   {Inputs: lstm.RNNProp | lstm.Clock, Hidden: 3, Readout: lstm.Exp, Scale: -0.001},
	"anneal":      {Inputs: lstm.LogAndSign | lstm.Clock, Hidden: 3, Layers: 1, Anneal: 5},
	"all":         {Inputs: lstm.Raw | lstm.LogAndSign | lstm.RNNProp | lstm.Clock, P: 10, SignP: 5, Dense: 7, Hidden: 6, Layers: 3, Readout: lstm.Exp, Anneal: 4},
	"linear":      {Inputs: lstm.Raw, NoLSTM: true, Scale: 1},
	"dense-alone": {Inputs: lstm.RNNProp, Dense: 3, NoLSTM: true, Readout: lstm.Tanh},
}

// A corpusOracle is the content of testdata/corpus/updates.json: for every file of the
// corpus, the updates that the float64 reference computes for the same gradients,
// steps × coordinates.
type corpusOracle struct {
	Gradients [][]float32            `json:"gradients"`
	Updates   map[string][][]float64 `json:"updates"`
}

const corpusDir = "testdata/corpus"

// TestCorpusUpdates reads files that cover the configuration and expects the updates
// that these files have always given. The tolerance is 1e-5 of an update or of the largest
// update of its step: rounding is 6e-8, times some hundred operations, and gates are off by 7 ulp.
func TestCorpusUpdates(t *testing.T) {
	path := filepath.Join(corpusDir, "updates.json")
	if *add {
		extendCorpus(t, path)
	}
	var want corpusOracle
	readJSON(t, path, &want)
	files, err := filepath.Glob(filepath.Join(corpusDir, "*.mopt"))
	if err != nil || len(files) != len(want.Updates) {
		t.Fatalf("%d files, %d in updates.json, %v", len(files), len(want.Updates), err)
	}
	for name, updates := range want.Updates {
		o, err := metaopt.Load(filepath.Join(corpusDir, name+".mopt"))
		if err != nil {
			t.Error(err)
			continue
		}
		if got, cfg := o.Network.Config(), corpusConfigs[name].WithDefaults(); got != cfg {
			t.Errorf("%s is read as %+v, want %+v", name, got, cfg)
		}
		n := len(want.Gradients[0])
		state, u := o.Network.Start(optimizer.Flat(n)), make([]float32, n)
		for step, g := range want.Gradients {
			state.Update(u, optimizer.Point{Grad: g})
			size := 0.0
			for _, x := range updates[step] {
				size = max(size, math.Abs(x))
			}
			for i, x := range updates[step] {
				if d := math.Abs(float64(u[i]) - x); !(d <= 1e-5*max(math.Abs(x), min(size, 1))) {
					t.Fatalf("%s, step %d: update %d is %v, want %v", name, step, i, u[i], x)
				}
			}
		}
	}
}

// extendCorpus adds what is missing: gradients of sizes from 1e-30 to 100, some of them 0, and
// the files and updates of new configurations, with network parameters of sizes up to 0.7.
func extendCorpus(t *testing.T, path string) {
	t.Helper()
	oracle := corpusOracle{Updates: map[string][][]float64{}}
	if _, err := os.Stat(path); err == nil {
		readJSON(t, path, &oracle)
	}
	const steps, n = 12, 21
	rng := stream.New(0, "corpus gradients", 0)
	for step := len(oracle.Gradients); step < steps; step++ {
		g := make([]float32, n)
		for i := range g {
			switch {
			case i == 0:
			case i < 4: // around the thresholds of log-and-sign
				g[i] = float32(rng.NormFloat64() * math.Exp(-float64(3*i)))
			case i < 18:
				g[i] = float32(rng.NormFloat64() * math.Pow(10, 0.5*float64(i-4)-5))
			default:
				g[i] = float32(rng.NormFloat64() * 1e-30)
			}
		}
		oracle.Gradients = append(oracle.Gradients, g)
	}
	if err := os.MkdirAll(corpusDir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, cfg := range corpusConfigs {
		if oracle.Updates[name] != nil {
			continue
		}
		size, err := lstm.Size(cfg)
		if err != nil {
			t.Fatal(err)
		}
		rng := stream.New(0, "corpus "+name, 0)
		phi, wide := make([]float32, size), make([]float64, size)
		for i := range phi {
			phi[i] = float32(1.4*rng.Float64() - 0.7)
			wide[i] = float64(phi[i])
		}
		net, err := lstm.NewNetwork(cfg, phi)
		if err != nil {
			t.Fatal(err)
		}
		o := &metaopt.Optimizer{Network: net, Provenance: metaopt.Provenance{Name: name, Task: "quadratic", Seed: math.MaxUint64, Source: "corpus_test.go"}}
		if err := metaopt.Save(filepath.Join(corpusDir, name+".mopt"), o); err != nil {
			t.Fatal(err)
		}
		ref, err := lstm.NewReference(cfg, wide)
		if err != nil {
			t.Fatal(err)
		}
		state := ref.NewState(n)
		for _, g := range oracle.Gradients {
			u, grad := make([]float64, n), make([]float64, n)
			for i := range g {
				grad[i] = float64(g[i])
			}
			state.Update(u, grad)
			oracle.Updates[name] = append(oracle.Updates[name], u)
		}
	}
	data, err := json.Marshal(oracle)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(data, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}
