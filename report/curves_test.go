package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var nan, inf = math.NaN(), math.Inf(1)

// descent returns a learning curve with a band that falls from a to b.
func descent(name string, a, b, rate float64, steps int, learned bool) Series {
	s := Series{Name: name, Learned: learned}
	for t := range steps + 1 {
		y := b + (a-b)*math.Exp(-rate*float64(t))
		s.Mean, s.Lo, s.Hi = append(s.Mean, y), append(s.Lo, y*0.9), append(s.Hi, y*1.1)
	}
	return s
}

func mnist() []Series {
	diverging := descent("SGD 10", 2.3, 0.1, -0.1, 100, false)
	for t := 40; t <= 100; t++ {
		diverging.Mean[t], diverging.Lo[t], diverging.Hi[t] = nan, nan, nan
	}
	return []Series{
		descent("learned", 2.3, 0.2, 0.08, 100, true),
		descent("Adam", 2.3, 0.31, 0.05, 100, false),
		descent("RMSProp", 2.3, 0.36, 0.06, 100, false),
		diverging,
	}
}

func encode(t *testing.T, p *Plot, err error, format string) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := p.Encode(&b, format); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestPicturesAreDeterministic(t *testing.T) {
	for _, format := range []string{SVG, PNG} {
		p, err := Curves("MNIST", mnist(), CurveOptions{Horizon: 50})
		first := encode(t, p, err, format)
		if again := encode(t, p, nil, format); !bytes.Equal(first, again) {
			t.Errorf("%s: encoding the same plot twice gave different bytes", format)
		}
		p, err = Curves("MNIST", mnist(), CurveOptions{Horizon: 50})
		if again := encode(t, p, err, format); !bytes.Equal(first, again) {
			t.Errorf("%s: the same curves gave different bytes", format)
		}
		changed := mnist()
		changed[1].Mean[50] *= 1.5
		p, err = Curves("MNIST", changed, CurveOptions{Horizon: 50})
		if other := encode(t, p, err, format); bytes.Equal(first, other) {
			t.Errorf("%s: other curves gave the same bytes", format)
		}
	}
}

// A logarithmic axis begins at the first positive X, and the other axis is fitted to what is left.
func TestLogarithmicX(t *testing.T) {
	scaled := func(s Series, by float64) Series {
		for t := range s.Mean {
			s.X = append(s.X, float64(t)*by)
		}
		s.Mean[0], s.Lo[0], s.Hi[0] = 1e6, 1e6, 1e6 // at 0, which is not drawn
		return s
	}
	series := []Series{scaled(descent("learned", 2.3, 0.2, 0.08, 100, true), 8), scaled(descent("Adam", 2.3, 0.31, 0.05, 100, false), 0.5)}
	p, err := Curves("MNIST", series, CurveOptions{LogX: true, XLabel: "milliseconds"})
	svg := encode(t, p, err, SVG)
	if p.plot.X.Min != 0.5 || p.plot.X.Max != 800 || p.plot.Y.Max > 4 {
		t.Errorf("axes from %v to %v and up to %v", p.plot.X.Min, p.plot.X.Max, p.plot.Y.Max)
	}
	words, _ := texts(t, svg)
	for _, want := range []string{"1", "10", "100", "milliseconds"} {
		if !slices.Contains(words, want) {
			t.Errorf("no %q in %q", want, words)
		}
	}
	if series[0].Mean[0] != 1e6 || len(series[0].X) != 101 {
		t.Error("the caller's series are changed")
	}
	if _, err := Curves("t", []Series{{Name: "a", Mean: []float64{1}}}, CurveOptions{LogX: true}); err == nil || !strings.Contains(err.Error(), "no positive X") {
		t.Errorf("error %v", err)
	}
	if p, err = Curves("t", []Series{{Name: "a", Mean: []float64{1, 2}, X: []float64{0, 4}}}, CurveOptions{LogX: true}); err != nil || p.plot.X.Min <= 0 || p.plot.X.Max <= 4 {
		t.Errorf("of one point: error %v, from %v to %v", err, p.plot.X.Min, p.plot.X.Max)
	}
	m, err := Multiples("t", [][]Panel{{{Series: series}}}, MultipleOptions{LogX: true})
	words, _ = texts(t, encode(t, m, err, SVG))
	if !slices.Contains(words, "50") || slices.Contains(words, "0") { // 0 would be a step
		t.Errorf("a small panel has %q", words)
	}
}

