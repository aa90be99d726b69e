package tasks

import (
	"slices"
	"strings"
	"testing"
)

// drawn returns how often each training image was in the minibatches of some steps, by its content.
func drawn(t *testing.T, c *classifier, steps int) map[[784]float32]int {
	t.Helper()
	theta := start(c)
	counts, grad := map[[784]float32]int{}, make([]float32, len(theta))
	for step := range steps {
		seek(c, step)
		lossGrad(t, c, theta, grad)
		for x := range slices.Chunk(c.net.pixels, 784) {
			counts[[784]float32(x)]++
		}
	}
	return counts
}

// The minibatches of a problem have the examples that were asked for, each as often as any other, and those of another problem
// others. A problem with all examples has every example.
func TestExamples(t *testing.T) {
	const all, some, batch, steps = 300, 40, 25, 200
	data := noise(t, all, 50)
	problem := func(examples int, seed uint64) *classifier {
		f, err := NewClassifier(data, ClassifierConfig{Units: 2, Batch: batch, Examples: examples})
		if err != nil {
			t.Fatal(err)
		}
		return sample(t, f, seed).(*classifier)
	}
	one, two := drawn(t, problem(some, 1), steps), drawn(t, problem(some, 2), steps)
	if len(one) != some || len(two) != some {
		t.Fatalf("%d and %d different examples, want %d", len(one), len(two), some)
	}
	// batch·steps/some = 125 draws each, with a standard deviation of 11.
	for _, n := range one {
		if n < 70 || n > 180 {
			t.Errorf("one example was drawn %d times, want some 125", n)
		}
	}
	shared := 0
	for x := range one {
		if two[x] > 0 {
			shared++
		}
	}
	if shared > 15 { // 5.3 are expected, with a standard deviation of 2.2
		t.Errorf("two problems share %d of %d examples", shared, some)
	}
	if n := len(drawn(t, problem(all, 1), steps)); n != all {
		t.Errorf("%d different examples of %d", n, all)
	}
	if !slices.Equal(start(problem(some, 1)), start(problem(0, 1))) {
		t.Error("another starting point")
	}
}

// Evaluations have whole splits. Families that differ in the number of examples alone share compiled networks, and a problem has
// the number of its own family.
func TestExamplesStayInMinibatches(t *testing.T) {
	families, err := Families("", MustParse("digits units=3 batch=20 examples=30"), MustParse("digits units=3 batch=20 image-size=28"))
	if err != nil {
		t.Fatal(err)
	}
	few := sample(t, families[0], 1)
	net, theta := few.(*classifier).net, start(few)
	loss, accuracy, err := few.(scored).EvaluateSplit(theta, Train)
	if err != nil {
		t.Fatal(err)
	}
	fewTrace := trace(t, few, 2)
	if err := closeProblem(few); err != nil {
		t.Fatal(err)
	}
	whole := sample(t, families[1], 1)
	if whole.(*classifier).net != net {
		t.Fatal("the compiled network was not used again")
	}
	if l, a, err := whole.(scored).EvaluateSplit(theta, Train); err != nil || l != loss || a != accuracy {
		t.Errorf("loss %v, accuracy %v, %v; with few examples %v, %v", l, a, err, loss, accuracy)
	}
	plain, err := New("digits", Options{Units: 3, Batch: 20})
	if err != nil {
		t.Fatal(err)
	}
	again := trace(t, whole, 2)
	equalBits(t, again, trace(t, sample(t, plain, 1), 2))
	if slices.Equal(again, fewTrace) {
		t.Error("the number of examples changes nothing")
	}
}

// The names and bounds of the option, and the tasks that do not have it.
func TestExamplesAsAnOption(t *testing.T) {
	for text, want := range map[string]string{
		"digits label-noise=0.1 examples=50 image-size=14": "digits units=20 layers=1 activation=sigmoid batch=128 image-size=14 label-noise=0.1 examples=50",
		"digits examples=50,500 units=3":                   "digits units=3 layers=1 activation=sigmoid batch=128 examples=50,500",
		"digits channels=2 examples=7":                     "digits activation=sigmoid batch=128 channels=2 examples=7",
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
		"digits examples=0":       "whole number of at least 1",
		"digits examples=9999999": "examples 9999999 of the data set digits, whose train split has ",
		"quadratic examples=3":    "examples does not apply to the task quadratic",
		"char-rnn examples=3":     "examples does not apply",
	} {
		s, err := Parse(text)
		if err == nil {
			err = s.Validate()
		}
		if err == nil {
			_, err = s.Family("")
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
	if (ClassifierConfig{Examples: -1}).Validate() == nil {
		t.Error("-1 examples are accepted")
	}
}
