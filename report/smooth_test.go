package report

import (
	"bytes"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// noisyLosses falls from 2.3 to 0.3, with noise of the given relative size.
func noisyLosses(n int, noise float64) []float64 {
	rng := rand.New(rand.NewPCG(1, 2))
	y := make([]float64, n)
	for i := range y {
		y[i] = (0.3 + 2*math.Exp(-float64(i)/20)) * (1 + noise*(rng.Float64()-0.5))
	}
	return y
}

func TestWindow(t *testing.T) {
	smooth, noisy := noisyLosses(201, 0.02), noisyLosses(201, 0.8)
	waves := make([]float64, 201)
	for i := range waves {
		waves[i] = 2 + math.Sin(float64(i)/4)
	}
	for _, c := range []struct {
		what   string
		curves [][]float64
		want   int
	}{
		{"nothing", nil, 0}, {"little noise", [][]float64{smooth}, 0}, {"noise", [][]float64{noisy}, 11}, {"one noisy curve", [][]float64{smooth, noisy}, 11},
		{"slow waves", [][]float64{waves}, 0}, {"few points", [][]float64{noisy[:30]}, 0}, {"more points", [][]float64{noisyLosses(10001, 0.8)}, 101},
		{"nothing finite", [][]float64{make([]float64, 100)}, 0},
	} {
		if got := Window(c.curves...); got != c.want {
			t.Errorf("%s: window %d, want %d", c.what, got, c.want)
		}
	}
}

func TestMovingAverage(t *testing.T) {
	nan := math.NaN()
	got := MovingAverage([]float64{9, 0, 3, 6, 3, nan, 1, 1}, 3)
	for i, want := range []float64{9, 4, 3, 4, nan, nan, nan, 1} {
		if !(got[i] == want || math.IsNaN(want) && math.IsNaN(got[i])) {
			t.Errorf("value %d is %v, want %v", i, got[i], want)
		}
	}
	if MovingAverage(nil, 3) != nil {
		t.Error("no values have averages")
	}
}

// A noisy curve is drawn as its average, and once more, faintly; the picture says so. A calm curve is not.
func TestNoisyCurvesAreAveraged(t *testing.T) {
	svg := func(noise float64, smooth int) string {
		t.Helper()
		y := noisyLosses(201, noise)
		series := []Series{{Name: "adam", Mean: y, Lo: y, Hi: y}}
		p, err := Curves("losses", series, CurveOptions{Smooth: smooth})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := p.Encode(&b, SVG); err != nil {
			t.Fatal(err)
		}
		if &series[0].Mean[0] != &y[0] {
			t.Error("the caller's series was changed")
		}
		return b.String()
	}
	for _, c := range []struct {
		noise  float64
		smooth int
		says   string
	}{{0.8, 0, "means of 11 points"}, {0.02, 0, ""}, {0.8, 1, ""}, {0.02, 5, "means of 5 points"}} {
		got := svg(c.noise, c.smooth)
		if strings.Contains(got, "means of ") != (c.says != "") || !strings.Contains(got, c.says) {
			t.Errorf("noise %v, smooth %d: the picture does not say %q, or says too much", c.noise, c.smooth, c.says)
		}
	}
	const faint = "stroke-opacity:0.35" // 90 of 255
	if got, calm := strings.Count(svg(0.8, 0), faint), strings.Count(svg(0.8, 1), faint); got == 0 || calm != 0 {
		t.Errorf("%d faint pieces, and %d without averages", got, calm)
	}
}
