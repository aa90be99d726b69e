package metatrain

import (
	"encoding/json"
	"slices"
	"testing"

	"learnedopt/lstm"
	"learnedopt/optimizer"
)

// Runs begin in any order, and in floats (1+ε)+ε is not 1+(ε+ε). The sums must not depend on the order.
func TestDiagnosisDoesNotDependOnTheOrder(t *testing.T) {
	net, err := lstm.NewNetwork(lstm.Config{NoLSTM: true, Inputs: lstm.Raw, Scale: 1}, []float32{1, 0})
	if err != nil {
		t.Fatal(err)
	}
	of := func(gradients ...float32) *Diagnosis {
		w := watch(net, len(gradients), 1)
		for _, g := range gradients {
			w.Start(optimizer.Flat(1)).Update([]float32{0}, optimizer.Point{Grad: []float32{g}})
		}
		return w.diagnosis(0, nil)
	}
	const small = 1.05e-8 // its square is a little below half an ε of 1
	many := slices.Repeat([]float32{small}, 63)
	a, b := of(append([]float32{1}, many...)...), of(append(many, 1)...)
	if a.GradientRMS != b.GradientRMS || a.UpdateRMS != b.UpdateRMS || !slices.Equal(a.Updates, b.Updates) {
		t.Errorf("%+v and %+v", a, b)
	}
	if a.Sampled != 64 || a.Updates[0] != small {
		t.Errorf("%+v: the test is blind", a)
	}
}

// Where nothing was looked at, shares are 0 and sizes are no numbers, which JSON has as null.
func TestADiagnosisOfNothing(t *testing.T) {
	d := newDiagnosis(lstm.Config{Inputs: lstm.LogAndSign, Hidden: 4}, lstm.Activity{Saturated: make([][4]int, 1)})
	if d.ZeroGradients != 0 || *d.Inputs != (ClippedInputs{}) || d.Gates[0] != (GateSaturation{}) || d.GradientRMS.Finite() || d.UpdateToGradient.Finite() {
		t.Errorf("%+v of inputs %+v", d, d.Inputs)
	}
	if _, err := json.Marshal(d); err != nil {
		t.Error(err)
	}
}
