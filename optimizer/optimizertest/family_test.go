package optimizertest

import (
	"math/rand/v2"
	"strings"
	"testing"

	"learnedopt/optimizer"
)

// A flawed problem is f_t(θ) = a_t Σ (θ_i − ξ_t)²/2, with one flaw.
type flawed struct {
	flaw     string
	seed     uint64
	step     int
	n        int
	products float32
}

func (p *flawed) Dim() int { return p.n }

func (p *flawed) Init(theta []float32) {
	if len(theta) != p.n && p.flaw != "lengths" {
		panic("length")
	}
	for i := range theta {
		theta[i] = 1
	}
	if p.flaw == "start" && len(theta) > 1 {
		theta[1] = float32(p.step)
	}
}

func (p *flawed) LossGrad(theta, grad []float32) (float64, error) {
	if len(theta) != p.n || len(grad) != p.n {
		panic("length")
	}
	index, a := uint64(p.step), curve(p.step)
	p.step++
	if p.flaw == "data" {
		index += uint64(p.step) * 1000
		p.seed++
	}
	xi := rand.New(rand.NewPCG(p.seed, index)).Float32()
	loss := 0.0
	for i, x := range theta {
		grad[i] = a * (x - xi)
		loss += float64(a) * float64(x-xi) * float64(x-xi) / 2
	}
	switch p.flaw {
	case "gradient":
		grad[0] *= 1.05
	case "theta":
		theta[0] += 1e-3
	}
	return loss, nil
}

func (p *flawed) Seek(t int) { p.step = t }

func (p *flawed) Metrics() optimizer.Metric {
	if p.flaw == "another metric" {
		return optimizer.Hessian | optimizer.Fisher | 1<<4
	}
	return optimizer.Hessian | optimizer.Fisher
}

// CurvatureProduct multiplies by the second derivative of step t, for both metrics. A flaw may change the product.
func (p *flawed) CurvatureProduct(dst, theta, v []float32, metric optimizer.Metric, step int) error {
	switch {
	case len(theta) != p.n || len(dst) != p.n || len(v) != p.n && p.flaw != "vector":
		panic("length")
	case metric != optimizer.Hessian && metric != optimizer.Fisher && p.flaw != "metric":
		panic("metric")
	}
	if p.flaw == "step of LossGrad" {
		step = p.step
	}
	factor := curve(step)
	switch {
	case p.flaw == "hessian":
		factor *= 1.01
	case p.flaw == "indefinite" && metric == optimizer.Fisher:
		factor = -1
	case p.flaw == "moves":
		p.step = step + 1
	case p.flaw == "memory":
		p.products++
		factor += p.products / 1024
	}
	for i := range dst {
		dst[i] = factor * v[min(i, len(v)-1)]
	}
	switch p.flaw {
	case "in place":
		clear(dst)
		for i := range dst {
			dst[i] = factor * v[min(i, len(v)-1)]
		}
	case "symmetry":
		dst[0] += v[1]
	case "writes v":
		v[0]++
	}
	return nil
}

func curve(step int) float32 { return 1 + float32(step)/8 }

func (p *flawed) Layout() optimizer.Layout {
	switch p.flaw {
	case "layout":
		return optimizer.Flat(p.n + 1)
	case "other layout":
		p.products++
		return optimizer.Slices([][]float32{make([]float32, int(p.products)), make([]float32, p.n-int(p.products))})
	}
	return optimizer.Flat(p.n)
}

// plain has the Hessian and reports that it has no Fisher.
type plain struct{ *flawed }

func (plain) Metrics() optimizer.Metric { return optimizer.Hessian }

type flawedFamily struct {
	flaw  string
	drawn *uint64
}

func (f flawedFamily) Name() string { return f.flaw }

func (f flawedFamily) Sample(rng *rand.Rand) (optimizer.Problem, error) {
	p := &flawed{flaw: f.flaw, seed: rng.Uint64(), n: 3}
	if f.flaw == "draw" {
		*f.drawn++
		p.seed = *f.drawn
	}
	return p, nil
}

// Each flaw is found by its own check.
func TestFamilyChecks(t *testing.T) {
	ConformFamily(t, flawedFamily{})
	checks := map[string]func(optimizer.Problem) error{
		"layout": layout, "other layout": layout,
		"start": starts, "gradient": gradientOfLoss, "theta": gradientOfLoss, "data": seeks, "lengths": problemLengths,
		"hessian": curvature, "step of LossGrad": curvature, "symmetry": curvature, "indefinite": curvature, "moves": curvature, "memory": curvature,
		"in place": curvature, "writes v": curvature, "vector": curvature, "metric": curvature, "another metric": curvature,
	}
	for flaw, check := range checks {
		p, err := draw(flawedFamily{flaw: flaw}, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := check(p); err == nil {
			t.Errorf("%s: not found", flaw)
		}
	}
	if err := curvature(plain{&flawed{n: 3}}); err == nil || !strings.Contains(err.Error(), "Fisher is not offered") {
		t.Errorf("a metric that is not offered: %v", err)
	}
	if err := draws(flawedFamily{"draw", new(uint64)}); err == nil || !strings.Contains(err.Error(), "one source") {
		t.Errorf("draw: %v", err)
	}
}