func TestSVGHoldsWhatItShould(t *testing.T) {
	p, err := Curves("a < b", mnist(), CurveOptions{Horizon: 50})
	svg := encode(t, p, err, SVG)
	if !bytes.Contains(svg, []byte("Liberation Sans,Arial,")) {
		t.Error("text has no font to fall back to")
	}
	var texts []string
	for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
		if c, ok := token.(xml.CharData); ok && strings.TrimSpace(string(c)) != "" {
			texts = append(texts, string(c))
		}
	}
	all := strings.Join(texts, "|") + "|"
	for _, want := range []string{"a < b", "inner step", "loss f(θ_t)", "learned", "Adam", "RMSProp", "SGD 10 (diverged)", "training horizon", "0.2", "0.5", "1", "2", "5", "0", "100"} {
		if !strings.Contains(all, want+"|") {
			t.Errorf("no text %q among %q", want, texts)
		}
	}
	for _, bad := range []string{"NaN", "Inf"} {
		if bytes.Contains(svg, []byte(bad)) {
			t.Errorf("the picture contains %s", bad)
		}
	}
}

func TestPNGHasTwicePixels(t *testing.T) {
	for _, c := range []struct{ width, height, wantWidth, wantHeight float64 }{{0, 0, 1800, 1120}, {600, 400, 1200, 800}} {
		p, err := Curves("", mnist(), CurveOptions{Width: c.width, Height: c.height})
		config, err := png.DecodeConfig(bytes.NewReader(encode(t, p, err, PNG)))
		if err != nil {
			t.Fatal(err)
		}
		if float64(config.Width) != c.wantWidth || float64(config.Height) != c.wantHeight {
			t.Errorf("asked for %v×%v: got %d×%d pixels", c.width, c.height, config.Width, config.Height)
		}
	}
}

func TestCurveIsInterruptedWhereItIsNotFinite(t *testing.T) {
	for name, c := range map[string]struct {
		mean     []float64
		lengths  []int
		diverged bool
	}{
		"whole":           {[]float64{3, 2, 1}, []int{3}, false},
		"hole":            {[]float64{3, nan, 1, 1}, []int{1, 2}, false},
		"diverges":        {[]float64{3, 9, inf, nan}, []int{2}, true},
		"zero":            {[]float64{3, 2, 0}, []int{2}, false},
		"never":           {[]float64{nan, nan}, nil, true},
		"from the second": {[]float64{nan, 2}, []int{1}, false},
	} {
		s := Series{Name: name, Mean: c.mean}
		pieces, diverged := s.pieces(positive)
		if diverged != c.diverged || len(pieces) != len(c.lengths) {
			t.Errorf("%s: %d pieces, diverged %v; want %d, %v", name, len(pieces), diverged, len(c.lengths), c.diverged)
			continue
		}
		for i, piece := range pieces {
			if len(piece) != c.lengths[i] {
				t.Errorf("%s: piece %d has %d points, want %d", name, i, len(piece), c.lengths[i])
			}
		}
	}
}

