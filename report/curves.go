package report

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg/draw"
)

// A Series is one rule's learning curve over T+1 inner steps.
type Series struct {
	Name string
	// Mean is the loss at each step. The curve is interrupted at non-finite losses
	// and, on a logarithmic axis, at losses that are not positive. A curve that ends with such a loss
	// is marked as diverged.
	Mean []float64
	// Lo and Hi bound the interval around Mean; nil means no interval. The band is interrupted where either
	// is NaN. An infinite bound, or one that is not positive, runs
	// off the axes.
	Lo, Hi []float64
	// X are the inner steps, strictly increasing; nil means 0, 1, … T.
	X []float64
	// Learned draws the curve thick, and over the others.
	Learned bool

	slim bool      // whether the series is in a small panel
	raw  []float64 // the points of which Mean has averages, nil if it has none
}

// slimmed returns a line's style, thinner if the series is in a small panel.
func (s *Series) slimmed(style draw.LineStyle) draw.LineStyle {
	if s.slim {
		style.Width *= 0.7
	}
	return style
}

// CurveOptions are the options of Curves. The zero value is a good choice.
type CurveOptions struct {
	// XLabel and YLabel default to "inner step" and "loss f(θ_t)".
	XLabel, YLabel string
	// Width and Height in pixels default to 900 and 560.
	Width, Height float64
	// Horizon, if positive, draws a vertical line at this step: the number of steps
	// for which the learned rule was trained.
	Horizon float64
	// LinearY makes the loss axis linear. LogX makes the other axis logarithmic; it leaves out values of X that are not
	// positive.
	LinearY, LogX bool
	// YMin and YMax, if positive, set the ends of the loss axis, which otherwise follow from the
	// curves. With the same ends several pictures can be compared side by side.
	YMin, YMax float64
	// Points are values from other sources, drawn together with the curves.
	Points []Points
	// Smooth is the number of points that the curves are averaged over; each point is then drawn faintly behind them, and the
	// axis of steps names the number. 0 means that of Window, and 1 no averages.
	Smooth int
}

const (
	// If a curve rises above this many times the largest starting loss, it
	// leaves the axes, so that it does not squeeze the other curves. Its label says where it ends.
	headroom = 10
	// The same for curves that end with a non-finite loss, and on linear axes.
	divergedHeadroom = 3
	// The points of which a curve has averages widen the axes by at most this factor below the curves.
	rawRoom = 4
	// Losses smaller than the largest by more than this factor fall below the axes.
	depth = 1e-12
	// A band widens the axes by at most this factor beyond the curves.
	bandRoom = 1.25
	// A relative range below this counts as empty.
	narrow = 1e-6
	// margin is the part of the axes' height kept free above and below.
	margin = 0.03
)

// Curves draws learning curves with their bands. The loss axis is logarithmic,
// and the axes are fitted to the curves and to the points of which they are averages; a curve that diverges is cut off at the
// top. It is an error if a series is empty, if its slices differ in length, if
// X does not increase, or if no series has a point that can be drawn.
func Curves(title string, series []Series, o CurveOptions) (*Plot, error) {
	for i := range series {
		if err := series[i].check(); err != nil {
			return nil, err
		}
	}
	for _, marks := range o.Points {
		if err := marks.check(); err != nil {
			return nil, err
		}
	}
	if o.LogX {
		var err error
		if series, err = afterZero(title, series); err != nil {
			return nil, err
		}
	}
	series = slices.Clone(series)
	note := smooth(o.Smooth, series)
	yLo, yHi, ok := o.yRange(series, o.Points)
	if !ok {
		return nil, fmt.Errorf("report: %q: none of the %d series has a value that can be drawn", title, len(series))
	}
	p := newPlot(title, or(o.XLabel, "inner step")+note, or(o.YLabel, "loss f(θ_t)"))
	p.Y.Min, p.Y.Max = yLo, yHi
	p.X.Min, p.X.Max = xRange(series, o.LogX)
	picture := &Plot{plot: p, width: orSize(o.Width, defaultWidth), height: orSize(o.Height, defaultHeight)}
	if o.Horizon > max(0, p.X.Min) && o.Horizon < p.X.Max {
		picture.mark = &mark{x: o.Horizon, text: "training horizon"}
		p.Title.Padding += markRoom
	}
	picture.labels = addCurves(p, series, o.LinearY, o.LogX)
	picture.labels = append(picture.labels, addPoints(p, o.Points)...)
	return picture, nil
}

