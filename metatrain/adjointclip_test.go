package metatrain_test

import (
	"math"
	"testing"

	"learnedopt/lstm"
	"learnedopt/metatrain"
)

// TestAdjointClip compares the meta-gradient of u = w·g + b on f = x², whose w = -1.3 makes
// x grow by -1.6 a step, with the recursion written out:
//
//	λ_t = w_t g_t + λ_{t+1} + clip(2w λ_{t+1}),   dw = Σ g_t λ_{t+1},   db = Σ λ_{t+1}
func TestAdjointClip(t *testing.T) {
	const steps, w, b = 6, -1.3, 0.1
	net, err := lstm.NewNetwork(lstm.Config{Inputs: lstm.Raw, NoLSTM: true, Scale: 1}, []float32{w, b})
	if err != nil {
		t.Fatal(err)
	}
	var g [steps + 1]float64
	x := 1.0
	for i := range g {
		g[i] = 2 * x
		x += w*g[i] + b
	}
	bound := 0
	for i := range 10 {
		clip := []float64{0, 1e-9, 0.3, 1, 1e9}[i/2]
		weights := []weighted{{1, 1, 1, 1, 1, 1}, {3, 0.5, -2, 0.25, 4, -1}}[i%2] // of f_1 … f_6
		lambda, own := weights[steps-1]*g[steps], math.Abs(weights[steps-1]*g[steps])
		dw, db := 0.0, 0.0
		for i := steps - 1; i >= 0; i-- {
			dw, db = dw+g[i]*lambda, db+lambda
			second := 2 * w * lambda
			if i == 0 {
				break
			}
			own += math.Abs(weights[i-1] * g[i])
			if most := clip * own; clip > 0 && math.Abs(second) > most {
				second = math.Copysign(most, second)
				bound++
			}
			lambda += weights[i-1]*g[i] + second
		}
		dphi := make([]float64, 2)
		estimator := metatrain.TruncatedBackprop{SecondDerivatives: true, AdjointClip: clip, Objective: weights}
		window, err := estimator.Estimate(t.Context(), dphi, metatrain.NewEpisode(net, square{}), steps)
		if err != nil || window.Diverged != nil {
			t.Fatal(err, window.Diverged)
		}
		if !near(dphi[0], dw, 1e-4) || !near(dphi[1], db, 1e-4) {
			t.Errorf("clip %g: gradient %v, want [%v %v]", clip, dphi, dw, db)
		}
	}
	if bound < 8 {
		t.Errorf("the clip was reached %d times only", bound)
	}
	for _, bad := range []metatrain.TruncatedBackprop{
		{SecondDerivatives: true, AdjointClip: -1}, {SecondDerivatives: true, AdjointClip: math.NaN()}, {AdjointClip: 1},
	} {
		if bad.Validate() == nil {
			t.Errorf("an adjoint clip of %v was accepted, second derivatives %v", bad.AdjointClip, bad.SecondDerivatives)
		}
	}
}
