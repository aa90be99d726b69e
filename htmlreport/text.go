package htmlreport

import (
	"math"
	"strconv"
	"strings"
	"unicode"
)

// The lengths of the longest texts that a page takes from a file, in runes.
const (
	maxName = 200
	maxText = 4000
)

// clean returns s with control characters, characters that change the direction of text and invalid UTF-8 replaced, and
// cut to max runes. Line breaks stay.
func clean(s string, max int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' || unicode.Is(unicode.Bidi_Control, r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))
	n := 0
	for i := range s {
		if n++; n > max {
			return s[:i] + "…"
		}
	}
	return s
}

// Num is a float64 as pages store it: JSON with nine digits, null for non-finite values.
type Num float64

// MarshalJSON implements json.Marshaler.
func (x Num) MarshalJSON() ([]byte, error) {
	if !x.finite() {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, float64(x), 'g', 9, 64), nil
}

// UnmarshalJSON implements json.Unmarshaler; null gives NaN.
func (x *Num) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		*x = Num(math.NaN())
		return nil
	}
	v, err := strconv.ParseFloat(string(data), 64)
	*x = Num(v)
	return err
}

func (x Num) finite() bool { return !math.IsNaN(float64(x)) && !math.IsInf(float64(x), 0) }

// digits prints x with four digits, as the tables of the command do; a non-finite x is a dash.
func digits(x Num) string {
	switch {
	case !x.finite():
		return "–"
	case x >= 0.001 && x < 10:
		return strconv.FormatFloat(float64(x), 'f', 4, 64)
	}
	return strconv.FormatFloat(float64(x), 'g', 4, 64)
}
