package report

import (
	"bytes"
	"math"
	"strings"
	"testing"
)

var published = []Points{
	{Name: "paper, LSTM", X: []float64{20, 40, 100}, Y: []float64{0.46, 0.335, 0.07}, Learned: true},
	{Name: "paper, best", X: []float64{20, 40, 100}, Y: []float64{1.45, 0.57, 0.32}},
}

func TestPointsAreInTheAxes(t *testing.T) {
	p, err := Curves("MNIST", mnist(), CurveOptions{Points: published})
	svg := encode(t, p, err, SVG)
	if !(p.plot.Y.Min < 0.07) {
		t.Errorf("the loss axis begins at %v, over the point at 0.07", p.plot.Y.Min)
	}
	for _, want := range []string{"paper, LSTM", "paper, best"} {
		if !bytes.Contains(svg, []byte(want)) {
			t.Errorf("no label %q", want)
		}
	}
	without, err := Curves("MNIST", mnist(), CurveOptions{Points: []Points{{Name: "paper, LSTM", X: []float64{20}, Y: []float64{nan}, Learned: true}}})
	if bytes.Contains(encode(t, without, err, SVG), []byte("NaN")) {
		t.Error("a point that is no number is drawn")
	}
	for _, bad := range []Points{{Name: "x", X: []float64{1, 2}, Y: []float64{1}}, {Name: "x", X: []float64{2, 1}, Y: []float64{1, 1}}, {Name: "x", Y: []float64{1}}, {Name: "x"}} {
		if _, err := Curves("", mnist(), CurveOptions{Points: []Points{bad}}); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
}

func TestLossAxisEndsWhereItIsTold(t *testing.T) {
	for _, c := range []struct{ min, max, wantMin, wantMax float64 }{
		{0.1, 4, 0.1, 4}, {100, 0, 100, 1000}, {0, 1e-3, 1e-4, 1e-3},
	} {
		p, err := Curves("", mnist(), CurveOptions{YMin: c.min, YMax: c.max})
		if err != nil {
			t.Fatal(err)
		}
		if p.plot.Y.Min != c.wantMin || p.plot.Y.Max != c.wantMax {
			t.Errorf("%v…%v asked for: %v…%v, want %v…%v", c.min, c.max, p.plot.Y.Min, p.plot.Y.Max, c.wantMin, c.wantMax)
		}
		encode(t, p, nil, SVG)
	}
}

func panels() []Panel {
	second := mnist()
	for i := range second {
		for j := range second[i].Mean {
			second[i].Mean[j] *= 2
		}
	}
	return []Panel{{Title: "1 layer", Series: mnist(), Points: published}, {Title: "2 layers", Series: second, Points: published}}
}

func TestPanelsShareAxesAndLabels(t *testing.T) {
	p, err := Panels("Figure 6", panels(), CurveOptions{YLabel: "final loss"})
	svg := string(encode(t, p, err, SVG))
	for text, want := range map[string]int{"Figure 6": 1, "1 layer": 1, "2 layers": 1, ">Adam<": 1, "paper, LSTM": 1, "final loss": 1, "inner step": 2} {
		if got := strings.Count(svg, text); got != want {
			t.Errorf("%q is there %d times, want %d", text, got, want)
		}
	}
	if p.before[0].Y.Min != p.plot.Y.Min || p.before[0].Y.Max != p.plot.Y.Max || p.plot.Y.Max < 4.6 {
		t.Errorf("the axes are %v…%v and %v…%v", p.before[0].Y.Min, p.before[0].Y.Max, p.plot.Y.Min, p.plot.Y.Max)
	}
}

// A panel with a label of its own has its own axis of steps, and the others do not follow it.
func TestPanelsHaveTheirOwnAxis(t *testing.T) {
	all := panels()
	last := &all[1]
	last.XLabel, last.LogX, last.Points = "seconds", true, nil
	all[0].Points = nil
	for i := range last.Series {
		s := &last.Series[i]
		s.X = make([]float64, len(s.Mean))
		for j := range s.X {
			s.X[j] = 10 * float64(j)
		}
	}
	p, err := Panels("two axes", all, CurveOptions{})
	svg := string(encode(t, p, err, SVG))
	for text, want := range map[string]int{"seconds": 1, "inner step": 1} {
		if got := strings.Count(svg, text); got != want {
			t.Errorf("%q is there %d times, want %d", text, got, want)
		}
	}
	if end := float64(len(all[0].Series[0].Mean) - 1); p.before[0].X.Max != end || p.plot.X.Max != 10*end || p.plot.X.Min != 10 {
		t.Errorf("the axes end at %v and go from %v to %v, want %v, and 10 to %v", p.before[0].X.Max, p.plot.X.Min, p.plot.X.Max, end, 10*end)
	}
}

func TestPanelsReject(t *testing.T) {
	other := panels()
	other[1].Series[1].Name = "Adagrad"
	ragged := panels()
	ragged[0].Series[0].Mean = nil
	empty := []Panel{{Series: []Series{{Name: "x", Mean: []float64{math.Inf(1)}}}}}
	for name, bad := range map[string][]Panel{"none": nil, "names": other, "ragged": ragged, "no number": empty} {
		if _, err := Panels("", bad, CurveOptions{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestMarkdown(t *testing.T) {
	var b strings.Builder
	err := Markdown(&b, []string{"rule", "loss"}, [][]string{{"a|b", "0.25"}, {"Adam ≈", "–"}})
	want := "| rule   | loss |\n|--------|-----:|\n| a\\|b   | 0.25 |\n| Adam ≈ |    – |\n"
	if err != nil || b.String() != want {
		t.Errorf("%v\n%s\nwant\n%s", err, b.String(), want)
	}
	if Markdown(&b, []string{"one"}, [][]string{{"a", "b"}}) == nil || Markdown(&b, nil, nil) == nil {
		t.Error("a ragged table, one without columns: no error")
	}
}
