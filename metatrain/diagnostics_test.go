package metatrain_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"learnedopt/compare"
	"learnedopt/internal/stream"
	"learnedopt/lstm"
	"learnedopt/metatrain"
	"learnedopt/optimizer"
	"learnedopt/tasks"
)

// slope is f(θ) = ⟨g, θ⟩: every gradient is g. If spoilt is not nil, that coordinate of step 3's gradient is NaN.
type slope struct {
	g      []float32
	spoilt *int
	t      int
}

func (s *slope) Dim() int             { return len(s.g) }
func (s *slope) Seek(t int)           { s.t = t }
func (s *slope) Init(theta []float32) { clear(theta) }
func (s *slope) LossGrad(theta, grad []float32) (float64, error) {
	f := 0.0
	for i, g := range s.g {
		f += float64(g) * float64(theta[i])
	}
	copy(grad, s.g)
	if s.spoilt != nil && s.t == 3 {
		grad[*s.spoilt] = float32(math.NaN())
	}
	s.t++
	return f, nil
}

// Six gradients for p = 5 and a sign's p of 2: one is 0, another one is small (below e^-5 = 0.0067), and two are clipped
// (at least e^-2 = 0.135).
var slopes = []float32{0, 0.0025, 0.05, 0.5, -2, 0.01}

func scaled(by float64) []float32 {
	g := make([]float32, len(slopes))
	for i, s := range slopes {
		g[i] = float32(by) * s
	}
	return g
}

// byHand returns the update of a network with log-and-sign inputs and without LSTM for a gradient, and the features.
func byHand(phi []float32, g float32) (update, x1, x2 float64) {
	x1 = -1
	if g != 0 {
		x1 = max(-1, math.Log(math.Abs(float64(g)))/5)
	}
	x2 = max(-1, min(1, math.Exp(2)*float64(g)))
	return 0.1 * (float64(phi[0])*x1 + float64(phi[1])*x2 + float64(phi[2])), x1, x2
}

// handNorm is the norm of the meta-gradient of a window of k steps on the slope g. The loss after t steps is t·Σ g u. So
// ∂L/∂φ = 0.1·Σ g x · k(k+1)/2 with x = (x1, x2, 1), for every φ.
func handNorm(g []float32, k float64) float64 {
	var d [3]float64
	for _, v := range g {
		_, x1, x2 := byHand(make([]float32, 3), v)
		for i, x := range []float64{x1, x2, 1} {
			d[i] += 0.1 * float64(v) * x * k * (k + 1) / 2
		}
	}
	return math.Sqrt(d[0]*d[0] + d[1]*d[1] + d[2]*d[2])
}

func rms(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v * v
	}
	return math.Sqrt(sum / float64(len(x)))
}