// addCurves draws curves and their bands into axes with a fixed range, and
// returns the curves' labels.
func addCurves(p *plot.Plot, series []Series, linear, logX bool) (labels []label) {
	p.X.Tick.Marker, p.Y.Tick.Marker = linearTicks{}, linearTicks{}
	if logX {
		p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, logTicks{}
	}
	drawable := finite
	if !linear {
		p.Y.Scale, p.Y.Tick.Marker, drawable = plot.LogScale{}, logTicks{}, positive
	}
	styles := stylesOf(series)
	for i := range series {
		styles[i] = series[i].slimmed(styles[i])
	}
	p.Add(grid{})
	for i, s := range series {
		if s.raw != nil {
			s.Mean = s.raw
			pieces, _ := s.pieces(drawable)
			p.Add(curve{pieces: pieces, style: s.slimmed(draw.LineStyle{Width: 0.6, Color: shade(styles[i].Color, 90)})})
		}
	}
	for _, pass := range []struct{ learned, bands bool }{{false, true}, {true, true}, {false, false}, {true, false}} {
		for i := range series {
			if s := &series[i]; s.Learned != pass.learned {
				continue
			} else if pass.bands {
				alpha := uint8(28)
				if s.Learned {
					alpha = 60
				}
				p.Add(band{pieces: s.bandPieces(p.Y.Min, p.Y.Max), colour: shade(styles[i].Color, alpha)})
			} else {
				pieces, diverged := s.pieces(drawable)
				p.Add(curve{pieces: pieces, style: styles[i], cross: diverged})
				labels = append(labels, s.label(pieces, diverged, p.X.Max, p.Y.Max))
				labels[len(labels)-1].style = styles[i]
			}
		}
	}
	return labels
}

func (s *Series) check() error {
	n := len(s.Mean)
	if n == 0 {
		return fmt.Errorf("report: series %q is empty", s.Name)
	}
	for _, other := range []struct {
		name   string
		values []float64
	}{{"Lo", s.Lo}, {"Hi", s.Hi}, {"X", s.X}} {
		if other.values != nil && len(other.values) != n {
			return fmt.Errorf("report: series %q has %d values of Mean but %d of %s", s.Name, n, len(other.values), other.name)
		}
	}
	if (s.Lo == nil) != (s.Hi == nil) {
		return fmt.Errorf("report: series %q has only one of Lo and Hi", s.Name)
	}
	for i, x := range s.X {
		if !finite(x) || i > 0 && x <= s.X[i-1] {
			return fmt.Errorf("report: series %q: X is not increasing at index %d", s.Name, i)
		}
	}
	return nil
}

func (s *Series) x(i int) float64 {
	if s.X == nil {
		return float64(i)
	}
	return s.X[i]
}

// pieces cuts the curve at values that cannot be drawn, and says whether it ends with such a value.
func (s *Series) pieces(drawable func(float64) bool) (pieces [][]xy, diverged bool) {
	open := false
	for i, y := range s.Mean {
		if !drawable(y) {
			open = false
			continue
		}
		if !open {
			pieces, open = append(pieces, nil), true
		}
		pieces[len(pieces)-1] = append(pieces[len(pieces)-1], xy{s.x(i), y})
	}
	for i := range pieces {
		pieces[i] = thin(pieces[i])
	}
	return pieces, !finite(s.Mean[len(s.Mean)-1])
}

// bandPieces cuts the band where a bound is NaN or the mean is non-finite. It moves
// bounds that are off the axes to just outside them.
func (s *Series) bandPieces(yLo, yHi float64) (pieces []bandPiece) {
	open := false
	below, above := yLo/2, yHi*2
	if yLo <= 0 {
		below, above = yLo-(yHi-yLo), yHi+(yHi-yLo)
	}
	for i := range s.Lo {
		if math.IsNaN(s.Lo[i]) || math.IsNaN(s.Hi[i]) || !finite(s.Mean[i]) {
			open = false
			continue
		}
		if !open {
			pieces, open = append(pieces, bandPiece{}), true
		}
		piece := &pieces[len(pieces)-1]
		piece.lo = append(piece.lo, xy{s.x(i), min(max(s.Lo[i], below), above)})
		piece.hi = append(piece.hi, xy{s.x(i), min(max(s.Hi[i], below), above)})
	}
	for i := range pieces {
		pieces[i].lo, pieces[i].hi = thin(pieces[i].lo), thin(pieces[i].hi)
	}
	return pieces
}

// label names the curve of pieces on axes that end at right and top.
func (s *Series) label(pieces [][]xy, diverged bool, right, top float64) label {
	l := label{text: shorten(s.Name), bold: s.Learned}
	if diverged {
		l.text += " (diverged)"
	}
	if len(pieces) == 0 {
		l.alone = true
		return l
	}
	piece := pieces[len(pieces)-1]
	end := piece[len(piece)-1]
	l.y, l.lead = end.y, end.x == right
	if end.y > top && !diverged {
		l.text += " (ends at " + fmt.Sprintf("%.3g", end.y) + ")"
	}
	return l
}

// thin reduces the points of a long line and keeps its shape: from every bucket of
// neighbouring points it keeps the first, the last, the lowest and the highest.
func thin(points []xy) []xy {
	const most = 4 * 600
	if len(points) <= most {
		return points
	}
	size := (len(points) + most/4 - 1) / (most / 4)
	var kept []xy
	for ; len(points) > 0; points = points[min(size, len(points)):] {
		bucket := points[:min(size, len(points))]
		lowest, highest := 0, 0
		for i, q := range bucket {
			if q.y < bucket[lowest].y {
				lowest = i
			}
			if q.y > bucket[highest].y {
				highest = i
			}
		}
		for i, q := range bucket {
			if i == 0 || i == len(bucket)-1 || i == lowest || i == highest {
				kept = append(kept, q)
			}
		}
	}
	return kept
}