func TestLossAxisFitsTheCurves(t *testing.T) {
	one := func(mean ...float64) []Series { return []Series{{Mean: mean}} }
	pad := func(lo, hi float64) (float64, float64) {
		f := math.Pow(hi/lo, margin)
		return lo / f, hi * f
	}
	for name, c := range map[string]struct {
		series []Series
		lo, hi float64
	}{
		"between extremes":         {one(2, 4, 0.5), 0.5, 4},
		"a divergence is cut off":  {append(one(2, 0.5), one(3, 1e30, inf)...), 0.5, 9},
		"what rises less is not":   {append(one(2, 0.5), one(3, 17, 16)...), 0.5, 17},
		"far above is cut off":     {append(one(2, 0.5), one(3, 1e30, 1e30)...), 0.5, 30},
		"not the very small":       {one(1, 1e-300), 1e-12, 1},
		"non-positive is left out": {one(2, 0, -1, 0.5), 0.5, 2},
		"each point is in it":      {[]Series{{Mean: []float64{2, 1}, raw: []float64{2, 7}}}, 1, 7},
		"but not all low ones":     {[]Series{{Mean: []float64{2, 1}, raw: []float64{2, 1e-5}}}, 0.25, 2},
		"a band widens it":         {[]Series{{Mean: []float64{2, 1}, Lo: []float64{1.8, 0.9}, Hi: []float64{2.1, 1.1}}}, 0.9, 2.1},
		"but not far":              {[]Series{{Mean: []float64{2, 1}, Lo: []float64{-5, 0.1}, Hi: []float64{9, 9}}}, 0.8, 2.5},
		"constant":                 {one(3, 3), 2, 4.5},
	} {
		lo, hi, ok := yRange(c.series, false)
		wantLo, wantHi := pad(c.lo, c.hi)
		if !ok || math.Abs(lo/wantLo-1) > 1e-9 || math.Abs(hi/wantHi-1) > 1e-9 {
			t.Errorf("%s: axis from %v to %v (%v), want %v to %v", name, lo, hi, ok, wantLo, wantHi)
		}
	}
	if lo, hi, _ := yRange(one(-1, 3), true); lo != -1.12 || hi != 3.12 {
		t.Errorf("linear: axis from %v to %v, want -1.12 to 3.12", lo, hi)
	}
	if _, hi, _ := yRange(one(1, 9), true); hi != 3.06 {
		t.Errorf("linear: a divergence is cut off at %v, want 3.06", hi)
	}
}

