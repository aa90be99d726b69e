package tasks

import "testing"

// Score returns the loss on the validation split and the accuracy on the test split.
func TestScore(t *testing.T) {
	f, err := NewClassifier(noise(t, 40, 90), ClassifierConfig{Units: 3})
	if err != nil {
		t.Fatal(err)
	}
	p := sample(t, f, 1).(*classifier)
	theta := make([]float32, p.Dim())
	p.Init(theta)
	for i := range 10 {
		theta[len(theta)-1-i] = float32(i) // biases that make the splits differ
	}
	wantLoss, validAccuracy, _ := p.EvaluateSplit(theta, Valid)
	testLoss, wantAccuracy, _ := p.EvaluateSplit(theta, Test)
	if wantLoss == testLoss || validAccuracy == wantAccuracy {
		t.Fatal("the splits do not differ: the test is blind")
	}
	loss, accuracy, err := p.Score(theta)
	if err != nil || loss != wantLoss || accuracy != wantAccuracy {
		t.Errorf("Score = %v, %v, %v, want %v, %v", loss, accuracy, err, wantLoss, wantAccuracy)
	}
}
