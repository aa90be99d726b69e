package report

import (
	"encoding/json"
	"fmt"
	"image/color"
	"os"
	"regexp"
	"slices"
	"testing"

	"gonum.org/v1/plot/vg"
)

// constant returns a constant of a script of the pages of package htmlreport, which is written as JSON.
func constant[T any](t *testing.T, file, name string) (value T) {
	t.Helper()
	data, err := os.ReadFile("../htmlreport/assets/" + file)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?m)^const " + name + " = (.*);$").FindSubmatch(data)
	if m == nil {
		t.Fatalf("%s has no %s", file, name)
	}
	if err := json.Unmarshal(m[1], &value); err != nil {
		t.Fatalf("%s of %s: %v", name, file, err)
	}
	return value
}

// Pictures and pages have the same colours and dashes, for curves and for heat maps.
func TestPagesLookAsPictures(t *testing.T) {
	for name, own := range map[string][]color.NRGBA{"learnedColours": learnedColours, "otherColours": otherColours} {
		page := constant[[][2]string](t, "theme.js", name)
		if len(page) != len(own) {
			t.Fatalf("%s: pages have %d, pictures %d", name, len(page), len(own))
		}
		for i, c := range own {
			if got := fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B); got != page[i][0] {
				t.Errorf("%s %d is %s in pictures and %s on pages", name, i, got, page[i][0])
			}
		}
	}
	for name, own := range map[string][][]vg.Length{"learnedDashes": learnedDashes, "otherDashes": otherDashes} {
		page := constant[[][]vg.Length](t, "theme.js", name)
		if !slices.EqualFunc(page, own, func(a, b []vg.Length) bool { return slices.Equal(a, b) }) {
			t.Errorf("%s are %v in pictures and %v on pages", name, own, page)
		}
	}
	var stops []color.NRGBA
	for _, c := range constant[[][3]int](t, "heatmap.js", "heatStops") {
		stops = append(stops, color.NRGBA{uint8(c[0]), uint8(c[1]), uint8(c[2]), 255})
	}
	if !slices.Equal(stops, heatStops) {
		t.Errorf("heat maps have the colours %v in pictures and %v on pages", heatStops, stops)
	}
	if page := constant[[]float64](t, "heatmap.js", "heatLimits"); !slices.Equal(page, heatLimits) {
		t.Errorf("scales end at %v in pictures and at %v on pages", heatLimits, page)
	}
}

// Lines need a contrast of 3:1 to the paper (WCAG 2.2, 1.4.11).
func TestCurvesCanBeSeen(t *testing.T) {
	for _, c := range slices.Concat(learnedColours, otherColours) {
		if contrast := 1.05 / (luminance(c) + 0.05); contrast < 3 {
			t.Errorf("colour %v has a contrast of %.2f to white", c, contrast)
		}
	}
}

// A field of a rule that has no ratio, because others diverged, leaves the scale to the fields that have one.
func TestDivergencesDoNotStretchTheScale(t *testing.T) {
	fields := [][]Heat{{{Ratio: 0.9}, {Ratio: inf}, {Ratio: 5e-324}}}
	if got := heatLimit([]HeatPanel{{Fields: fields}}); got != 1.25 {
		t.Errorf("the scale ends at %v, want 1.25", got)
	}
}
