package compare_test

import (
	"encoding/json"
	"math"
	"testing"

	"learnedopt/compare"
)

// Every number survives JSON except NaN. NaN is read back as +Inf, which nothing takes for a low loss.
func TestNumbersInJSON(t *testing.T) {
	for _, c := range []struct {
		x    float64
		text string
		back float64
	}{
		{0.1, "0.1", 0.1}, {-2, "-2", -2}, {math.SmallestNonzeroFloat64, "5e-324", math.SmallestNonzeroFloat64}, {math.Inf(1), "null", math.Inf(1)},
		{math.Inf(-1), `"-Inf"`, math.Inf(-1)}, {math.NaN(), "null", math.Inf(1)},
	} {
		data, err := json.Marshal([]compare.Number{compare.Number(c.x)})
		if err != nil || string(data) != "["+c.text+"]" {
			t.Errorf("%v is %s in JSON, %v; want %s", c.x, data, err, c.text)
		}
		var back []compare.Number
		if err := json.Unmarshal(data, &back); err != nil || float64(back[0]) != c.back {
			t.Errorf("%s is read as %v, %v; want %v", data, back, err, c.back)
		}
	}
	for _, text := range []string{`"Inf"`, `"+Inf"`, `"1"`, "true", "[]", "1e999"} {
		var x compare.Number
		if err := json.Unmarshal([]byte(text), &x); err == nil {
			t.Errorf("%s is read as %v", text, x)
		}
	}
}
