package metaopt_test

import (
	"encoding/json"
	"flag"
	"math"
	"os"
	"path/filepath"
	"slices"
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
	"fan_in":      {Inputs: lstm.RNNProp, Hidden: 3, Layers: 1, FanIn: true},
	"context":     {Inputs: lstm.LogAndSign, Context: lstm.ShapeContext | lstm.NormContext | lstm.FeedbackContext | lstm.TimeContext, Hidden: 4, Layers: 1, Scale: 0.01},
	"momenta":     {Inputs: lstm.Momenta, Context: lstm.NormContext, Dense: 4, Hidden: 3, Layers: 1, Scale: 0.01},
	"mix":         {Inputs: lstm.RNNProp | lstm.Momenta, Context: lstm.ShapeContext | lstm.TimeContext, Hidden: 4, Readout: lstm.Mix, FanIn: true, Anneal: 6, Scale: 0.01},
	"orthogonal": {Inputs: lstm.Momenta, Context: lstm.ShapeContext | lstm.NormContext | lstm.FeedbackContext | lstm.TimeContext, Hidden: 5, Layers: 1, Readout: lstm.Mix,
		FanIn: true, Orthogonal: true, Scale: 0.01},
	"orthogonal_mean": {Inputs: lstm.Momenta, Context: lstm.NormContext | lstm.TimeContext, Hidden: 4, Layers: 1, Readout: lstm.Mix,
		FanIn: true, Orthogonal: true, OrthogonalMean: true, Scale: 0.01},
	"hyper": {Inputs: lstm.Momenta, Context: lstm.ShapeContext | lstm.NormContext | lstm.FeedbackContext | lstm.TimeContext, Hidden: 4, Layers: 1, Readout: lstm.Mix,
		FanIn: true, Orthogonal: true, OrthogonalMean: true, Hyper: 5, Scale: 0.01},
}

// A corpusOracle is the content of testdata/corpus/updates.json: for every file of the
// corpus, the updates that the float64 reference computes for the same gradients,
// steps × coordinates. Networks with eyes also see the layout, the parameters at each step and the run's length.
type corpusOracle struct {
	Gradients  [][]float32            `json:"gradients"`
	Parameters [][]float32            `json:"parameters"`
	Layout     []corpusTensor         `json:"layout"`
	Total      int                    `json:"total"`
	Updates    map[string][][]float64 `json:"updates"`
}

// A corpusTensor is an optimizer.Tensor in JSON.
type corpusTensor struct {
	Shape      []int  `json:"shape"`
	Kind       string `json:"kind"`
	OutputAxis int    `json:"output_axis"`
}

func (o corpusOracle) layout(t *testing.T) optimizer.Layout {
	t.Helper()
	kinds := map[string]optimizer.Kind{}
	for k := optimizer.Vector; k <= optimizer.Convolution; k++ {
		kinds[k.String()] = k
	}
	var tensors []optimizer.Tensor
	for _, x := range o.Layout {
		tensors = append(tensors, optimizer.Tensor{Shape: x.Shape, Kind: kinds[x.Kind], OutputAxis: x.OutputAxis})
	}
	layout, err := optimizer.NewLayout(tensors...)
	if err != nil {
		t.Fatal(err)
	}
	return layout
}

const corpusDir = "testdata/corpus"

// TestCorpusUpdates reads files that cover the configuration and expects the updates
// that these files have always given. The tolerance is 1e-5 of an update or of the largest
// update of its step: rounding is 6e-8, times some hundred operations, and gates are off by 7 ulp. An orthogonalized
// momentum in float32 has an error of 1e-3 (gemm.Orthogonalizer).
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
		state, u, tolerance := o.Network.Start(want.layout(t)), make([]float32, n), 1e-5
		if o.Network.Config().Orthogonal {
			tolerance = 1e-3
		}
		for step, g := range want.Gradients {
			state.Update(u, optimizer.Point{Grad: g, Theta: want.Parameters[step], Total: want.Total})
			size := 0.0
			for _, x := range updates[step] {
				size = max(size, math.Abs(x))
			}
			for i, x := range updates[step] {
				if d := math.Abs(float64(u[i]) - x); !(d <= tolerance*max(math.Abs(x), min(size, 1))) {
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
	if oracle.Layout == nil { // in each tensor there are gradients whose squares are no subnormal numbers
		oracle.Total = steps + 3
		oracle.Layout = []corpusTensor{
			{[]int{2, 4}, "matrix", 1}, {[]int{4}, "bias", 0}, {[]int{3}, "vector", 0}, {[]int{1, 2, 3}, "convolution", 1},
		}
		theta, rng := make([]float32, n), stream.New(0, "corpus parameters", 0)
		for range steps {
			for i := range theta {
				theta[i] += float32(0.1 * rng.NormFloat64())
			}
			oracle.Parameters = append(oracle.Parameters, slices.Clone(theta))
		}
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
		state := ref.NewStateOn(oracle.layout(t))
		for step, g := range oracle.Gradients {
			u, grad, theta := make([]float64, n), make([]float64, n), make([]float64, n)
			for i := range g {
				grad[i], theta[i] = float64(g[i]), float64(oracle.Parameters[step][i])
			}
			state.Advance(u, grad, theta, oracle.Total)
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
