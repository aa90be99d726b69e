package lstm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"learnedopt/internal/gemm"
	"learnedopt/optimizer"
)

// A witness computes the context of one tensor of n coordinates from the run's history, in float64, by the text of
// Context and FanIn. It knows nothing of blocks, states and kernels.
type witness struct {
	from, n         int
	shape           []float64 // the seven features of ShapeContext
	inputs          float64
	bias            *witness    // of a layer's weights, its biases
	isWeights       bool        // of a matrix or convolution
	grads, updates  [][]float64 // so far; grads has one row more
	theta           []float64
	total           int
	squares, cosine []float64 // for each step: the mean of g², and the cosine between g_t and u_{t−1}
}

// average is the moving average of a sequence, with its bias removed.
func average(xs []float64, beta float64) float64 {
	sum := 0.0
	for i, x := range xs {
		sum += (1 - beta) * math.Pow(beta, float64(len(xs)-1-i)) * x
	}
	return sum / (1 - math.Pow(beta, float64(len(xs))))
}

func rms(x []float64) float64 { return math.Sqrt(product(x, x) / float64(len(x))) }

func product(x, y []float64) float64 {
	sum := 0.0
	for i := range x {
		sum += x[i] * y[i]
	}
	return sum
}

// see adds a step: the gradient g_t at θ_t, and u_{t−1}.
func (w *witness) see(grad, theta, update []float64) {
	g := grad[w.from : w.from+w.n]
	w.grads, w.theta = append(w.grads, g), theta[w.from:w.from+w.n]
	w.squares = append(w.squares, product(g, g)/math.Max(float64(w.n), 1))
	cosine := 0.0
	if len(w.grads) > 1 {
		u := update[w.from : w.from+w.n]
		w.updates = append(w.updates, u)
		if gg, uu := product(g, g), product(u, u); gg > 0 && uu > 0 {
			cosine = product(g, u) / math.Sqrt(gg*uu)
		}
	}
	w.cosine = append(w.cosine, cosine)
}

// gain is inputs·rms(x) of the tensor's layer.
func (w *witness) gain() float64 {
	if !w.isWeights {
		return 32
	}
	x := 1.0
	if w.bias != nil {
		if v, vb := average(w.squares, 0.999), average(w.bias.squares, 0.999); v > 0 && vb > 0 {
			x = math.Sqrt(v / vb)
		}
	}
	return max(w.inputs*min(max(x, 1e-3), 1e3), 1)
}

// signal is rms(m̂)/√V, m the averages of the gradients before this one, and 1 at the first step.
func (w *witness) signal(beta float64, momenta bool) float64 {
	past := w.grads[:len(w.grads)-1]
	v := average(w.squares, 0.999)
	if len(past) == 0 || v == 0 {
		return 1
	}
	if !momenta {
		return 0
	}
	m := make([]float64, w.n)
	for i := range m {
		var xs []float64
		for _, g := range past {
			xs = append(xs, g[i])
		}
		m[i] = average(xs, beta)
	}
	return rms(m) / math.Sqrt(v)
}

// ratio is ln(a/b), 10 or −10 where it has no such value or exceeds them.
func ratio(a, b float64) float64 {
	if a == 0 {
		return -10
	}
	if b == 0 {
		return 10
	}
	return min(max(math.Log(a)-math.Log(b), -10), 10)
}

// context returns the expected context with the names of its numbers.
func (w *witness) context(cfg Config) (values []float64, names []string) {
	put := func(name string, v float64) { values, names = append(values, min(max(v, -2), 2)), append(names, name) }
	t := float64(len(w.grads))
	v := average(w.squares, 0.999)
	if cfg.Context&ShapeContext != 0 {
		for i, x := range w.shape {
			put(fmt.Sprint("shape ", i), x)
		}
	}
	if cfg.Context&NormContext != 0 {
		put("signal .9", w.signal(0.9, cfg.Inputs&Momenta != 0))
		put("signal .99", w.signal(0.99, cfg.Inputs&Momenta != 0))
		put("V'/V", ratio(average(w.squares, 0.9), v)/5)
		put("V/V_1", ratio(v, w.squares[0])/10)
		uu := 0.0
		if len(w.updates) > 0 {
			u := w.updates[len(w.updates)-1]
			uu = product(u, u)
		}
		tt := product(w.theta, w.theta)
		put("u/θ", ratio(uu, tt)/2/5)
		put("θ·√inputs", ratio(tt/math.Max(float64(w.n), 1)*max(w.inputs, 1), 1)/2/5)
		put("gain", math.Log(w.gain()/248)/5)
	}
	if cfg.Context&FeedbackContext != 0 {
		put("cosine", w.cosine[len(w.cosine)-1])
		put("cosine .9", average(w.cosine, 0.9))
		put("cosine .99", average(w.cosine, 0.99))
	}
	if cfg.Context&TimeContext != 0 {
		put("ln t", math.Log(t)/5-1)
		put("1/t", 1/t)
		known, rest, left := 0.0, 0.0, 0.0
		if w.total > 0 {
			steps := max(float64(w.total)-t, 0)
			known, rest, left = 1, steps/float64(w.total), math.Log(steps+1)/5-1
		}
		put("known", known)
		put("rest", rest)
		put("ln rest", left)
	}
	values, names = append(values, 0, 1), append(names, "1/√V", "factor")
	if v > 0 {
		values[len(values)-2] = 1 / math.Sqrt(v)
	}
	if cfg.FanIn {
		factor := 248 / w.gain()
		if factor > 1 { // layers with few or small inputs get more, but not in proportion
			factor = math.Sqrt(factor)
		}
		values[len(values)-1] = factor
	}
	return values, names
}

