package checkpoints

import (
	"fmt"
	"math"
	"unicode/utf8"
)

// The format's limits. With them a small file cannot make a reader allocate
// much memory. A writer keeps the same limits, so that every file that was written can be
// read.
const (
	maxPayload = 1 << 30
	maxTensors = 4096
	maxRank    = 8
	maxName    = 256
	maxKind    = 64
	maxText    = 1 << 16 // bytes of any other string or byte string
	maxDepth   = 32      // depth of the config: maps and arrays within each other
	maxValues  = 1 << 16 // values in the config, keys not counted
)

// checkText returns the fault of a string, "" if it has none.
func checkText(what, s string, least, most int) string {
	switch {
	case len(s) < least:
		return what + " is empty"
	case len(s) > most:
		return fmt.Sprintf("%s has %d bytes, at most %d are allowed", what, len(s), most)
	case !utf8.ValidString(s):
		return what + " is not UTF-8"
	}
	return ""
}

// elements returns the product of a shape, and the shape's fault, "" if it has none.
func elements(shape []int) (n int64, wrong string) {
	if len(shape) > maxRank {
		return 0, fmt.Sprintf("%d dimensions, at most %d are allowed", len(shape), maxRank)
	}
	n = 1
	for _, d := range shape {
		if d < 1 {
			return 0, fmt.Sprintf("dimension %d, at least 1 is wanted", d)
		}
		if int64(d) > maxPayload/n {
			return 0, fmt.Sprintf("shape %v is too large", shape)
		}
		n *= int64(d)
	}
	return n, ""
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// check returns the first fault of p's values, "" if they have none.
func (p *Provenance) check() string {
	for _, s := range []struct{ key, text string }{
		{"name", p.Name}, {"task", p.Task}, {"version", p.Version}, {"command", p.Command}, {"source", p.Source}, {"recipe", p.Recipe},
	} {
		if wrong := checkText("provenance."+s.key, s.text, 0, maxText); wrong != "" {
			return wrong
		}
	}
	switch {
	case p.MetaSteps < 0 || p.Steps < 0 || p.Unroll < 0:
		return "provenance: a count is negative"
	case !finite(p.MetaLearningRate) || !finite(p.ValidLoss):
		return "provenance: a float is not finite"
	}
	return ""
}

// check returns the first fault of t, "" if it has none.
func (t *Tensor) check() string {
	if wrong := checkText("a tensor's name", t.Name, 1, maxName); wrong != "" {
		return wrong
	}
	n, wrong := elements(t.Shape)
	if wrong != "" {
		return fmt.Sprintf("tensor %q: %s", t.Name, wrong)
	}
	if t.Data != nil && t.Data64 != nil || t.Bytes != nil && (t.Data != nil || t.Data64 != nil) {
		return fmt.Sprintf("tensor %q has data of two types", t.Name)
	}
	if got := int64(len(t.Data) + len(t.Data64) + len(t.Bytes)); got != n {
		return fmt.Sprintf("tensor %q of shape %v has %d elements, want %d", t.Name, t.Shape, got, n)
	}
	for i, x := range t.Data {
		if !finite(float64(x)) {
			return fmt.Sprintf("tensor %q: element %d is %v; only finite numbers are stored", t.Name, i, x)
		}
	}
	for i, x := range t.Data64 {
		if !finite(x) {
			return fmt.Sprintf("tensor %q: element %d is %v; only finite numbers are stored", t.Name, i, x)
		}
	}
	return ""
}
