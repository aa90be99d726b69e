package precondition

import (
	"errors"
	"testing"
)

type rule struct{ err error }

func (r rule) Validate() error { return r.err }

func TestPanicsSayTheFacts(t *testing.T) {
	for _, c := range []struct {
		f    func()
		want any
	}{
		{func() { Length("lstm", "the gradient", make([]float32, 3), 3) }, nil},
		{func() { Length("lstm", "the gradient", make([]float32, 3), 4) }, "lstm: the gradient has 3 elements; want 4, one for each coordinate"},
		{func() { Length("rules", "Point.Theta", []float64(nil), 4) }, "rules: Point.Theta is missing; want 4 elements, one for each coordinate"},
		{func() { Valid(rule{}) }, nil},
		{func() { Valid(rule{errors.New("rules: clipnorm: max 0")}) }, "rules: clipnorm: max 0"},
	} {
		func() {
			defer func() {
				if got := recover(); got != c.want {
					t.Errorf("panic %v, want %v", got, c.want)
				}
			}()
			c.f()
		}()
	}
}
