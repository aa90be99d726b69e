package compare

import (
	"encoding/json"
	"math"
)

// A Number is a float64 that JSON can hold even if it is not finite:
//
//   - +Inf, the loss when a run diverged, is written as null.
//   - NaN, an undefined quotient, is also written as null and read back as +Inf. No comparison takes +Inf for a
//     low loss.
//   - −Inf is written as the text "-Inf". It is the lowest of all losses and must not be read back as +Inf.
type Number float64

// minusInf is how JSON spells −Inf.
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
