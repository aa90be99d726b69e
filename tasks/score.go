package tasks

// Score evaluates a final point on data that it was not optimized on: it returns the mean
// loss on the Valid split and the accuracy, in [0, 1], on the Test split; NaN for a regression, which has no accuracy.
func (p *classifier) Score(theta []float32) (validLoss, testAccuracy float64, err error) {
	return score(p, theta)
}

func score(p scored, theta []float32) (validLoss, testAccuracy float64, err error) {
	if validLoss, _, err = p.EvaluateSplit(theta, Valid); err != nil {
		return 0, 0, err
	}
	_, testAccuracy, err = p.EvaluateSplit(theta, Test)
	return validLoss, testAccuracy, err
}
