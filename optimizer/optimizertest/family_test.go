package optimizertest

import (
	"math/rand/v2"
	"strings"
	"testing"

	"learnedopt/optimizer"
)

// A flawed problem is f_t(θ) = Σ (θ_i − ξ_t)²/2 + noise, with one flaw.
type flawed struct {
	flaw string
	seed uint64
	step int
	n    int
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
	index := uint64(p.step)
	p.step++
	if p.flaw == "data" {
		index += uint64(p.step) * 1000
		p.seed++
	}
	xi := rand.New(rand.NewPCG(p.seed, index)).Float32()
	loss := 0.0
	for i, x := range theta {
		grad[i] = x - xi
		loss += float64(x-xi) * float64(x-xi) / 2
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

func (p *flawed) HessianVector(dst, theta, v []float32) error {
	if len(theta) != p.n || len(dst) != p.n || len(v) != p.n && p.flaw != "vector" {
		panic("length")
	}
	for i := range dst {
		dst[i] = v[min(i, len(v)-1)]
		if p.flaw == "hessian" {
			dst[i] *= 1.01
		}
	}
	return nil
}

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

// Each flaw is found by the check that is for it.
func TestFamilyChecks(t *testing.T) {
	ConformFamily(t, flawedFamily{})
	checks := map[string]func(optimizer.Problem) error{
		"start": starts, "gradient": gradientOfLoss, "theta": gradientOfLoss, "data": seeks, "hessian": hessian, "lengths": problemLengths, "vector": problemLengths,
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
	if err := draws(flawedFamily{"draw", new(uint64)}); err == nil || !strings.Contains(err.Error(), "one source") {
		t.Errorf("draw: %v", err)
	}
}
