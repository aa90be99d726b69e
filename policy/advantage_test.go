package policy

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Advantages are the sum of their definition: no value after a terminated episode, the next state's after a truncated one and at the
// end of the iteration.
func TestGeneralizedAdvantages(t *testing.T) {
	const gamma, lambda = 0.9, 0.8
	s := newSampler(Config{New: func() Environment { return &CartPole{} }, Network: Network{Observations: 4, Actions: 2}, Steps: 7, Discount: gamma, Lambda: lambda})
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range s.states {
		s.states[i] = float32(rng.NormFloat64())
	}
	s.baseline.Fit(s.states, []float64{3, 1, 4, 1, 5, 9, 2})
	value := func(i int) float64 { return s.baseline.Predict(s.states[4*i : 4*i+4]) }
	for i := range s.rewards {
		s.rewards[i] = float64(i + 1)
		s.ends[i] = i == 2 || i == 4 || i == 6 // 2 terminated, 4 truncated, 6 the last of the iteration
		s.next[i] = map[int]float64{2: 0, 4: 40, 6: 60}[i]
		if !s.ends[i] {
			s.next[i] = value(i + 1)
		}
	}
	var want, targets []float64
	for i := range 7 {
		sum, weight := 0.0, 1.0
		for k := i; ; k++ {
			sum += weight * (s.rewards[k] + gamma*s.next[k] - value(k))
			if weight *= gamma * lambda; s.ends[k] {
				break
			}
		}
		want, targets = append(want, sum), append(targets, sum+value(i))
	}
	s.estimate()
	mean, square := 0.0, 0.0
	for _, x := range want {
		mean += x / 7
	}
	for _, x := range want {
		square += (x - mean) * (x - mean) / 7
	}
	for i, x := range want {
		if w := (x - mean) / math.Sqrt(square); math.Abs(s.advantages[i]-w) > 1e-7 || math.Abs(s.targets[i]-targets[i]) > 1e-9 {
			t.Errorf("step %d: advantage %v and target %v, want %v and %v", i, s.advantages[i], s.targets[i], w, targets[i])
		}
	}
}

// Equal advantages say nothing: they become 0, not NaN.
func TestEqualAdvantages(t *testing.T) {
	x := []float64{3, 3, 3}
	if normalize(x); x[0] != 0 || x[2] != 0 {
		t.Errorf("normalized to %v", x)
	}
}

// A quadratic function of the observation is found again, also where an observation is beyond its bound.
func TestBaseline(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	var observations []float32
	var returns []float64
	f := func(o []float32) float64 { return 2 + float64(o[0]) - 3*float64(o[0])*float64(o[1]) }
	for range 300 {
		o := []float32{float32(rng.NormFloat64()), float32(rng.NormFloat64())}
		observations, returns = append(observations, o...), append(returns, f(o))
	}
	var b Baseline
	if b.Predict(observations[:2]) != 0 {
		t.Error("predicts something before it was fitted")
	}
	b.Fit(observations, returns)
	for _, o := range [][]float32{{0.5, -1}, {1, 1}} {
		if got, want := b.Predict(o), f(o); math.Abs(got-want) > 1e-3 {
			t.Errorf("%v: %v, want %v", o, got, want)
		}
	}
	if got, want := b.Predict([]float32{100, 1}), f([]float32{10, 1}); math.Abs(got-want) > 1e-2 {
		t.Errorf("beyond the bound: %v, want %v", got, want)
	}
	was := b.Predict([]float32{1, 1})
	b.Fit([]float32{1, 1}, []float64{math.NaN()})
	if got := b.Predict([]float32{1, 1}); got != was {
		t.Errorf("a fit to NaN predicts %v", got)
	}
}

// The state after a terminated episode is worth nothing; the states after a truncated one and after the iteration's last step are worth what the baseline
// says of them.
func TestWhatFollowsAnEpisode(t *testing.T) {
	for _, limit := range []int{500, 5} {
		c := Config{New: func() Environment { return &CartPole{Limit: limit} }, Network: Network{Observations: 4, Actions: 2}, Steps: 60}.WithDefaults()
		s := newSampler(c)
		s.baseline.Fit([]float32{0, 0, 0, 0, 1, 1, 1, 1}, []float64{7, 8})
		before := s.baseline
		before.features = nil
		r := &Result{Theta: make([]float32, c.Network.Layout().Len())}
		s.sample(r, rand.New(rand.NewPCG(3, 3)), 0)
		ended := map[int]bool{}
		for _, end := range r.Ended {
			ended[end-1] = true
		}
		if len(ended) < 2 {
			t.Fatalf("%d episodes ended", len(ended))
		}
		for i, next := range s.next {
			switch {
			case ended[i] && limit == 500:
				if next != 0 || !s.ends[i] {
					t.Errorf("step %d terminates, what follows is worth %v", i, next)
				}
			case ended[i] || i == 59:
				if next == 0 || !s.ends[i] {
					t.Errorf("step %d is the last, what follows is worth %v", i, next)
				}
			default:
				if want := before.Predict(s.states[4*i+4 : 4*i+8]); next != want || s.ends[i] {
					t.Errorf("step %d: what follows is worth %v, want %v", i, next, want)
				}
			}
		}
	}
}
