package report

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestUpdatePlot(t *testing.T) {
	g := Gradients(1e-6, 1, 50)
	response := func(name string, gain float64, learned bool) Response {
		r := Response{Name: name, Gradient: g, Learned: learned}
		for _, x := range g {
			r.Update = append(r.Update, -0.1*math.Tanh(gain*x))
		}
		return r
	}
	responses := []Response{response("after 1 step", 1, true), response("after 50 steps", 50, true), response("SGD", 0.1, false)}
	p, err := UpdatePlot("Update", responses, UpdateOptions{SymLog: 1e-4})
	svg := encode(t, p, err, SVG)
	for _, want := range []string{">gradient<", ">update<", ">after 1 step<", ">after 50 steps<", ">SGD<", ">-0.01<", ">1e-4<", ">0.1<"} {
		if !bytes.Contains(svg, []byte(want)) {
			t.Errorf("no %s in the picture", want)
		}
	}
	p, err = UpdatePlot("Update", responses, UpdateOptions{SymLog: 1e-4})
	if !bytes.Equal(svg, encode(t, p, err, SVG)) {
		t.Error("the same responses gave different bytes")
	}
	// The axis includes zero even if all updates have the same sign.
	p, err = UpdatePlot("", []Response{{Name: "constant", Gradient: []float64{1, 2}, Update: []float64{3, math.NaN()}}}, UpdateOptions{})
	if err != nil || p.plot.Y.Min > 0 || p.plot.Y.Max < 3 || p.plot.Y.Max > 4 {
		t.Errorf("axis from %v to %v, %v", p.plot.Y.Min, p.plot.Y.Max, err)
	}
}

func TestUpdatePlotRejects(t *testing.T) {
	one := []Response{{Name: "a", Gradient: []float64{0, 1}, Update: []float64{0, 1}}}
	if _, err := UpdatePlot("t", one, UpdateOptions{SymLog: 1e-300}); err == nil {
		t.Error("an axis over 300 decades was drawn")
	}
	for name, c := range map[string]struct {
		responses []Response
		want      string
	}{
		"none":         {nil, "none of the 0"},
		"empty":        {[]Response{{Name: "a"}}, "empty"},
		"no gradients": {[]Response{{Name: "a", Update: []float64{1}}}, "0 of X"},
		"not finite":   {[]Response{{Name: "a", Gradient: []float64{1}, Update: []float64{inf}}}, "finite"},
		"unordered":    {[]Response{{Name: "a", Gradient: []float64{1, 0}, Update: []float64{1, 1}}}, "not increasing"},
	} {
		if _, err := UpdatePlot("t", c.responses, UpdateOptions{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one that says %q", name, err, c.want)
		}
	}
}

func TestGradients(t *testing.T) {
	g := Gradients(0.01, 1, 3)
	want := []float64{-1, -0.1, -0.01, 0, 0.01, 0.1, 1}
	if !slices.EqualFunc(g, want, func(a, b float64) bool { return math.Abs(a-b) <= 1e-15 }) {
		t.Errorf("%v, want %v", g, want)
	}
	if g := Gradients(0.5, 2, 1); !slices.Equal(g, []float64{-2, 0, 2}) {
		t.Errorf("one gradient a side: %v", g)
	}
}
