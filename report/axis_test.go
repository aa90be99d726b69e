package report

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/plot"
)

func labels(ticks []plot.Tick) string {
	slices.SortFunc(ticks, func(a, b plot.Tick) int { return int(math.Copysign(1, a.Value-b.Value)) })
	var text []string
	for _, t := range ticks {
		if t.Label != "" {
			text = append(text, t.Label)
		}
	}
	return strings.Join(text, " ")
}

func TestLogTicks(t *testing.T) {
	for _, c := range []struct {
		lo, hi float64
		want   string
	}{
		{0.17, 2.8, "0.2 0.5 1 2"},
		{0.04, 12, "0.05 0.1 0.2 0.5 1 2 5 10"},
		{0.21, 0.36, "0.22 0.24 0.26 0.28 0.3 0.32 0.34 0.36"},
		{1.9, 4.2, "2 3 4"},
		{0.212, 0.2404, "0.215 0.22 0.225 0.23 0.235 0.24"},
		{5e-5, 30, "1e-4 0.001 0.01 0.1 1 10"},
		{1e-12, 10, "1e-12 1e-10 1e-8 1e-6 1e-4 0.01 1"},
		{900, 5e8, "1000 10000 100000 1000000 1e7 1e8"},
	} {
		if got := labels(logTicks{}.Ticks(c.lo, c.hi)); got != c.want {
			t.Errorf("from %v to %v: %q, want %q", c.lo, c.hi, got, c.want)
		}
	}
}

func TestLinearTicks(t *testing.T) {
	for _, c := range []struct {
		lo, hi float64
		want   string
	}{
		{0, 100, "0 20 40 60 80 100"},
		{0, 10000, "0 2000 4000 6000 8000 10000"},
		{-0.106, 0.106, "-0.1 -0.05 0 0.05 0.1"},
		{-0.5, 0.5, "-0.4 -0.2 0 0.2 0.4"},
		{0, 7, "0 1 2 3 4 5 6 7"},
		{-3e-5, 3e-5, "-3e-5 -2e-5 -1e-5 0 1e-5 2e-5 3e-5"},
	} {
		if got := labels(linearTicks{}.Ticks(c.lo, c.hi)); got != c.want {
			t.Errorf("from %v to %v: %q, want %q", c.lo, c.hi, got, c.want)
		}
	}
}

func TestSymLogAxis(t *testing.T) {
	s := symLog{1e-4}
	if got, want := labels(s.Ticks(-1, 1)), "-1 -0.01 -1e-4 0 1e-4 0.01 1"; got != want {
		t.Errorf("ticks %q, want %q", got, want)
	}
	for _, c := range []struct{ x, want float64 }{{-1, 0}, {0, 0.5}, {1, 1}} {
		if got := s.Normalize(-1, 1, c.x); math.Abs(got-c.want) > 1e-15 {
			t.Errorf("Normalize(-1, 1, %v) = %v, want %v", c.x, got, c.want)
		}
	}
	// A factor of ten far above the threshold is one unit.
	if got := s.of(10) - s.of(1); math.Abs(got-1) > 1e-4 {
		t.Errorf("a decade is %v units wide", got)
	}
}

func TestSpreadOfLabels(t *testing.T) {
	for name, c := range map[string]struct{ want, at []float64 }{
		"apart already":     {[]float64{90, 50, 10}, []float64{90, 50, 10}},
		"a pair":            {[]float64{50, 52}, []float64{46, 56}},
		"ties in order":     {[]float64{50, 50}, []float64{55, 45}},
		"chain":             {[]float64{50, 50, 50, 62}, []float64{68, 58, 48, 38}},
		"pushed off bottom": {[]float64{0, 1, 2}, []float64{0, 10, 20}},
		"pushed off top":    {[]float64{100, 100}, []float64{100, 90}},
	} {
		got := spread(slices.Clone(c.want), 10, 0, 100)
		if name == "chain" { // spreading does not move the mean
			sum := 0.0
			for _, y := range got {
				sum += y
			}
			if math.Abs(sum-212) > 1e-9 {
				t.Errorf("chain: the mean moved to %v", sum/4)
			}
			continue
		}
		if !slices.Equal(got, c.at) {
			t.Errorf("%s: %v, want %v", name, got, c.at)
		}
	}
	if got := spread([]float64{1, 2, 3}, 10, 0, 10); !slices.Equal(got, []float64{0, 5, 10}) {
		t.Errorf("too many for the place: %v", got)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		want := make([]float64, 1+rng.IntN(9))
		for i := range want {
			want[i] = 100 * rng.Float64() * rng.Float64()
		}
		at := spread(want, 10, 0, 100)
		for i := range at {
			if at[i] < -1e-9 || at[i] > 100+1e-9 {
				t.Fatalf("%v: %v lies outside", want, at)
			}
			for j := range at {
				if want[i] < want[j] && at[j]-at[i] < 10-1e-9 {
					t.Fatalf("%v: %v has labels nearer than 10 or out of order", want, at)
				}
			}
		}
	}
}

func TestLongNamesAreCutInTheMiddle(t *testing.T) {
	if got := shorten("Adam"); got != "Adam" {
		t.Error(got)
	}
	got := shorten(strings.Repeat("θ", 40) + "/optimizer.mopt")
	if n := len([]rune(got)); n != longestName || !strings.HasSuffix(got, "optimizer.mopt") || !strings.HasPrefix(got, "θθ") {
		t.Errorf("%q has %d runes", got, n)
	}
}

func TestCurvesOfOneKindDiffer(t *testing.T) {
	names := []string{"a", "sgd", "adam", "rmsprop", "b", "c", "d", "e", "f"}
	learned := []bool{true, false, false, false, false, false, false, true, true}
	styles := lineStyles(names, learned)
	for i, a := range styles {
		for j, b := range styles[:i] {
			if a.Color == b.Color || a.Width == b.Width && slices.Equal(a.Dashes, b.Dashes) {
				t.Errorf("curves %d and %d look alike", j, i)
			}
		}
	}
	// In another order each rule has the same style.
	swapped := lineStyles([]string{"rmsprop", "adam", "sgd"}, []bool{false, false, false})
	again := lineStyles([]string{"adam", "sgd", "rmsprop"}, []bool{false, false, false})
	if swapped[0].Color != again[2].Color || swapped[1].Color != again[0].Color || swapped[2].Color != again[1].Color {
		t.Error("a rule's colour depends on its place")
	}
}
