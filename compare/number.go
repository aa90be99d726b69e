package compare

import (
	"encoding/json"
	"math"
)

// A Number is a float64 that JSON can hold where it is not finite. Null stands for +Inf: the loss of
// runs of which one diverged. NaN, a quotient that does not exist, is null too and is read as +Inf, which no
// comparison takes for a low loss either. −Inf would be the lowest of all: it is the text "-Inf", never null.
type Number float64

// minusInf is −Inf in JSON.
const minusInf = `"-Inf"`

// MarshalJSON implements json.Marshaler.
func (x Number) MarshalJSON() ([]byte, error) {
	switch {
	case math.IsInf(float64(x), -1):
		return []byte(minusInf), nil
	case !x.Finite():
		return []byte("null"), nil
	}
	return json.Marshal(float64(x))
}

// UnmarshalJSON implements json.Unmarshaler.
func (x *Number) UnmarshalJSON(data []byte) error {
	switch string(data) {
	case "null":
		*x = Number(math.Inf(1))
		return nil
	case minusInf:
		*x = Number(math.Inf(-1))
		return nil
	}
	return json.Unmarshal(data, (*float64)(x))
}

// Finite says whether x is neither infinite nor NaN.
func (x Number) Finite() bool { return !math.IsNaN(float64(x)) && !math.IsInf(float64(x), 0) }
