package report

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"image/color"
	"io"
	"math"
	"regexp"
	"strings"
	"testing"
)

func heat() ([]HeatPanel, HeatOptions) {
	o := HeatOptions{X: []string{"5", "10", "20"}, Y: []string{"1", "2"}, XLabel: "units", YLabel: "layers", ScaleLabel: "ratio", Caption: "What is what."}
	fields := [][]Heat{
		{{Ratio: 0.5, Text: "0.50", Range: "0.4–0.6", Note: "won", Decided: true}, {Ratio: 1, Text: "1.00", Note: "open"}, {Ratio: 3, Text: "3.00", Note: "lost", Decided: true}},
		{{Ratio: math.Inf(1), Text: "diverged"}, {Ratio: math.NaN(), Text: "–"}, {Ratio: 1e-9, Text: "0.00"}},
	}
	return []HeatPanel{{"sigmoid", fields}, {"relu", fields}}, o
}

// texts returns the texts of an SVG in order, and the colours of its areas.
func texts(t *testing.T, svg []byte) (all []string, fills []string) {
	t.Helper()
	for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
		token, err := d.Token()
		if err == io.EOF {
			return all, fills
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.CharData:
			if s := strings.TrimSpace(string(token)); s != "" {
				all = append(all, s)
			}
		case xml.StartElement:
			for _, a := range token.Attr {
				if m := regexp.MustCompile(`fill:(#[0-9A-Fa-f]{6})`).FindStringSubmatch(a.Value); m != nil && token.Name.Local == "path" {
					fills = append(fills, strings.ToUpper(m[1]))
				}
			}
		}
	}
}

func hex(c color.NRGBA) string { return fmt.Sprintf("#%02X%02X%02X", c.R, c.G, c.B) }

func TestHeatMapShowsEveryField(t *testing.T) {
	panels, o := heat()
	p, err := HeatMap("learned against tuned", panels, o)
	svg := encode(t, p, err, SVG)
	words, fills := texts(t, svg)
	count := map[string]int{}
	for _, w := range append(words, fills...) {
		count[w]++
	}
	for want, n := range map[string]int{
		"learned against tuned": 1, "sigmoid": 1, "relu": 1, "0.50": 2, "0.4–0.6": 2, "won": 2, "1.00": 2, "open": 2, "3.00": 2, "lost": 2, "diverged": 2,
		"units": 2, "layers": 1, "20": 2, "ratio": 1, "What is what.": 1, "1/3": 1, "10": 2 + 1, "1/10": 1,
		// 1 is the scale's middle and a row's label, in two panels.
		"1": 1 + 2,
	} {
		if count[want] != n {
			t.Errorf("%q is there %d times, want %d", want, count[want], n)
		}
	}
	// The fields' colours: 1 is the scale's middle, +Inf its end, and none for NaN.
	h := &heatMap{limit: 10}
	for ratio, n := range map[float64]int{0.5: 2, 1: 2, 3: 2, math.Inf(1): 2, 1e-9: 2} {
		at, _ := h.position(ratio)
		if got := count[hex(heatColour(at))]; got < n || got > n+1 { // the colour may also occur once in the scale itself
			t.Errorf("%d areas have the colour of %v, want %d", got, ratio, n)
		}
	}
	if again := encode(t, p, nil, SVG); !bytes.Equal(svg, again) {
		t.Error("the same picture has other bytes")
	}
	encode(t, p, nil, PNG)
}

// The scale is symmetric around 1 in the logarithm, holds the ratios, and clips ratios beyond its ends.
func TestHeatScale(t *testing.T) {
	for _, c := range []struct{ least, most, want float64 }{
		{1, 1, 1.25}, {0.9, 1.2, 1.25}, {0.7, 1.2, 1.5}, {0.9, 1.9, 2}, {0.3, 1.2, 4}, {1, 4, 4}, {0.9, 400, 10}, {0, math.Inf(1), 1.25},
	} {
		panels := []HeatPanel{{Fields: [][]Heat{{{Ratio: c.least}, {Ratio: c.most}}}}}
		if got := heatLimit(panels); got != c.want {
			t.Errorf("%v to %v: the scale ends at %v, want %v", c.least, c.most, got, c.want)
		}
	}
	h := &heatMap{limit: 4}
	for ratio, want := range map[float64]float64{1: 0.5, 4: 1, 0.25: 0, 2: 0.75, 0.5: 0.25, 100: 1, 1e-5: 0, math.Inf(1): 1} {
		if got, ok := h.position(ratio); !ok || math.Abs(got-want) > 1e-12 {
			t.Errorf("%v is at %v, want %v", ratio, got, want)
		}
	}
	for _, ratio := range []float64{math.NaN(), 0, -1} {
		if _, ok := h.position(ratio); ok {
			t.Errorf("%v has a place on the scale", ratio)
		}
	}
}

// The order of the ratios can be seen in black and white, also by people who do not see red or
// do not see green.
func TestHeatColoursRiseInLightness(t *testing.T) {
	// Machado, Oliveira and Fernandes 2009, severity 1: linear RGB as a protanope and a deuteranope see it.
	views := map[string][3][3]float64{
		"grey":         {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}},
		"protanopia":   {{0.152286, 1.052583, -0.204868}, {0.114503, 0.786281, 0.099216}, {-0.003882, -0.048116, 1.051998}},
		"deuteranopia": {{0.367322, 0.860646, -0.227968}, {0.280085, 0.672501, 0.047413}, {-0.011820, 0.042940, 0.968881}},
	}
	linear := func(v uint8) float64 {
		x := float64(v) / 255
		if x <= 0.04045 {
			return x / 12.92
		}
		return math.Pow((x+0.055)/1.055, 2.4)
	}
	for name, m := range views {
		last := -1.0
		for i := range 101 {
			c := heatColour(float64(i) / 100)
			rgb := [3]float64{linear(c.R), linear(c.G), linear(c.B)}
			y := 0.0
			for k, w := range []float64{0.2126, 0.7152, 0.0722} {
				for j := range 3 {
					y += w * m[k][j] * rgb[j]
				}
			}
			if y <= last {
				t.Errorf("%s: the lightness falls at %d %% of the scale: %v after %v", name, i, y, last)
			}
			last = y
		}
	}
}

// Letters are legible on every field: the better of dark and white letters has a contrast ratio of at least 3.7 everywhere.
func TestHeatTextHasContrast(t *testing.T) {
	for i := range 101 {
		c := heatColour(float64(i) / 100)
		y, letters := luminance(c), luminance(color.NRGBA{ink.Y, ink.Y, ink.Y, 255})
		if y < darkest {
			letters = 1
		}
		if contrast := (max(y, letters) + 0.05) / (min(y, letters) + 0.05); contrast < 3.7 {
			t.Errorf("at %d %% of the scale the contrast is %.2f", i, contrast)
		}
	}
}

func TestHeatMapErrors(t *testing.T) {
	panels, o := heat()
	short := []HeatPanel{{"x", panels[0].Fields[:1]}}
	narrow := []HeatPanel{{"x", [][]Heat{{{}}, {{}}}}}
	for what, c := range map[string]struct {
		panels []HeatPanel
		o      HeatOptions
	}{
		"no fields": {nil, o}, "1 rows": {short, o}, "with 1 fields": {narrow, o}, "no rows": {[]HeatPanel{{Title: "x"}}, o}, "of no fields": {panels, HeatOptions{}},
	} {
		if _, err := HeatMap("t", c.panels, c.o); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("error %v, want %q", err, what)
		}
	}
}
