package tasks

import (
	"math"
	"slices"
	"strings"
	"testing"

	"learnedopt/internal/gemm/mlp/mlptest"
)

// Labels are replaced with the probability that was asked for, by every other class alike. An example has one label in a
// problem, whatever the step, and problems replace other labels. Minibatches have the examples that they have without noise.
func TestLabelNoise(t *testing.T) {
	const examples, batch, steps, p = 2000, 50, 200, 0.3
	data := noise(t, examples, 50)
	problem := func(noise float64, seed uint64) *classifier {
		f, err := NewClassifier(data, ClassifierConfig{Units: 2, Batch: batch, LabelNoise: noise})
		if err != nil {
			t.Fatal(err)
		}
		return sample(t, f, seed).(*classifier)
	}
	clean, noisy := problem(0, 1), problem(p, 1)
	theta := start(clean)
	if !slices.Equal(start(noisy), theta) {
		t.Fatal("another starting point")
	}
	grad, classes := make([]float32, len(theta)), data.Classes()
	labels := func(c *classifier) (all []int) {
		for row := range batch {
			all = append(all, slices.Index(c.net.oneHot[row*classes:][:classes], 1))
		}
		return all
	}
	type example [784]float32
	given, shift := map[example]int{}, make([]float64, classes)
	for step := range steps {
		lossGrad(t, clean, theta, grad)
		loss := lossGrad(t, noisy, theta, grad)
		if !slices.Equal(clean.net.pixels, noisy.net.pixels) {
			t.Fatalf("step %d: other examples than without noise", step)
		}
		truth, got := labels(clean), labels(noisy)
		var batch []mlptest.Example
		for row, label := range got {
			x := noisy.net.pixels[row*784:][:784]
			batch = append(batch, mlptest.Example{X: x, Label: label})
			if before, seen := given[example(x)]; seen && before != label {
				t.Fatalf("step %d: an example has the label %d, and had %d", step, label, before)
			} else if !seen {
				given[example(x)] = label
				shift[(label-truth[row]+classes)%classes]++
			}
		}
		if step < 3 { // the loss and the gradient are those of the labels
			net := mlptest.Network{Widths: noisy.family.widths, Activation: "sigmoid"}
			want, wantGrad := net.LossGrad(mlptest.Widen(theta), batch)
			if d := mlptest.Far(grad, wantGrad); math.Abs(loss-want) > 1e-6*want || !(d < 1e-5) {
				t.Errorf("step %d: loss %v, want %v; the gradient is off by %.2g", step, loss, want, d)
			}
		}
	}
	// 10,000 draws miss an example of 2,000 with probability e⁻⁵. Four standard deviations.
	n := float64(len(given))
	if n < 0.98*examples {
		t.Fatalf("%v of %d examples", n, examples)
	}
	for k, count := range shift {
		want := n * p / float64(classes-1)
		if k == 0 {
			want = n * (1 - p)
		}
		if math.Abs(count-want) > 4*math.Sqrt(want*(1-want/n)) {
			t.Errorf("%v of %v labels are %d classes off, want %.0f", count, n, k, want)
		}
	}
	// Another problem replaces other labels: both replace an example's label with probability p², and then agree with 1/(C−1).
	other := problem(p, 2)
	same, total := 0.0, 0.0
	for step := range steps {
		seek(other, step)
		lossGrad(t, other, theta, grad)
		for row, label := range labels(other) {
			if before, seen := given[example(other.net.pixels[row*784:][:784])]; seen {
				total++
				if before == label {
					same++
				}
			}
		}
	}
	if want := (1-p)*(1-p) + p*p/float64(classes-1); math.Abs(same/total-want) > 0.05 {
		t.Errorf("two problems agree on %.3f of the labels, want %.3f", same/total, want)
	}
	// All labels are wrong with probability 1, and none without noise.
	for noise, want := range map[float64]int{0: batch, 1: 0} {
		c, equal := problem(noise, 1), 0
		lossGrad(t, c, theta, grad)
		seek(clean, 0)
		lossGrad(t, clean, theta, grad)
		for row, label := range labels(c) {
			if label == labels(clean)[row] {
				equal++
			}
		}
		if equal != want {
			t.Errorf("noise %v: %d of %d labels are true, want %d", noise, equal, batch, want)
		}
	}
}

// Evaluations have the true labels, on every split. Two families that differ in label noise alone share compiled networks, and a
// problem has the noise of its own family.
func TestLabelNoiseStaysInMinibatches(t *testing.T) {
	families, err := Families("", MustParse("digits units=3 batch=20 label-noise=0.5"), MustParse("digits units=3 batch=20 image-size=28"))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := New("digits", Options{Units: 3, Batch: 20})
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(2) {
		p, want := sample(t, families[0], seed), sample(t, plain, seed)
		theta := start(p)
		for s := range Split(splits) {
			loss, accuracy, err := p.(scored).EvaluateSplit(theta, s)
			wantLoss, wantAccuracy, wantErr := want.(scored).EvaluateSplit(theta, s)
			if err != nil || wantErr != nil || loss != wantLoss || accuracy != wantAccuracy {
				t.Errorf("%v: loss %v, accuracy %v, %v; without noise %v, %v", s, loss, accuracy, err, wantLoss, wantAccuracy)
			}
		}
		net := p.(*classifier).net
		noisy := trace(t, p, 2)
		if err := closeProblem(p); err != nil {
			t.Fatal(err)
		}
		again := sample(t, families[1], seed)
		if again.(*classifier).net != net {
			t.Fatal("the compiled network was not used again")
		}
		equalBits(t, trace(t, again, 2), trace(t, want, 2))
		if slices.Equal(noisy, trace(t, again, 2)) {
			t.Error("label noise changes nothing")
		}
		if err := closeProblem(again); err != nil {
			t.Fatal(err)
		}
	}
}

// The names, lists and bounds of the option, and the tasks that do not have it.
func TestLabelNoiseAsAnOption(t *testing.T) {
	for text, want := range map[string]string{
		"digits label-noise=0":                               "digits units=20 layers=1 activation=sigmoid batch=128",
		"digits loss-scale=2 label-noise=0.10 image-size=14": "digits units=20 layers=1 activation=sigmoid batch=128 image-size=14 label-noise=0.1 loss-scale=2",
		"digits label-noise=0,0.5 units=3":                   "digits units=3 layers=1 activation=sigmoid batch=128 label-noise=0,0.5",
	} {
		s := MustParse(text)
		f, err := s.Family("")
		if err != nil {
			t.Fatal(err)
		}
		if s.String() != want || f.Name() != want {
			t.Errorf("%s is called %q, and its family %q", text, s, f.Name())
		}
	}
	for text, want := range map[string]string{
		"digits label-noise=1.5":    "label-noise 1.5, want a probability, 0 to 1",
		"digits label-noise=0.5,-1": "at least 0",
		"quadratic label-noise=0.1": "label-noise does not apply to the task quadratic",
	} {
		s, err := Parse(text)
		if err == nil {
			err = s.Validate()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
	for _, bad := range []float64{-0.1, 1.1, math.NaN()} {
		if (ClassifierConfig{LabelNoise: bad}).Validate() == nil {
			t.Errorf("a label noise of %v is accepted", bad)
		}
	}
	table, err := readTable("law", strings.NewReader(numberedTable()))
	if err != nil {
		t.Fatal(err)
	}
	d, err := table.dataset("regression:law", TableConfig{Regression: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewClassifier(d, ClassifierConfig{LabelNoise: 0.1}); err == nil || !strings.Contains(err.Error(), "does not have two classes") {
		t.Errorf("a regression with label noise: %v", err)
	}
}
