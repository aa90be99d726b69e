package optimizertest

import "learnedopt/optimizer"

// placed turns PointStates, which have to be told the parameters, into States at θ = (1, …, 1). Others stay.
type placed struct{ rule optimizer.Rule }

func (p placed) Start(n int) optimizer.State {
	point, ok := p.rule.Start(n).(optimizer.PointState)
	if !ok {
		return p.rule.Start(n)
	}
	theta := make([]float32, n)
	for i := range theta {
		theta[i] = 1
	}
	s := placedState{point, theta}
	if saver, ok := point.(saver); ok {
		return placedSaver{s, saver}
	}
	return s
}

type placedState struct {
	state optimizer.PointState
	theta []float32
}

func (s placedState) Update(dst, grad []float32) { s.state.UpdateAt(dst, s.theta, grad) }

type placedSaver struct {
	placedState
	saver
}

func (s placedSaver) Update(dst, grad []float32) { s.placedState.Update(dst, grad) }