func xRange(series []Series, logarithmic bool) (lo, hi float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, s := range series {
		lo, hi = min(lo, s.x(0)), max(hi, s.x(len(s.Mean)-1))
	}
	switch {
	case lo == hi && logarithmic:
		lo, hi = lo/1.5, hi*1.5
	case lo == hi:
		lo, hi = lo-0.5, hi+0.5
	}
	return lo, hi
}

// afterZero returns the parts of the series where X is positive: what a logarithmic axis can show.
func afterZero(title string, series []Series) ([]Series, error) {
	series = slices.Clone(series)
	for i := range series {
		s := &series[i]
		from := 0
		for from < len(s.Mean) && !(s.x(from) > 0) {
			from++
		}
		if from == len(s.Mean) {
			return nil, fmt.Errorf("report: %q: series %q has no positive X for a logarithmic axis", title, s.Name)
		}
		xs := make([]float64, 0, len(s.Mean)-from)
		for k := from; k < len(s.Mean); k++ {
			xs = append(xs, s.x(k))
		}
		s.X, s.Mean = xs, s.Mean[from:]
		if s.Lo != nil {
			s.Lo, s.Hi = s.Lo[from:], s.Hi[from:]
		}
	}
	return series, nil
}

// yRange fits the loss axis to curves and points; YMin and YMax, if set, take precedence.
func (o CurveOptions) yRange(series []Series, points []Points) (lo, hi float64, ok bool) {
	all := slices.Clone(series)
	for _, marks := range points {
		all = append(all, Series{Mean: marks.Y, X: marks.X})
	}
	lo, hi, ok = yRange(all, o.LinearY)
	if o.YMin > 0 {
		lo = o.YMin
	}
	if o.YMax > 0 {
		hi = o.YMax
	}
	if ok && !(lo < hi) { // all curves are on one side of YMin or YMax
		if lo, hi = o.YMin, o.YMax; lo <= 0 {
			lo = hi / 10
		} else if hi <= lo {
			hi = lo * 10
		}
	}
	return lo, hi, ok
}

// yRange fits the loss axis to the curves, to the points of which they are averages as far as rawRoom allows, and to the bands as far as
// bandRoom allows.
func yRange(series []Series, linear bool) (lo, hi float64, ok bool) {
	start, bandLo, bandHi := math.Inf(-1), math.Inf(1), math.Inf(-1)
	lo, hi = math.Inf(1), math.Inf(-1)
	rawLo, highest := lo, hi // of the points, and of curves that end with a finite loss
	for _, s := range series {
		first := true
		own := math.Inf(-1) // the highest value of this curve
		for _, y := range s.raw {
			if finite(y) && (linear || positive(y)) {
				rawLo, own = min(rawLo, y), max(own, y)
			}
		}
		for i, y := range s.Mean {
			if !finite(y) || !linear && !positive(y) {
				continue
			}
			if first {
				start, first = max(start, y), false
			}
			lo, own = min(lo, y), max(own, y)
			if s.Lo != nil && finite(s.Lo[i]) && finite(s.Hi[i]) {
				bandLo, bandHi = min(bandLo, s.Lo[i]), max(bandHi, s.Hi[i])
			}
		}
		hi = max(hi, own)
		if finite(s.Mean[len(s.Mean)-1]) {
			highest = max(highest, own)
		}
	}
	if hi < lo {
		return 0, 0, false
	}
	if start > 0 && linear {
		hi = min(hi, divergedHeadroom*start)
	} else if start > 0 {
		hi = min(hi, max(divergedHeadroom*start, min(highest, headroom*start)))
	}
	if linear {
		lo = min(lo, max(rawLo, lo-(hi-lo)/rawRoom))
		room := (bandRoom - 1) * (hi - lo)
		lo, hi = min(lo, max(bandLo, lo-room)), max(hi, min(bandHi, hi+room))
		if hi-lo <= narrow*max(-lo, hi) {
			lo, hi = lo-max(1, -lo, hi)/2, hi+max(1, -lo, hi)/2
		}
		pad := margin * (hi - lo)
		return lo - pad, hi + pad, true
	}
	lo = max(lo, hi*depth)
	lo = min(lo, max(rawLo, lo/rawRoom))
	lo, hi = min(lo, max(bandLo, lo/bandRoom)), max(hi, min(bandHi, hi*bandRoom))
	if hi <= lo*(1+narrow) {
		lo, hi = lo/1.5, hi*1.5
	}
	pad := math.Pow(hi/lo, margin)
	return lo / pad, hi * pad, true
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func orSize(size, otherwise float64) float64 {
	if !(size > 0) {
		return otherwise
	}
	return size
}