func agrees(t *testing.T, what string, got compare.Number, want float64) {
	t.Helper()
	if !(math.Abs(float64(got)-want) <= 1e-5*math.Abs(want)) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// diagnosed trains and returns the events of the validations.
func diagnosed(t *testing.T, cfg metatrain.TrainConfig) []metatrain.Event {
	t.Helper()
	var events []metatrain.Event
	cfg.OnEvent = func(e metatrain.Event) {
		if e.Kind == metatrain.EventValidation {
			events = append(events, e)
		} else if e.Diagnostics != nil {
			t.Errorf("diagnostics of an event %q", e.Kind)
		}
	}
	trainer, err := metatrain.NewTrainer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := trainer.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	return events
}

// Two phases of ten meta-steps with a meta-batch of two and one window per episode. Every number is compared with a value
// computed by hand from the slopes.
func TestDiagnosticsAgainstValuesByHand(t *testing.T) {
	phi := []float32{0.5, -0.25, 0.125}
	net, err := lstm.NewNetwork(lstm.Config{NoLSTM: true, P: 5, SignP: 2}, phi)
	if err != nil {
		t.Fatal(err)
	}
	var scales []float64 // scales of the episodes, in order
	events := diagnosed(t, metatrain.TrainConfig{
		Family: family(func(rng *rand.Rand) (optimizer.Problem, error) {
			scales = append(scales, 1+3*float64(rng.IntN(2)))
			if len(scales)%20 == 0 { // so that the last window of a phase is not its largest
				scales[len(scales)-1] = 1
			}
			p := &slope{g: scaled(scales[len(scales)-1])}
			if len(scales) == 5 { // the fifth, of meta-step 2
				p.spoilt = new(int)
				*p.spoilt = 2
			}
			return p, nil
		}),
		Valid: family(func(rng *rand.Rand) (optimizer.Problem, error) {
			p := &slope{g: scaled(1)}
			if rng.Uint64() == stream.New(0, "valid", 1).Uint64() {
				p.spoilt = new(int)
				*p.spoilt = 4
			}
			return p, nil
		}),
		Initial: net, Steps: 10, Unroll: 10, MetaSteps: 20, ValidEvery: 10, ValidRuns: 3, Batch: 2,
		Clip: 2 * handNorm(scaled(1), 10), MetaLearningRate: 0.01,
	})
	if len(events) != 3 || len(scales) != 40 {
		t.Fatalf("%d validations, %d episodes", len(events), len(scales))
	}

	first := events[0].Diagnostics
	if first.Training != nil {
		t.Errorf("training before the first meta-step: %+v", first.Training)
	}
	valid := first.Validation
	var grads, updates []float64
	for _, g := range slopes {
		u, _, _ := byHand(phi, g)
		grads, updates = append(grads, float64(g)), append(updates, u)
	}
	// Runs 0 and 2 are probed at steps 1, 3, 5, 7 and 9, run 1 only at step 1.
	if valid.Sampled != 6*(5+1+5) || len(valid.Updates) != valid.Sampled || !slices.IsSorted(valid.Updates) {
		t.Errorf("%d sampled, %d updates: %v", valid.Sampled, len(valid.Updates), valid.Updates)
	}
	agrees(t, "gradient", valid.GradientRMS, rms(grads))
	agrees(t, "update", valid.UpdateRMS, rms(updates))
	agrees(t, "ratio", valid.UpdateToGradient, rms(updates)/rms(grads))
	agrees(t, "least update", compare.Number(valid.Updates[0]), slices.Min(updates))
	agrees(t, "largest update", compare.Number(valid.Updates[len(valid.Updates)-1]), slices.Max(updates))
	agrees(t, "zero gradients", compare.Number(valid.ZeroGradients), 1./6)
	agrees(t, "small gradients", compare.Number(valid.Inputs.SmallGradients), 1./6)
	agrees(t, "clipped signs", compare.Number(valid.Inputs.ClippedSigns), 2./6)
	if valid.MetaGradient != nil || valid.Gates != nil {
		t.Errorf("a validation of a network without gates has %+v", valid)
	}
	if want := []metatrain.NonFiniteEvent{{MetaStep: 0, Instance: 1, Step: 3, What: "gradient", Coordinate: 4}}; valid.NonFinite.Count != 1 ||
		valid.NonFinite.Of != 3 || !slices.Equal(valid.NonFinite.First, want) {
		t.Errorf("not finite: %+v", valid.NonFinite)
	}

	for phase, e := range events[1:] {
		train := e.Diagnostics.Training
		var norms, grads []float64
		clipped, windows := 0, 20
		for k, s := range scales[20*phase:][:20] {
			if phase == 0 && k == 4 {
				windows--
				continue
			}
			norms = append(norms, handNorm(scaled(s), 10))
			if s > 1 {
				clipped++
			}
			if k/2 == 0 || k/2 == 7 { // the probed meta-steps
				for _, g := range scaled(s) {
					grads = append(grads, float64(g))
				}
			}
		}
		if clipped == 0 || clipped == windows {
			t.Fatalf("all or no windows are to be clipped: the test is blind")
		}
		sum := 0.0
		for _, n := range norms {
			sum += n
		}
		if train.MetaGradient.Windows != windows || train.Sampled != len(grads) {
			t.Errorf("phase %d: %d windows, %d sampled, want %d, %d", phase, train.MetaGradient.Windows, train.Sampled, windows, len(grads))
		}
		agrees(t, "mean norm", train.MetaGradient.MeanNorm, sum/float64(windows))
		agrees(t, "largest norm", train.MetaGradient.MaxNorm, slices.Max(norms))
		agrees(t, "clipped", compare.Number(train.MetaGradient.Clipped), float64(clipped)/float64(windows))
		agrees(t, "training gradient", train.GradientRMS, rms(grads))
		if phase == 1 {
			if train.NonFinite.Count != 0 || train.NonFinite.Of != 20 || train.NonFinite.First != nil {
				t.Errorf("not finite: %+v", train.NonFinite)
			}
		} else if want := []metatrain.NonFiniteEvent{{MetaStep: 2, Instance: 4, Step: 3, What: "gradient", Coordinate: 2}}; train.NonFinite.Count != 1 ||
			train.NonFinite.Of != 20 || !slices.Equal(train.NonFinite.First, want) {
			t.Errorf("not finite: %+v", train.NonFinite)
		}
	}
}

// With weights of 0, a gate depends only on its bias. So the saturated gates can be counted.
func TestGateSaturationAgainstBiases(t *testing.T) {
	cfg := lstm.Config{Hidden: 4}
	layout, err := lstm.Layout(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var phi []float32
	for _, tensor := range layout {
		size := 1
		for _, d := range tensor.Shape {
			size *= d
		}
		data := make([]float32, size)
		switch tensor.Name {
		case "lstm1/b": // σ(3) = 0.953, σ(2.9) = 0.948, tanh(1.9) = 0.956, tanh(1.8) = 0.947
			data = []float32{3, 9, 0, 1 /**/, -9, 0, 0, 2.9 /**/, 1.9, -1.9, 9, 1.8 /**/, -3, -4, 5, 6}
		case "lstm2/b":
			data = []float32{0, 0, 0, 0 /**/, 5, 5, 5, 5 /**/, 0, 0, 0, -3 /**/, 2, -2, 3, -3}
		}
		phi = append(phi, data...)
	}
	net, err := lstm.NewNetwork(cfg, phi)
	if err != nil {
		t.Fatal(err)
	}
	plain := family(func(*rand.Rand) (optimizer.Problem, error) { return &slope{g: scaled(1)}, nil })
	events := diagnosed(t, metatrain.TrainConfig{Family: plain, Initial: net, Steps: 10, Unroll: 5, MetaSteps: 1, ValidRuns: 2, MetaLearningRate: 1e-9})
	want := []metatrain.GateSaturation{{I: 0.5, F: 0.25, G: 0.75, O: 1}, {I: 0, F: 1, G: 0.25, O: 0.5}}
	for k, d := range []*metatrain.Diagnosis{events[0].Diagnostics.Validation, events[1].Diagnostics.Training, events[1].Diagnostics.Validation} {
		if !slices.Equal(d.Gates, want) {
			t.Errorf("diagnosis %d: %+v, want %+v", k, d.Gates, want)
		}
	}
}

// A listener does not change the training, and gets the same events on any number of cores.
func TestDiagnosticsChangeNothing(t *testing.T) {
	quadratics, err := tasks.New("quadratic", tasks.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := metatrain.TrainConfig{Family: quadratics, Network: lstm.Config{Hidden: 5}, Steps: 20, Unroll: 10, MetaSteps: 9, ValidEvery: 3, ValidRuns: 6, Batch: 2}
	train := func(cores int, listen bool) (phi []float32, heard []string) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
		cfg := cfg
		if listen {
			cfg.OnEvent = func(e metatrain.Event) {
				e.Seconds = 0
				line, err := json.Marshal(e)
				if err != nil {
					t.Error(err)
				}
				heard = append(heard, string(line))
			}
		}
		trainer, err := metatrain.NewTrainer(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := trainer.Train(t.Context()); err != nil {
			t.Fatal(err)
		}
		return trainer.Network().Params(), heard
	}
	deaf, _ := train(2, false)
	one, heard1 := train(1, true)
	two, heard2 := train(2, true)
	if !slices.Equal(deaf, one) || !slices.Equal(deaf, two) {
		t.Error("a training that is listened to gives other parameters")
	}
	if !slices.Equal(heard1, heard2) || len(heard1) < 4 {
		t.Errorf("one core says %s\ntwo cores say %s", heard1, heard2)
	}
}

// BenchmarkDiagnostics gives the time of diagnostics in per cent of a meta-step's time: first for one probe at the
// window's end in every seventh meta-step, then with a fiftieth of a validation's 16 probes added. The share is largest
// for one block of coordinates, because a probe reads at most eight blocks.
func BenchmarkDiagnostics(b *testing.B) {
	for _, c := range []struct {
		name, task string
		options    tasks.Options
	}{{"one block", "quadratic-uniform", tasks.Options{Dims: 8, Batch: 4}}, {"quadratic", "quadratic-uniform", tasks.Options{}}, {"mnist", "digits", tasks.Options{}}} {
		b.Run(c.name, func(b *testing.B) {
			fam, err := tasks.New(c.task, c.options)
			if err != nil {
				b.Fatal(err)
			}
			trainer, err := metatrain.NewTrainer(metatrain.TrainConfig{Family: fam, MetaSteps: 1})
			if err != nil {
				b.Fatal(err)
			}
			defer trainer.Close()
			p, err := fam.Sample(stream.New(0, "bench", 0))
			if err != nil {
				b.Fatal(err)
			}
			n := p.Dim()
			state, grad := trainer.Network().NewState(n), make([]float32, n)
			for i := range grad {
				grad[i] = float32(i%17-8) / 100
			}
			var (
				probe    lstm.Probe
				activity lstm.Activity
			)
			step := func() {
				if err := trainer.Step(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			step()
			probe.Look(&activity, state, optimizer.Point{Grad: grad})
			b.ResetTimer()
			for range b.N {
				step()
			}
			steps := b.Elapsed()
			for range b.N {
				probe.Look(&activity, state, optimizer.Point{Grad: grad})
			}
			look := 100 * float64(b.Elapsed()-steps) / float64(steps)
			b.ReportMetric(look/7, "%training")
			b.ReportMetric(look/7+look*16/50, "%with-validation")
		})
	}
}
