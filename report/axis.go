package report

import (
	"math"
	"strconv"

	"gonum.org/v1/plot"
)

// logTicks labels a logarithmic axis at 1…9, at 1-2-5 or at whole decades: the densest
// of the three that stays readable. The other positions get marks without labels. A range
// too narrow for any of the three is labelled like a linear axis.
type logTicks struct{}

const (
	fewTicks  = 3
	manyTicks = 11
)

func (logTicks) Ticks(lo, hi float64) []plot.Tick {
	first, last := int(math.Floor(math.Log10(lo))), int(math.Ceil(math.Log10(hi)))
	labelled := func(every int, digits ...int) []float64 {
		var at []float64
		for e := first; e <= last; e++ {
			for _, d := range digits {
				if v := decimal(d, e); e%every == 0 && lo <= v && v <= hi {
					at = append(at, v)
				}
			}
		}
		return at
	}
	at := labelled(1, 1, 2, 5)
	if len(at) < fewTicks {
		if at = labelled(1, 1, 2, 3, 4, 5, 6, 7, 8, 9); len(at) < fewTicks {
			return linearTicks{}.Ticks(lo, hi)
		}
	}
	for every := 1; len(at) > manyTicks; every++ {
		at = labelled(every, 1)
	}
	ticks := make([]plot.Tick, 0, 4*len(at))
	for _, v := range at {
		ticks = append(ticks, plot.Tick{Value: v, Label: number(v)})
	}
	minor := labelled(1, 1)
	if last-first <= 6 {
		minor = labelled(1, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	}
	for _, v := range minor {
		ticks = append(ticks, plot.Tick{Value: v})
	}
	return ticks
}

// linearTicks labels at most nine multiples of 1, 2 or 5 × 10^k.
type linearTicks struct{}

func (linearTicks) Ticks(lo, hi float64) []plot.Tick {
	step, digits, exponent := 0.0, []int{1, 2, 5}, int(math.Floor(math.Log10(max((hi-lo)/10, 1e-300))))
	for i := 0; step == 0 || (hi-lo)/step > 8; i++ {
		step = decimal(digits[i%3], exponent+i/3)
	}
	var ticks []plot.Tick
	first := math.Ceil(lo/step - 1e-9)
	for i := range int(math.Floor(hi/step+1e-9)-first) + 1 {
		// Rounding to the step's digits makes 3·0.1 print as 0.3.
		v, _ := strconv.ParseFloat(strconv.FormatFloat((first+float64(i))*step, 'e', 9, 64), 64)
		ticks = append(ticks, plot.Tick{Value: v, Label: number(v)})
	}
	return ticks
}

// symLog is a symmetric logarithmic axis: linear for |x| well below the
// threshold, logarithmic above it.
//
//	s(x) = sgn(x)·log10(1 + |x|/threshold)
type symLog struct{ threshold float64 }

func (s symLog) of(x float64) float64 {
	return math.Copysign(math.Log10(1+math.Abs(x)/s.threshold), x)
}

// Normalize implements plot.Normalizer.
func (s symLog) Normalize(lo, hi, x float64) float64 {
	return (s.of(x) - s.of(lo)) / (s.of(hi) - s.of(lo))
}

// Ticks labels 0 and, on both sides, every decade or only every second, third, … one.
func (s symLog) Ticks(lo, hi float64) []plot.Tick {
	ticks := []plot.Tick{{Value: 0, Label: "0"}}
	first := int(math.Ceil(math.Log10(s.threshold) - 1e-9))
	last := int(math.Floor(math.Log10(math.Max(-lo, hi)) + 1e-9))
	every := (last-first)/4 + 1
	for e := last; e >= first; e-- {
		v, text := decimal(1, e), ""
		if (last-e)%every == 0 {
			text = number(v)
		}
		for _, tick := range []plot.Tick{{Value: -v, Label: text}, {Value: v, Label: text}} {
			if tick.Value < 0 && text != "" {
				tick.Label = "-" + text
			}
			if lo <= tick.Value && tick.Value <= hi {
				ticks = append(ticks, tick)
			}
		}
	}
	return ticks
}

// decimal returns the float64 nearest to d·10^e.
func decimal(d, e int) float64 {
	v, _ := strconv.ParseFloat(strconv.Itoa(d)+"e"+strconv.Itoa(e), 64)
	return v
}

// number returns the label of a tick: a plain number from 0.001 to 9,999,999, else a form such as 2e-5.
func number(v float64) string {
	if v == 0 {
		return "0" // also for -0
	}
	if a := math.Abs(v); a < 0.999e-3 || a >= 1e7 {
		mantissa := strconv.FormatFloat(v, 'e', -1, 64)
		for i := range mantissa {
			if mantissa[i] == 'e' {
				exponent, _ := strconv.Atoi(mantissa[i+1:])
				return mantissa[:i] + "e" + strconv.Itoa(exponent)
			}
		}
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// finite reports whether the arithmetic of axes cannot overflow with x.
// Larger numbers count as infinite.
func finite(x float64) bool { return math.Abs(x) <= 1e300 }

// positive reports whether x has a place on a logarithmic axis.
func positive(x float64) bool { return finite(x) && x >= 1e-300 }