func TestCurvesRejects(t *testing.T) {
	for name, c := range map[string]struct {
		series []Series
		want   string
	}{
		"no series":         {nil, "none of the 0 series"},
		"empty series":      {[]Series{{Name: "Adam"}}, `"Adam" is empty`},
		"nothing to draw":   {[]Series{{Name: "Adam", Mean: []float64{nan, 0, -1}}}, "none of the 1 series"},
		"half a band":       {[]Series{{Name: "Adam", Mean: []float64{1}, Lo: []float64{1}}}, "only one of Lo and Hi"},
		"a short band":      {[]Series{{Name: "Adam", Mean: []float64{1, 2}, Lo: []float64{1, 1}, Hi: []float64{2}}}, "1 of Hi"},
		"a short X":         {[]Series{{Name: "Adam", Mean: []float64{1, 2}, X: []float64{1}}}, "1 of X"},
		"X goes back":       {[]Series{{Name: "Adam", Mean: []float64{1, 2}, X: []float64{1, 1}}}, "not increasing at index 1"},
		"X is not a number": {[]Series{{Name: "Adam", Mean: []float64{1, 2}, X: []float64{nan, 1}}}, "not increasing at index 0"},
	} {
		if _, err := Curves("t", c.series, CurveOptions{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one that says %q", name, err, c.want)
		}
	}
}

func TestBandIsInterruptedWhereItIsNaN(t *testing.T) {
	s := Series{
		Mean: []float64{1, 1, 1, 1, nan, 1},
		Lo:   []float64{0.9, nan, 0.9, -inf, 0.9, 0.9},
		Hi:   []float64{1.1, 1.1, 1.1, inf, 1.1, 1.1},
	}
	pieces := s.bandPieces(0.5, 2)
	if len(pieces) != 3 || len(pieces[0].lo) != 1 || len(pieces[1].lo) != 2 || len(pieces[2].lo) != 1 {
		t.Fatalf("pieces %v", pieces)
	}
	if got := pieces[1]; got.lo[1] != (xy{3, 0.25}) || got.hi[1] != (xy{3, 4}) {
		t.Errorf("infinite bounds became %v and %v, not just off the axes", got.lo[1], got.hi[1])
	}
}

// A curve that ends within the axes has a line to its label. A curve that leaves the axes has
// none, and a curve that diverges has a cross instead.
func TestEndsOfCurves(t *testing.T) {
	inside := Series{Name: "a", Mean: []float64{2, 1, 1}}
	lines := func(s Series) int {
		p, err := Curves("", []Series{inside, s}, CurveOptions{})
		return bytes.Count(encode(t, p, err, SVG), []byte("stroke-dasharray:2,2"))*100 +
			bytes.Count(encode(t, p, nil, SVG), []byte("stroke:#3A9BD1"))
	}
	// Each curve is drawn as a line and, beside its label, a sample of the line. A line to a label has no dashes. A
	// cross has two strokes.
	for _, c := range []struct {
		name string
		mean []float64
		want int
	}{{"inside", []float64{2, 1, 1.5}, 203}, {"left the axes", []float64{2, 1, 99}, 202}, {"diverged", []float64{2, 1, nan}, 204}} {
		if got := lines(Series{Name: "b", Mean: c.mean}); got != c.want {
			t.Errorf("%s: %d strokes, want %d (hundreds: dashed ones)", c.name, got, c.want)
		}
	}
	// Above the axes only the label can say where a curve ends.
	p, err := Curves("", []Series{inside, {Name: "b", Mean: []float64{2, 1, 98.76}}, {Name: "c", Mean: []float64{2, 99, 1}}}, CurveOptions{})
	if words, _ := texts(t, encode(t, p, err, SVG)); !slices.Contains(words, "b (ends at 98.8)") || !slices.Contains(words, "c") {
		t.Errorf("labels %q", words)
	}
}

// Any numbers give a picture or an error, but never a panic.
func FuzzCurves(f *testing.F) {
	f.Add(2.3, 0.2, 1e30, 0.1, uint8(3))
	f.Add(inf, nan, 0.0, -1.0, uint8(0))
	f.Add(5e-324, 1.7e308, 1.0, 1.0, uint8(7))
	f.Fuzz(func(t *testing.T, a, b, c, d float64, flags uint8) {
		s := Series{Name: "s", Mean: []float64{a, b, c}, Lo: []float64{d, a, b}, Hi: []float64{c, d, a}, Learned: flags&1 != 0}
		if flags&2 != 0 {
			s.X = []float64{a, b, d}
		}
		p, err := Curves("fuzz", []Series{s, {Name: "other", Mean: []float64{b}}}, CurveOptions{LinearY: flags&4 != 0, Horizon: d})
		if err != nil {
			return
		}
		if svg := encode(t, p, nil, SVG); bytes.Contains(svg, []byte("NaN")) || bytes.Contains(svg, []byte("Inf")) {
			t.Errorf("a coordinate of the picture is not finite: %v %v %v %v %d", a, b, c, d, flags)
		}
	})
}

func TestLongCurvesKeepTheirExtremes(t *testing.T) {
	var points []xy
	for i := range 100000 {
		points = append(points, xy{float64(i), math.Sin(float64(i) / 5000)})
	}
	points[777].y, points[54321].y = 9, -9
	kept := thin(points)
	if len(kept) > 2400 {
		t.Errorf("%d points are left", len(kept))
	}
	if kept[0] != points[0] || kept[len(kept)-1] != points[len(points)-1] {
		t.Error("the ends were lost")
	}
	found := 0
	for i, q := range kept {
		if q == points[777] || q == points[54321] {
			found++
		}
		if i > 0 && q.x <= kept[i-1].x {
			t.Fatalf("point %d is not to the right of the one before", i)
		}
	}
	if found != 2 {
		t.Errorf("%d of 2 peaks are left", found)
	}
}

func TestSaveReplacesTheFile(t *testing.T) {
	p, err := Curves("MNIST", mnist(), CurveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"curves.svg", "curves.PNG"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := p.Save(path); err != nil {
			t.Fatal(err)
		}
		format, _ := FormatOf(path)
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if want := encode(t, p, nil, format); !bytes.Equal(got, want) {
			t.Errorf("%s holds other bytes than Encode writes", name)
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("Save left %d files behind", len(entries)-2)
	}
	if err := p.Save(filepath.Join(dir, "curves.pdf")); err == nil || !strings.Contains(err.Error(), ".svg or .png") {
		t.Errorf("saving a PDF: error %v", err)
	}
	if err := p.Save(filepath.Join(dir, "none", "curves.svg")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("saving into a missing folder: error %v", err)
	}
	if err := p.Encode(io.Discard, "gif"); err == nil {
		t.Error("a GIF was encoded")
	}
}
