package compare

import (
	"encoding/json"
	"math"
)

// A Number is a float64 that JSON writes as null where it is not finite: the loss
// of runs of which one diverged.
type Number float64

// MarshalJSON implements json.Marshaler.
func (x Number) MarshalJSON() ([]byte, error) {
	if !x.Finite() {
		return []byte("null"), nil
	}
	return json.Marshal(float64(x))
}

// UnmarshalJSON implements json.Unmarshaler; null gives +Inf.
func (x *Number) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		*x = Number(math.Inf(1))
		return nil
	}
	return json.Unmarshal(data, (*float64)(x))
}

// Finite says whether x is neither infinite nor NaN.
func (x Number) Finite() bool { return !math.IsNaN(float64(x)) && !math.IsInf(float64(x), 0) }
