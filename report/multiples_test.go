package report

import (
	"strings"
	"testing"
)

func grids() [][]Panel {
	p := panels()
	for i := range p {
		p[i].Points = nil
	}
	longer := descent("learned", 2.3, 0.2, 0.08, 400, true)
	long := Panel{Series: []Series{longer}}
	for _, name := range []string{"Adam", "RMSProp", "SGD 10"} {
		long.Series = append(long.Series, Series{Name: name, Mean: []float64{nan, nan}, X: []float64{0, 400}})
	}
	return [][]Panel{{{Series: p[0].Series}, {Series: p[1].Series}}, {{Series: p[1].Series}, long}}
}

func TestMultiplesLabelRowsColumnsAndRules(t *testing.T) {
	o := MultipleOptions{X: []string{"units 5", "units 10"}, Y: []string{"layers 1", "layers 2"}, Caption: "Means."}
	p, err := Multiples("Learning curves", grids(), o)
	svg := encode(t, p, err, SVG)
	words, _ := texts(t, svg)
	count := map[string]int{}
	for _, w := range words {
		count[w]++
	}
	// Every rule once, in the legend; each row has the numbers of its loss axis once.
	for want, n := range map[string]int{
		"Learning curves": 1, "units 5": 1, "units 10": 1, "layers 1": 1, "layers 2": 1, "Means.": 1, "learned": 1, "Adam": 1, "SGD 10": 1,
		"inner step": 1, "loss f(θ_t)": 1, "0": 4, "400": 0, "40": 3, "0.5": 2,
	} {
		if count[want] != n {
			t.Errorf("%q is there %d times, want %d: %q", want, count[want], n, words)
		}
	}
	if strings.Contains(string(svg), "NaN") {
		t.Error("a panel with missing curves draws NaN")
	}
	encode(t, p, nil, PNG)
	if again, err := Multiples("Learning curves", grids(), o); string(encode(t, again, err, SVG)) != string(svg) {
		t.Error("the same picture has other bytes")
	}
}

// A row label that is longer than its panel is high is broken into lines.
func TestMultiplesBreakLongRowLabels(t *testing.T) {
	long := "task mnist units=64 layers=3 activation=relu batch=128 weight-init=he"
	p, err := Multiples("Learning curves", grids(), MultipleOptions{Y: []string{long, "task quadratic"}})
	words, _ := texts(t, encode(t, p, err, SVG))
	var lines []string
	for _, w := range words {
		if strings.Contains(long, w) && len(w) > 9 {
			lines = append(lines, w)
		}
	}
	if strings.Join(lines, " ") != long || len(lines) != 3 {
		t.Errorf("the label is drawn as %q", lines)
	}
}

func TestMultiplesErrors(t *testing.T) {
	uneven, named := grids(), grids()
	uneven[1] = uneven[1][:1]
	named[1][1].Series[2].Name = "other"
	nothing := [][]Panel{{{Series: []Series{{Name: "a", Mean: []float64{nan}}}}}}
	for what, c := range map[string]struct {
		rows [][]Panel
		o    MultipleOptions
	}{
		"the same length": {uneven, MultipleOptions{}}, "same curves": {named, MultipleOptions{}}, "no panel has": {nothing, MultipleOptions{}},
		"and the labels": {grids(), MultipleOptions{X: []string{"a"}}},
	} {
		if _, err := Multiples("t", c.rows, c.o); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("error %v, want %q", err, what)
		}
	}
}

// A caller's series are not changed.
func TestMultiplesLeaveTheirInput(t *testing.T) {
	rows := grids()
	if _, err := Multiples("t", rows, MultipleOptions{}); err != nil {
		t.Fatal(err)
	}
	if rows[0][0].Series[0].slim {
		t.Error("the caller's series is slim now")
	}
}