// witnesses returns a layout with tensors of all kinds and their witnesses. The shapes are written out, by hand.
func witnesses(total int) (optimizer.Layout, []*witness) {
	layout, err := optimizer.NewLayout(
		optimizer.Tensor{Name: "kernel", Shape: []int{3, 2, 3, 3}, Kind: optimizer.Convolution},
		optimizer.Tensor{Name: "kernel's bias", Shape: []int{3}, Kind: optimizer.Bias},
		optimizer.Tensor{Name: "free", Shape: []int{40}},
		optimizer.Tensor{Name: "W", Shape: []int{6, 5}, Kind: optimizer.Matrix, OutputAxis: 1},
		optimizer.Tensor{Name: "b", Shape: []int{5}, Kind: optimizer.Bias},
		optimizer.Tensor{Name: "none", Shape: []int{0}},
		optimizer.Tensor{Name: "W2", Shape: []int{2, 5}, Kind: optimizer.Matrix},
		optimizer.Tensor{Name: "a bias without weights", Shape: []int{3}, Kind: optimizer.Bias},
	)
	if err != nil {
		panic(err)
	}
	ln := math.Log
	all := []*witness{
		{from: 0, n: 54, inputs: 18, isWeights: true, shape: []float64{1, 0, 1, ln(19) / 8, ln(4) / 8, ln(54) / 16, 0.5 / 3}},
		{from: 54, n: 3, inputs: 18, shape: []float64{1, 1, 0, ln(19) / 8, ln(4) / 8, ln(3) / 16, 0.5 / 3}},
		{from: 57, n: 40, shape: []float64{0, 0, 0, 0, 0, ln(40) / 16, 0.5 / 3}},
		{from: 97, n: 30, inputs: 6, isWeights: true, shape: []float64{1, 0, 0, ln(7) / 8, ln(6) / 8, ln(30) / 16, 1.5 / 3}},
		{from: 127, n: 5, inputs: 6, shape: []float64{1, 1, 0, ln(7) / 8, ln(6) / 8, ln(5) / 16, 1.5 / 3}},
		{from: 132, n: 0, shape: []float64{0, 0, 0, 0, 0, 0, 1.5 / 3}},
		{from: 132, n: 10, inputs: 5, isWeights: true, shape: []float64{1, 0, 0, ln(6) / 8, ln(3) / 8, ln(10) / 16, 2.5 / 3}},
		{from: 142, n: 3, shape: []float64{1, 1, 0, 0, 0, ln(3) / 16, 2.5 / 3}},
	}
	all[0].bias, all[3].bias = all[1], all[4]
	for _, w := range all {
		w.total = total
	}
	return layout, all
}

// A plain is the network of Config all, one coordinate at a time, in float64.
type plain struct {
	hidden     int
	w, b       []float64 // of the LSTM layer
	read, bias []float64 // of the read-out
}

func newPlain(net *Network) plain {
	p := plain{hidden: net.Config().Hidden}
	for _, t := range net.Tensors() {
		data := widen([][]float32{t.Data})[0]
		switch t.Name {
		case "lstm1/w":
			p.w = data
		case "lstm1/b":
			p.b = data
		case "readout/w":
			p.read = data
		case "readout/b":
			p.bias = data
		}
	}
	return p
}

// times is xW + b.
func times(x, w, b []float64) []float64 {
	z := slices.Clone(b)
	for j, v := range x {
		for i := range z {
			z[i] += v * w[j*len(z)+i]
		}
	}
	return z
}

