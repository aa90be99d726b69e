package rules

import (
	"cmp"
	"errors"
	"math"
)

// A Schedule gives a factor for every step of a run, counted from 0. It is immutable and depends on
// the step alone, so that a resumed run continues it. A schedule may have a method Validate() error.
type Schedule interface {
	At(step int) float64
}

// or returns s, or Constant(1) if s is nil.
func or(s Schedule) Schedule {
	if s == nil {
		return Constant(1)
	}
	return s
}

// Constant is the same factor at every step. The zero value is the factor 0, which stops a run.
type Constant float64

// At implements Schedule.
func (c Constant) At(int) float64 { return float64(c) }

// Validate returns an error if the factor is non-finite.
func (c Constant) Validate() error {
	return inRange("constant", "factor", math.Abs(float64(c)), 0, math.Inf(1))
}

// WarmUp rises linearly, and then follows another schedule from its start:
//
//	(t+1)/K  for t < K,   s(t−K)  for t ≥ K
type WarmUp struct {
	// Steps is K; 0 means no warm-up.
	Steps int
	// Then is s; nil means 1.
	Then Schedule
}

// WithDefaults returns w with Constant(1) for a nil Then.
func (w WarmUp) WithDefaults() WarmUp {
	w.Then = or(w.Then)
	return w
}

// At implements Schedule.
func (w WarmUp) At(step int) float64 {
	if step < w.Steps {
		return float64(step+1) / float64(w.Steps)
	}
	return or(w.Then).At(step - w.Steps)
}

// Validate returns an error if K is negative or s is not valid.
func (w WarmUp) Validate() error {
	return errors.Join(steps("warm-up", w.Steps, 0), valid(w.Then))
}

// Cosine falls from 1 to F along half a period of a cosine, and stays at F (Loshchilov and Hutter 2017,
// arXiv:1608.03983, equation 5, without restarts):
//
//	F + (1−F)(1 + cos(πt/T))/2  for t < T,   F  for t ≥ T
type Cosine struct {
	// Steps is T, at least 1.
	Steps int
	// Floor is F in [0, 1]. The default 0 stops the run at step T.
	Floor float64
}

// At implements Schedule.
func (c Cosine) At(step int) float64 {
	if step >= c.Steps {
		return c.Floor
	}
	return c.Floor + (1-c.Floor)*(1+math.Cos(math.Pi*float64(step)/float64(c.Steps)))/2
}

// Validate returns an error if a field is out of its range.
func (c Cosine) Validate() error {
	return errors.Join(steps("cosine", c.Steps, 1), inRange("cosine", "floor", c.Floor, 0, math.Nextafter(1, 2)))
}

// StepDecay multiplies the factor by F every K steps: F^⌊t/K⌋. With K = 1 it is exponential decay.
type StepDecay struct {
	// Factor is F in (0, 1]. It must be set: torch.optim's default is 0.1, and 0 would stop the run at step K.
	Factor float64
	// Every is K; 0 means 1.
	Every int
}

// WithDefaults returns d with a K of 0 set to 1.
func (d StepDecay) WithDefaults() StepDecay {
	d.Every = cmp.Or(d.Every, 1)
	return d
}

// At implements Schedule.
func (d StepDecay) At(step int) float64 {
	return math.Pow(d.Factor, float64(step/max(d.Every, 1)))
}

// Validate returns an error if a field is out of its range.
func (d StepDecay) Validate() error {
	return errors.Join(steps("step decay", d.Every, 0),
		positive("step decay", "factor", d.Factor, math.Nextafter(1, 2), "would stop the run; set it, torch.optim's default is 0.1"))
}

// InverseSqrt stays at 1 for K steps, and then falls with the inverse square root of the step:
//
//	min(1, √(K/(t+1)))
//
// lstm.Config.Anneal scales a network's updates in the same way (Robbins and Monro 1951; the
// exponent ½ follows Polyak and Juditsky 1992).
type InverseSqrt struct {
	// Steps is K; 0 means 1.
	Steps int
}

// WithDefaults returns s with a K of 0 set to 1.
func (s InverseSqrt) WithDefaults() InverseSqrt {
	s.Steps = cmp.Or(s.Steps, 1)
	return s
}

// At implements Schedule.
func (s InverseSqrt) At(step int) float64 {
	return math.Min(1, math.Sqrt(float64(max(s.Steps, 1))/float64(step+1)))
}

// Validate returns an error if K is negative.
func (s InverseSqrt) Validate() error { return steps("inverse square root", s.Steps, 0) }

// steps returns an error unless n, a number of steps, is at least least.
func steps(schedule string, n, least int) error {
	return inRange(schedule, "number of steps", float64(n), float64(least), math.Inf(1))
}
