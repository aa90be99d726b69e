package metaopt_test

import (
	"context"
	"encoding"
	"errors"
	"math"
	"slices"
	"testing"

	"learnedopt/baselines"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
)

// logits is the problem whose parameters are the logits of one example of class 0: f = −log softmax(θ)_0, and the divergence is that of two
// softmaxes.
type logits struct {
	start []float32
	// What is said of a trial, if set, in place of the truth.
	lie func(optimizer.Trial) optimizer.Trial
}

func probabilities(theta []float32) []float64 {
	p, sum := make([]float64, len(theta)), 0.0
	for i, x := range theta {
		p[i] = math.Exp(float64(x) - float64(slices.Max(theta)))
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

func divergenceOf(theta, to []float32) (kl float64) {
	q := probabilities(to)
	for i, p := range probabilities(theta) {
		kl += p * math.Log(p/q[i])
	}
	return kl
}

func (l logits) Dim() int             { return len(l.start) }
func (l logits) Init(theta []float32) { copy(theta, l.start) }
func (l logits) LossGrad(theta, grad []float32) (float64, error) {
	p := probabilities(theta)
	for i := range p {
		grad[i] = float32(p[i])
	}
	grad[0]--
	return -math.Log(p[0]), nil
}
func (l logits) Metrics() optimizer.Metric { return optimizer.Fisher }
func (l logits) CurvatureProduct(dst, theta, v []float32, _ optimizer.Metric, _ int) error {
	p, mean := probabilities(theta), 0.0
	for i, x := range v {
		mean += p[i] * float64(x)
	}
	for i, x := range v {
		dst[i] = float32(p[i] * (float64(x) - mean))
	}
	return nil
}
func (l logits) CanTry() bool { return true }
func (l logits) Try(theta, to []float32, _ int) (optimizer.Trial, error) {
	t := optimizer.Trial{Change: math.Log(probabilities(theta)[0] / probabilities(to)[0]), KL: divergenceOf(theta, to)}
	if l.lie != nil {
		t = l.lie(t)
	}
	return t, nil
}

var triangle = logits{start: []float32{0, 1, -1}}

// Where the guard does not act a run is the unguarded one, bit for bit. Where it acts every step has KL ≤ δ, recomputed here, and steps are
// not made smaller than the factor 0.8 asks for.
func TestKLGuardBoundsSteps(t *testing.T) {
	for _, rate := range []float64{0.01, 30} {
		rule := baselines.SGD{LearningRate: rate}
		plain, err := optimizer.Run(context.Background(), rule, triangle, 20)
		if err != nil {
			t.Fatal(err)
		}
		const radius = 0.02
		var steps []metaopt.KLStep
		guard := metaopt.KLGuard{Radius: radius, OnStep: func(s metaopt.KLStep) { steps = append(steps, s) }}
		state := metaopt.Bounded{Rule: rule, Guard: guard}.Start(optimizer.Flat(3))
		theta, grad, dst, acted := slices.Clone(triangle.start), make([]float32, 3), make([]float32, 3), 0
		for step := range 20 {
			loss, _ := triangle.LossGrad(theta, grad)
			if _, err := state.Update(dst, optimizer.Point{Grad: grad, Theta: theta, Loss: loss, Curvature: triangle, Step: step}); err != nil {
				t.Fatal(err)
			}
			was := slices.Clone(theta)
			for i, u := range dst {
				theta[i] += u
			}
			kl := divergenceOf(was, theta)
			if !(kl <= radius*(1+1e-5)) || math.Abs(steps[step].Trial.KL-kl) > 1e-9 {
				t.Errorf("rate %v, step %d: a divergence of %v, reported as %+v", rate, step, kl, steps[step])
			}
			if steps[step].Scale < 1 {
				acted++
				if want := -rate * float64(grad[1]) * steps[step].Scale; math.Abs(float64(dst[1])-want) > 1e-5*math.Abs(want) {
					t.Errorf("the update is %v, want %v", dst[1], want)
				}
				if kl < radius/4 {
					t.Errorf("rate %v, step %d: a divergence of only %v", rate, step, kl)
				}
			}
		}
		if rate < 1 && (acted != 0 || !slices.Equal(theta, plain.Theta)) {
			t.Errorf("rate %v: the guard acts %d times; θ is %v, unguarded %v", rate, acted, theta, plain.Theta)
		}
		if rate > 1 && acted < 5 {
			t.Errorf("rate %v: the guard acts %d times", rate, acted)
		}
	}
}

// The three causes of a handover, and what follows: the fallback from a fresh state, bounded too.
func TestKLGuardHandsOver(t *testing.T) {
	nan := float32(math.NaN())
	rising := func(t optimizer.Trial) optimizer.Trial { t.Change = 1; return t }
	for cause, c := range map[string]struct {
		rule  optimizer.Rule
		p     logits
		step  int
		loose bool
	}{
		"update":     {constant(nan), triangle, 0, true},
		"rise":       {baselines.SGD{LearningRate: 30}, logits{start: triangle.start, lie: rising}, 2, true},
		"divergence": {baselines.SGD{LearningRate: 30}, logits{start: triangle.start, lie: func(t optimizer.Trial) optimizer.Trial { t.KL = math.Inf(1); return t }}, 0, false},
	} {
		var handovers []metaopt.Handover
		rule := metaopt.Bounded{Rule: c.rule, Guard: metaopt.KLGuard{
			Radius: 0.05, Patience: 3, Fallback: baselines.Adam{LearningRate: 0.5}, OnHandover: func(h metaopt.Handover) { handovers = append(handovers, h) },
		}}
		state, theta, grad, dst := rule.Start(optimizer.Flat(3)), slices.Clone(c.p.start), make([]float32, 3), make([]float32, 3)
		fallback := metaopt.Bounded{Rule: baselines.Adam{LearningRate: 0.5}, Guard: metaopt.KLGuard{Radius: 0.05, Patience: 1000}}.Start(optimizer.Flat(3))
		want := make([]float32, 3)
		for step := range 8 {
			loss, _ := c.p.LossGrad(theta, grad)
			p := optimizer.Point{Grad: grad, Theta: theta, Loss: loss, Curvature: c.p, Step: step}
			if _, err := state.Update(dst, p); err != nil {
				t.Fatalf("%s: %v", cause, err)
			}
			if step == c.step && (dst[0] != 0 || dst[1] != 0) {
				t.Errorf("%s: the step of the handover moves by %v", cause, dst)
			}
			if step > c.step && c.loose {
				if _, err := fallback.Update(want, p); err != nil || !slices.Equal(dst, want) {
					t.Errorf("%s, step %d: update %v, the fallback's %v (%v)", cause, step, dst, want, err)
				}
			}
			was := slices.Clone(theta)
			for i, u := range dst {
				theta[i] += u
			}
			if kl := divergenceOf(was, theta); kl > 0.05*(1+1e-5) {
				t.Errorf("%s, step %d: a divergence of %v", cause, step, kl)
			}
		}
		if len(handovers) != 1 || handovers[0].Cause != cause || handovers[0].Step != c.step || handovers[0].Loss == 0 {
			t.Errorf("handovers %+v, want one at step %d because of %q", handovers, c.step, cause)
		}
	}
	// Rises that are not in a row are none, and a divergence far from its second order does not make a step longer.
	rises := 0
	for patience, want := range map[int]int{1: 1, 2: 0} {
		last, n := make([]float32, 3), 0
		lie := logits{start: triangle.start, lie: func(t optimizer.Trial) optimizer.Trial {
			t.Change = float64(1 - 2*(n%2))
			return t
		}}
		rises = 0
		state := metaopt.Bounded{Rule: baselines.SGD{LearningRate: 30}, Guard: metaopt.KLGuard{Radius: 1e-3, Patience: patience, OnHandover: func(metaopt.Handover) { rises++ }}}.Start(optimizer.Flat(3))
		for n = range 8 {
			grad := make([]float32, 3)
			loss, _ := lie.LossGrad(lie.start, grad)
			if _, err := state.Update(last, optimizer.Point{Grad: grad, Theta: lie.start, Loss: loss, Curvature: lie, Step: n}); err != nil {
				t.Fatal(err)
			}
		}
		if rises != want {
			t.Errorf("patience %d: %d handovers of a loss that rises at every other step", patience, rises)
		}
	}
	far := logits{start: triangle.start, lie: func(t optimizer.Trial) optimizer.Trial { t.KL *= 1e4; return t }}
	grad, dst := make([]float32, 3), make([]float32, 3)
	_, _ = far.LossGrad(far.start, grad)
	_, err := metaopt.Bounded{Rule: baselines.SGD{LearningRate: 0.1}, Guard: metaopt.KLGuard{Radius: 1}}.Start(optimizer.Flat(3)).Update(dst,
		optimizer.Point{Grad: grad, Theta: far.start, Curvature: far})
	if err != nil || dst[0] == 0 || math.Abs(float64(dst[0])) >= 0.1*math.Abs(float64(grad[0])) {
		t.Errorf("update %v of the gradient %v (%v)", dst, grad, err)
	}
	// A fallback with non-finite updates is a divergence.
	rule := metaopt.Bounded{Rule: constant(nan), Guard: metaopt.KLGuard{Radius: 1, Fallback: constant(nan)}}
	out, err := optimizer.Run(context.Background(), rule, triangle, 5)
	if err != nil || out.Diverged == nil || out.Diverged.What != "update" || len(out.Losses) != 2 {
		t.Errorf("%v, %v after %d losses", out.Diverged, err, len(out.Losses))
	}
}

// A pushed rule has one update.
type pushed []float32

func (pushed) Needs() optimizer.Needs                   { return optimizer.Needs{} }
func (r pushed) Start(optimizer.Layout) optimizer.State { return r }
func (r pushed) Update(dst []float32, _ optimizer.Point) (optimizer.Move, error) {
	copy(dst, r)
	return 0, nil
}

// A nanLogits problem has products that are not numbers.
type nanLogits struct{ logits }

func (nanLogits) CurvatureProduct(dst, _, _ []float32, _ optimizer.Metric, _ int) error {
	for i := range dst {
		dst[i] = float32(math.NaN())
	}
	return nil
}

// A Fisher matrix that is almost 0 along the update, as of a certain prediction, or a product that is not a number says nothing about the size of a
// step: the guard makes it smaller until the divergence is right. A divergence that is not a number is too large.
func TestKLGuardOfBadProducts(t *testing.T) {
	nan := logits{start: triangle.start, lie: func(t optimizer.Trial) optimizer.Trial { t.KL = math.NaN(); return t }}
	for name, c := range map[string]struct {
		p      optimizer.Problem
		start  []float32
		update pushed
		radius float64
		scale  float64
	}{
		"certain":             {logits{start: []float32{40, 0, 0}}, []float32{40, 0, 0}, pushed{-30, 0, 0}, 1e-5, 0.8}, // KL = 2e^{−40+30s}
		"unused class":        {logits{start: []float32{0, 0, -200}}, []float32{0, 0, -200}, pushed{0, 0, 230}, 0.1, math.Pow(0.8, 1)},
		"NaN in the product":  {nanLogits{triangle}, triangle.start, pushed{1, 0, 0}, 0.05, 0.64},
		"NaN as a divergence": {nan, triangle.start, pushed{1, 0, 0}, 0.1, 0},
	} {
		var steps []metaopt.KLStep
		rule := metaopt.Bounded{Rule: c.update, Guard: metaopt.KLGuard{Radius: c.radius, OnStep: func(s metaopt.KLStep) { steps = append(steps, s) }}}
		dst, to := make([]float32, 3), make([]float32, 3)
		point := optimizer.Point{Grad: make([]float32, 3), Theta: c.start, Curvature: c.p.(optimizer.Curvature)}
		if _, err := rule.Start(optimizer.Flat(3)).Update(dst, point); err != nil {
			t.Fatal(err)
		}
		for i, u := range dst {
			to[i] = c.start[i] + u
		}
		if kl := divergenceOf(c.start, to); !(kl <= c.radius) || math.Abs(steps[0].Scale-c.scale) > 1e-6 || optimizer.NonFinite(dst) >= 0 {
			t.Errorf("%s: update %v with a divergence of %v, scale %v, want scale %v", name, dst, kl, steps[0].Scale, c.scale)
		}
	}
}

// A guarded run that is saved and resumed continues bit for bit, before and after a handover, also in a Run under a second guard, and other settings are
// refused.
func TestKLGuardSaves(t *testing.T) {
	for _, at := range []int{1, 2, 5} {
		lie := logits{start: triangle.start, lie: func(t optimizer.Trial) optimizer.Trial { t.Change = 1; return t }}
		rule := metaopt.Bounded{Rule: baselines.Momentum{LearningRate: 30, Momentum: 0.9}, Guard: metaopt.KLGuard{Radius: 0.05, Patience: 3}}
		has := optimizer.Offers(lie)
		run := func(rule optimizer.Rule) *metaopt.Run {
			r, err := metaopt.StartRule(rule, optimizer.Flat(3), has)
			if err != nil {
				t.Fatal(err)
			}
			r.SetCurvature(lie)
			return r
		}
		one := run(metaopt.Guarded{Rule: rule})
		theta, grad := slices.Clone(lie.start), make([]float32, 3)
		var other *metaopt.Run
		var copied []float32
		for step := range 9 {
			if step == at {
				data, err := one.MarshalBinary()
				if err != nil {
					t.Fatal(err)
				}
				other, copied = run(metaopt.Guarded{Rule: rule}), slices.Clone(theta)
				if err := other.UnmarshalBinary(data); err != nil {
					t.Fatal(err)
				}
				changed := rule
				changed.Guard.Radius = 0.06
				if err := run(metaopt.Guarded{Rule: changed}).UnmarshalBinary(data); !errors.Is(err, metaopt.ErrChanged) {
					t.Errorf("another radius: %v", err)
				}
				if err := run(metaopt.Guarded{Rule: changed}).ResumeChanged(data); err != nil {
					t.Errorf("another radius, resumed as changed: %v", err)
				}
			}
			loss, _ := lie.LossGrad(theta, grad)
			if err := one.StepLoss(theta, grad, loss); err != nil {
				t.Fatal(err)
			}
			if other != nil {
				if err := other.StepLoss(copied, grad, loss); err != nil || !slices.Equal(copied, theta) {
					t.Fatalf("saved at %d: step %d is %v, resumed %v (%v)", at, step, theta, copied, err)
				}
			}
		}
	}
	// The run says when it was handed over.
	run, err := metaopt.StartRule(metaopt.Bounded{Rule: constant(float32(math.NaN())), Guard: metaopt.KLGuard{Radius: 1}}, optimizer.Flat(3), optimizer.Offers(triangle))
	if err != nil {
		t.Fatal(err)
	}
	run.SetCurvature(triangle)
	if err := run.StepLoss(slices.Clone(triangle.start), make([]float32, 3), 1); err != nil {
		t.Fatal(err)
	}
	if h, ok := run.HandedOver(); !ok || h.Cause != "update" {
		t.Errorf("handed over: %+v, %v", h, ok)
	}
	state := metaopt.Bounded{Rule: baselines.SGD{LearningRate: 1}, Guard: metaopt.KLGuard{Radius: 1}}.Start(optimizer.Flat(3))
	data, _ := state.(encoding.BinaryMarshaler).MarshalBinary()
	for _, bad := range [][]byte{nil, data[:len(data)-1]} {
		if err := state.(encoding.BinaryUnmarshaler).UnmarshalBinary(bad); !errors.Is(err, metaopt.ErrState) {
			t.Errorf("damaged data: %v", err)
		}
	}
}

func TestKLGuardValidate(t *testing.T) {
	sgd := baselines.SGD{LearningRate: 1}
	for name, b := range map[string]metaopt.Bounded{
		"no rule": {Guard: metaopt.KLGuard{Radius: 1}}, "no radius": {Rule: sgd}, "NaN": {Rule: sgd, Guard: metaopt.KLGuard{Radius: math.NaN()}},
		"patience": {Rule: sgd, Guard: metaopt.KLGuard{Radius: 1, Patience: -1}}, "rule": {Rule: baselines.SGD{}, Guard: metaopt.KLGuard{Radius: 1}},
		"fallback": {Rule: sgd, Guard: metaopt.KLGuard{Radius: 1, Fallback: baselines.SGD{}}}, "guard within": {Rule: metaopt.Guarded{Rule: sgd}, Guard: metaopt.KLGuard{Radius: 1}},
	} {
		if b.Validate() == nil {
			t.Errorf("%s is valid", name)
		}
	}
	if err := (metaopt.Guarded{Rule: metaopt.Bounded{Rule: sgd, Guard: metaopt.KLGuard{Radius: 1}}}).Validate(); err != nil {
		t.Errorf("a guard around a KL guard: %v", err)
	}
	need := new(optimizer.NeedError)
	if _, err := metaopt.StartRule(metaopt.Bounded{Rule: sgd, Guard: metaopt.KLGuard{Radius: 1}}, optimizer.Flat(3), optimizer.Needs{Theta: true}); !errors.As(err, &need) {
		t.Errorf("without curvature: %v", err)
	}
}