// update is the update without the scale and the factor of FanIn. gs are all gradients of the coordinate so far. inv is
// 1/√V, and o the orthogonal direction. h and c are the state.
func (p plain) update(gs, context []float64, inv, o float64, h, c []float64) float64 {
	var squares []float64
	for _, g := range gs {
		squares = append(squares, g*g)
	}
	g, m := gs[len(gs)-1], average(gs, 0.9)
	v, v95 := math.Sqrt(average(squares, 0.999)), math.Sqrt(average(squares, 0.95))
	s := 1.0
	if m < 0 {
		s = -1
	}
	m99 := average(gs, 0.99)
	x := []float64{s * g / v, s * m / v, s * m99 / v, s * average(gs, 0.999) / v, s * m / v95, (v - 1/inv) / (v + 1/inv)}
	z := times(slices.Concat(x, h, context), p.w, p.b)
	for j := range h {
		gate := func(k int) float64 { return 1 / (1 + math.Exp(-z[k*p.hidden+j])) }
		c[j] = gate(1)*c[j] + gate(0)*math.Tanh(z[2*p.hidden+j])
		h[j] = gate(3) * math.Tanh(c[j])
	}
	a := times(h, p.read, p.bias)
	size := a[5] + math.Sqrt(a[5]*a[5]+1)
	weight := 0.0
	if len(a) > 6 {
		weight = a[6]
	}
	return size * size * (weight*o + a[0]*g/v + a[1]*m/v + a[2]*m99/v + a[3]*m/v95 + a[4]*m*inv)
}

// orthogonal returns the directions of Config.Orthogonal, or zeros for a tensor that is no matrix.
func (w *witness) orthogonal(axes gemm.Axes) []float64 {
	o := make([]float64, w.n)
	if axes.Len() == 0 {
		return o
	}
	seen := make([]bool, w.n)
	for i := range o {
		m := 0.0
		for t, g := range w.grads {
			m += 0.1 * math.Pow(0.9, float64(len(w.grads)-1-t)) * g[i]
			seen[i] = seen[i] || g[i] != 0
		}
		o[i] = 0.9*m + 0.1*w.grads[len(w.grads)-1][i]
	}
	new(gemm.Orthogonalizer[float64]).Run(o, o, axes, math.Sqrt(float64(max(axes.Outputs, axes.Inputs()))))
	for i := range o {
		if !seen[i] {
			o[i] = 0
		}
	}
	return o
}

// TestMixtureByHand compares the updates of 20 steps with those of a plain network that reads the witnesses' contexts.
func TestMixtureByHand(t *testing.T) {
	for _, kind := range []struct{ fan, orthogonal bool }{{false, false}, {true, false}, {true, true}} {
		cfg := Config{Hidden: 4, Layers: 1, Inputs: Momenta, Readout: Mix, FanIn: kind.fan, Orthogonal: kind.orthogonal, Scale: 0.01,
			Context: ShapeContext | NormContext | FeedbackContext | TimeContext}
		net, _ := pair(t, cfg, 3)
		const total = 30
		layout, all := witnesses(total)
		n := layout.Len()
		s, p := net.Start(layout), newPlain(net)
		grads, theta, u := gradients(rand.New(rand.NewPCG(4, 4)), 20, n), pointOf(n), make([]float32, n)
		h, c, past := make([][]float64, n), make([][]float64, n), make([][]float64, n)
		for i := range n {
			h[i], c[i] = make([]float64, p.hidden), make([]float64, p.hidden)
		}
		for _, g := range grads {
			wide := widen([][]float32{g, theta, u})
			s.Update(u, optimizer.Point{Grad: g, Theta: theta, Total: total})
			for _, w := range all {
				w.see(wide[0], wide[1], wide[2])
			}
			want := make([]float64, n)
			for _, w := range all {
				context, _ := w.context(net.Config())
				o := w.orthogonal(axesAt(layout, w.from, w.n))
				features := len(context) - 2
				for i := w.from; i < w.from+w.n; i++ {
					past[i] = append(past[i], wide[0][i])
					want[i] = cfg.Scale * context[features+1] * p.update(past[i], context[:features], context[features], o[i-w.from], h[i], c[i])
				}
			}
			tolerance := 2e-5
			if kind.orthogonal {
				tolerance = 1e-3 // the error of gemm.Orthogonalizer in float32
			}
			compare(t, "update", u, want, tolerance)
			for i := range theta {
				theta[i] += u[i]
			}
		}
	}
}

// axesAt returns the axes of the tensor at the given coordinates.
func axesAt(layout optimizer.Layout, from, n int) gemm.Axes {
	for _, t := range layout.Tensors() {
		if t.From == from && t.Len() == n {
			before, after := t.AroundOutputs()
			return gemm.Axes{Before: before, Outputs: t.Outputs(), After: after}
		}
	}
	panic("no such tensor")
}

