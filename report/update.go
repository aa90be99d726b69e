package report

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/plot"
)

// A Response is the update of a rule as a function of the gradient, in one
// state of the rule, for example after 10 steps with the same gradient.
type Response struct {
	Name string
	// Gradient is strictly increasing; Update has the same length.
	Gradient, Update []float64
	// Learned draws the curve thick, and over the others.
	Learned bool
}

// UpdateOptions are the options of UpdatePlot. The zero value is a good choice.
type UpdateOptions struct {
	// XLabel and YLabel default to "gradient" and "update".
	XLabel, YLabel string
	// Width and Height in pixels default to 900 and 560.
	Width, Height float64
	// SymLog, if positive, makes the gradient's axis symmetric logarithmic:
	// linear for |g| well below SymLog, logarithmic above it.
	SymLog float64
}

// UpdatePlot draws updates against gradients, with lines through zero. It is an
// error if a response is empty, if its slices differ in length, if Gradient
// does not increase, if no response has a finite update, or if
// SymLog is positive and below 1e-30 or infinite.
func UpdatePlot(title string, responses []Response, o UpdateOptions) (*Plot, error) {
	xLo, xHi, yLo, yHi := math.Inf(1), math.Inf(-1), 0.0, 0.0
	names, learned, some := make([]string, len(responses)), make([]bool, len(responses)), false
	for i, r := range responses {
		// The same rules hold as for a series without a band.
		if err := r.series().check(); err != nil {
			return nil, err
		}
		names[i], learned[i] = r.Name, r.Learned
		xLo, xHi = min(xLo, r.Gradient[0]), max(xHi, r.Gradient[len(r.Gradient)-1])
		for _, u := range r.Update {
			if finite(u) {
				yLo, yHi, some = min(yLo, u), max(yHi, u), true
			}
		}
	}
	if o.SymLog > 0 && (o.SymLog < 1e-30 || !finite(o.SymLog)) {
		return nil, fmt.Errorf("report: a symmetric logarithmic axis cannot begin at %v", o.SymLog)
	}
	if !some {
		return nil, fmt.Errorf("report: %q: none of the %d responses has a finite update", title, len(responses))
	}
	if xLo == xHi {
		xLo, xHi = xLo-1, xHi+1
	}
	if yHi-yLo < 1e-300 {
		yLo, yHi = -1, 1
	}
	pad := margin * (yHi - yLo)
	p := newPlot(title, or(o.XLabel, "gradient"), or(o.YLabel, "update"))
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = xLo, xHi, yLo-pad, yHi+pad
	p.X.Tick.Marker, p.Y.Tick.Marker = linearTicks{}, linearTicks{}
	if o.SymLog > 0 {
		scale := symLog{o.SymLog}
		p.X.Scale, p.X.Tick.Marker = scale, scale
	}
	p.Add(grid{}, axesLine{})
	if xLo < 0 && xHi > 0 {
		p.Add(axesLine{vertical: true})
	}
	picture := &Plot{plot: p, width: orSize(o.Width, defaultWidth), height: orSize(o.Height, defaultHeight)}
	styles := lineStyles(names, learned)
	var top []plot.Plotter
	for i, r := range responses {
		s := r.series()
		pieces, _ := s.pieces(finite)
		line := curve{pieces: pieces, style: styles[i]}
		if r.Learned {
			top = append(top, line)
		} else {
			p.Add(line)
		}
		l := s.label(pieces, false, xHi, p.Y.Max)
		l.style = styles[i]
		picture.labels = append(picture.labels, l)
	}
	p.Add(top...)
	return picture, nil
}

func (r Response) series() *Series {
	s := &Series{Name: r.Name, Mean: r.Update, X: r.Gradient, Learned: r.Learned}
	if s.X == nil {
		s.X = []float64{}
	}
	return s
}

// Gradients returns 2n+1 gradients for UpdatePlot: 0 and, on both sides of it, n gradients
// from lo to hi, spaced evenly in the logarithm.
func Gradients(lo, hi float64, n int) []float64 {
	g := make([]float64, 0, 2*n+1)
	for i := range n {
		g = append(g, hi*math.Pow(lo/hi, float64(i)/float64(max(n-1, 1))))
	}
	all := make([]float64, 0, 2*n+1)
	for _, v := range g {
		all = append(all, -v)
	}
	all = append(all, 0)
	slices.Reverse(g)
	return append(all, g...)
}
