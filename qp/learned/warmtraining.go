package learned

import (
	"fmt"
	"math"
	"math/rand/v2"

	"learnedopt/internal/stream"
	"learnedopt/optimizer"
	"learnedopt/qp"
)

// WarmTraining is the family of the one problem whose unknowns are the weights of a WarmStart's network. The loss of step t is the mean over
// programs that are drawn for it of
//
//	ln(‖T(v) − v‖ / ‖T(v_0) − v_0‖)
//
// where v is where the warm start and Steps − 6 further steps end, v_0 where six cold steps do, and T is ADMM's step: its fixed points are the
// points without KKT residual, and in the norm ‖(x, w)‖² = ‖x‖² + Σ ρ_i w_i² (ρ_i is 1,000 in rows of A and 1 in those of G) a step shrinks. Its
// gradient goes back through all steps by hand.
type WarmTraining struct {
	Source Source
	// Steps is the number of all steps of ADMM, with the first six; 0 means 20. Batch is the number of programs of a step; 0 means 8.
	Steps, Batch int
	// Penalty is that of the WarmStart.
	Penalty float64
}

var _ optimizer.Family = WarmTraining{}

func (f WarmTraining) withDefaults() WarmTraining {
	if f.Steps == 0 {
		f.Steps = 20
	}
	if f.Batch == 0 {
		f.Batch = 8
	}
	return f
}

// Name implements optimizer.Family.
func (f WarmTraining) Name() string {
	f = f.withDefaults()
	return fmt.Sprintf("warm start steps=%d batch=%d penalty=%g of %s", f.Steps, f.Batch, f.Penalty, f.Source.Name)
}

// Sample implements optimizer.Family.
func (f WarmTraining) Sample(r *rand.Rand) (optimizer.Problem, error) {
	f = f.withDefaults()
	if f.Source.Draw == nil || f.Steps <= probes || f.Batch < 1 {
		return nil, fmt.Errorf("learned: training a warm start wants a Source that draws, more than %d Steps, and a Batch of 1 or more", probes)
	}
	w := &warmTraining{f: f, seed: r.Uint64(), start: make([]float32, NetworkSize), gradient: make([]float64, NetworkSize), path: make([][]float64, f.Steps-probes+2)}
	InitNetwork(r, w.start)
	return w, nil
}

type warmTraining struct {
	f        WarmTraining
	seed     uint64
	step     int
	start    []float32
	gradient []float64
	it       qp.Iteration
	probe    probe
	path     [][]float64
	up       []float64
}

var _ optimizer.Seeker = (*warmTraining)(nil)

// Dim implements optimizer.Problem.
func (w *warmTraining) Dim() int { return NetworkSize }

// Init implements optimizer.Problem.
func (w *warmTraining) Init(theta []float32) {
	if len(theta) != NetworkSize {
		panic(errWeights)
	}
	copy(theta, w.start)
}

// Seek implements optimizer.Seeker.
func (w *warmTraining) Seek(t int) { w.step = t }

// LossGrad implements optimizer.Problem.
func (w *warmTraining) LossGrad(theta, grad []float32) (float64, error) {
	if len(theta) != NetworkSize || len(grad) != NetworkSize {
		panic(errWeights)
	}
	r := stream.New(w.seed, "programs of a warm start", uint64(w.step))
	w.step++
	clear(w.gradient)
	loss := 0.0
	for range w.f.Batch {
		one, err := w.one(w.f.Source.Draw(r), theta)
		if err != nil {
			return 0, err
		}
		loss += one / float64(w.f.Batch)
	}
	for i, g := range w.gradient {
		grad[i] = float32(g)
	}
	return loss, nil
}

// one returns the loss of one program and adds its gradient.
func (w *warmTraining) one(p *qp.Problem, theta []float32) (float64, error) {
	if err := w.it.Load(p, w.f.Penalty); err != nil {
		return 0, err
	}
	w.probe.run(&w.it)
	size := len(w.probe.steps[0])
	for i := range w.path {
		w.path[i] = resize(w.path[i], size)
	}
	w.up = resize(w.up, size)
	// The residual of the cold start is that of one more step.
	w.it.Step(w.path[0], w.probe.steps[probes])
	cold := w.norm(nil, w.path[0], w.probe.steps[probes])
	w.probe.guess(w.path[0], theta)
	last := len(w.path) - 1
	for k := range last {
		w.it.Step(w.path[k+1], w.path[k])
	}
	const floor = 1e-30 // of programs that the first steps solve
	square := w.norm(w.up, w.path[last], w.path[last-1]) + floor
	loss := math.Log(square/(cold+floor)) / 2
	// d ln√S = dS/(2S), and S = Σ weight (T(v) − v)²: up holds weight·(T(v) − v).
	for i, u := range w.up {
		w.up[i] = u / square / float64(w.f.Batch)
	}
	direct := append([]float64(nil), w.up...)
	w.it.Adjoint(w.up, w.up, w.path[last-1])
	for i, d := range direct {
		w.up[i] -= d
	}
	for k := last - 2; k >= 0; k-- {
		w.it.Adjoint(w.up, w.up, w.path[k])
	}
	w.probe.back(w.gradient, w.up, theta)
	return loss, nil
}

// norm returns the square of the weighted norm of a − b, and writes the weighted difference into d unless it is nil.
func (w *warmTraining) norm(d, a, b []float64) float64 {
	n, e, _ := w.it.Sizes()
	sum := 0.0
	for i, v := range a {
		weight := 1.0
		if i >= n && i < n+e {
			weight = 1000
		}
		difference := v - b[i]
		sum += weight * difference * difference
		if d != nil {
			d[i] = weight * difference
		}
	}
	return sum
}