// TestContext compares what a network sees with the witnesses over 60 steps of a run whose parameters move. The state's
// averages are float32: 1e-4 allows for 60 roundings and for the logarithms' slopes, and a wrong formula is off by more.
func TestContext(t *testing.T) {
	every := ShapeContext | NormContext | FeedbackContext | TimeContext
	for what, c := range map[string]struct {
		cfg   Config
		total int
		gain  func(t, i int) float64 // of gradients
	}{
		"all":          {cfg: Config{Hidden: 3, Layers: 1, Inputs: Momenta, Readout: Mix, Context: every, FanIn: true}},
		"known length": {cfg: Config{Hidden: 3, Layers: 1, Inputs: Momenta, Readout: Mix, Context: every, FanIn: true}, total: 50},
		"a run so long that a feature is clipped": {cfg: Config{NoLSTM: true, Context: TimeContext}, total: 1_000_000_000},
		"no momenta":        {cfg: Config{Hidden: 3, Layers: 1, Inputs: RNNProp, Readout: Tanh, Context: every}, total: 60},
		"shape":             {cfg: Config{NoLSTM: true, Context: ShapeContext}},
		"norms":             {cfg: Config{NoLSTM: true, Inputs: Momenta, Context: NormContext}},
		"feedback and time": {cfg: Config{NoLSTM: true, Context: FeedbackContext | TimeContext}, total: 7},
		"fan-in":            {cfg: Config{NoLSTM: true, FanIn: true}},
		"growing": {cfg: Config{Hidden: 3, Layers: 1, Inputs: Momenta, Readout: Mix, Context: every, FanIn: true},
			gain: func(t, i int) float64 { return math.Exp(float64(t) / 4) }},
		"shrinking": {cfg: Config{Hidden: 3, Layers: 1, Inputs: Momenta, Readout: Mix, Context: every, FanIn: true},
			gain: func(t, i int) float64 { return math.Exp(-float64(t) / 2) }},
		"no gradient in biases": {cfg: Config{Hidden: 3, Layers: 1, Inputs: Momenta, Readout: Mix, Context: every, FanIn: true},
			gain: func(t, i int) float64 {
				if i >= 127 && i < 132 {
					return 0
				}
				return 1
			}},
		"large inputs, and a bias that starts late": {cfg: Config{Hidden: 3, Layers: 1, Inputs: Momenta, Readout: Mix, Context: every, FanIn: true},
			gain: func(t, i int) float64 {
				switch {
				case i < 54:
					return 1e5
				case i >= 127 && i < 132 && t < 5:
					return 0
				case i >= 97 && i < 127:
					return 1e-5
				}
				return 1
			}},
	} {
		t.Run(what, func(t *testing.T) {
			layout, all := witnesses(c.total)
			n := layout.Len()
			net, _ := pair(t, c.cfg, 3)
			s := net.Start(layout).(*State)
			rng := rand.New(rand.NewPCG(2, 3))
			theta, u, mean := pointOf(n), make([]float32, n), make([]float64, n)
			for i := range mean {
				mean[i] = rng.NormFloat64()
			}
			wide := func(x []float32) []float64 { return widen([][]float32{x})[0] }
			least, most := map[string]float64{}, map[string]float64{}
			for step := range 60 {
				g := make([]float32, n)
				for i := range g {
					x := mean[i] + rng.NormFloat64() + 3*float64(theta[i])
					if c.gain != nil {
						x *= c.gain(step, i)
					}
					g[i] = float32(x)
				}
				before := wide(u)
				s.Update(u, optimizer.Point{Grad: g, Theta: theta, Total: c.total})
				for _, w := range all {
					w.see(wide(g), wide(theta), before)
				}
				for k, w := range all {
					want, names := w.context(net.Config())
					got := s.Context()[k*len(want):][:len(want)]
					for i, x := range want {
						if name := names[i]; !(math.Abs(float64(got[i])-x) <= 1e-4*max(1, math.Abs(x))) {
							t.Fatalf("step %d, %s: %s is %v, want %v", step, layout.Tensors()[k].Name, name, got[i], x)
						}
						if old, ok := least[names[i]]; !ok || x < old {
							least[names[i]] = x
						}
						if old, ok := most[names[i]]; !ok || x > old {
							most[names[i]] = x
						}
					}
				}
				if len(s.Context()) != len(all)*net.core.contextSize() {
					t.Fatalf("%d numbers for %d tensors", len(s.Context()), len(all))
				}
				for i := range theta {
					theta[i] += u[i]
				}
			}
			for name, low := range least {
				constant := []string{"factor", "known", "rest", "ln rest", "cosine", "signal"} // of some configurations
				if low == most[name] && !slices.ContainsFunc(constant, func(c string) bool { return strings.HasPrefix(name, c) }) {
					t.Errorf("%s is always %v: the test is blind", name, low)
				}
			}
		})
	}
}
