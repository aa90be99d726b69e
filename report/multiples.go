package report

import (
	"fmt"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// MultipleOptions are the options of Multiples.
type MultipleOptions struct {
	// X and Y label the columns and rows; nil means no labels.
	X, Y []string
	// XLabel and YLabel default to "inner step" and "loss f(θ_t)".
	XLabel, YLabel string
	// LogX makes the axes of steps logarithmic, as in CurveOptions.
	LogX bool
	// Caption is printed below the whole picture.
	Caption string
}

// Sizes of small multiples, in points.
const (
	multipleWidth  = 150 // width of a panel
	multipleHeight = 118
	multipleGap    = 8
	multipleLine   = 11 // height of a line of a row label
)

// Multiples draws learning curves in rows and columns of small panels. All panels have the same logarithmic loss
// axis; each has its own axis of steps. Curves at the same index of the panels' lists belong to the same rule and
// share a style; a legend to the right names them. It is an error if the rows differ
// in length, if the panels' lists differ in their names, if the number of labels differs from the number of rows
// or columns, or if Curves would return one. Points are not drawn.
func Multiples(title string, rows [][]Panel, o MultipleOptions) (*Plot, error) {
	rows = slices.Clone(rows)
	for k, row := range rows {
		row = slices.Clone(row)
		rows[k] = row
		for j := range row {
			row[j].Series = slices.Clone(row[j].Series)
			for i := range row[j].Series {
				row[j].Series[i].slim = true
			}
		}
		if len(row) != len(rows[0]) || o.X != nil && len(o.X) != len(row) || o.Y != nil && len(o.Y) != len(rows) {
			return nil, fmt.Errorf("report: %q: the panels' rows, their columns and the labels do not have the same length", title)
		}
		for j, panel := range row {
			if !panel.sameNames(rows[0][0]) {
				return nil, fmt.Errorf("report: %q: the panels do not have the same curves", title)
			}
			for i := range panel.Series {
				if err := panel.Series[i].check(); err != nil {
					return nil, err
				}
			}
			if o.LogX {
				var err error
				if panel.Series, err = afterZero(title, panel.Series); err != nil {
					return nil, err
				}
				row[j].Series = panel.Series
			}
		}
	}
	var all [][]Series
	for _, row := range rows {
		for _, panel := range row {
			all = append(all, panel.Series)
		}
	}
	note := smooth(0, all...)
	series := slices.Concat(all...)
	yLo, yHi, ok := yRange(series, false)
	if !ok {
		return nil, fmt.Errorf("report: %q: no panel has a value that can be drawn", title)
	}
	o.XLabel = or(o.XLabel, "inner step") + note
	m := &multiples{title: title, rows: rows, MultipleOptions: o, legend: legendOf(rows[0][0].Series)}
	m.axes = make([][]*plot.Plot, len(rows))
	for i, row := range rows {
		for j, panel := range row {
			p := newPlot(panel.Title, "", "")
			p.Title.TextStyle.Font = sans(9.5)
			p.Title.Padding = 3
			p.X.Tick.Label.Font, p.Y.Tick.Label.Font = sans(8), sans(8)
			p.X.Min, p.X.Max = xRange(panel.Series, o.LogX)
			p.Y.Min, p.Y.Max = yLo, yHi
			addCurves(p, panel.Series, false, o.LogX)
			p.X.Tick.Marker = fewer{p.X.Tick.Marker, 4}
			p.Y.Tick.Marker = fewer{p.Y.Tick.Marker, 6}
			if j > 0 {
				p.Y.Tick.Marker = unlabelled{p.Y.Tick.Marker}
			}
			m.axes[i] = append(m.axes[i], p)
		}
	}
	m.measure()
	return &Plot{paint: m.draw, width: float64(m.width / pixel), height: float64(m.height / pixel)}, nil
}

type multiples struct {
	MultipleOptions
	title         string
	rows          [][]Panel
	axes          [][]*plot.Plot
	legend        []label
	captions      []string
	names         [][]string // the row labels, broken into lines
	left, top     vg.Length  // width of the row labels and the axis' name; height of the title and the column labels
	first         vg.Length  // extra width of the first column, for its numbers
	width, height vg.Length
}

// legendOf returns the labels of the curves; learned rules are in bold letters.
func legendOf(series []Series) (labels []label) {
	for i, style := range stylesOf(series) {
		labels = append(labels, label{text: shorten(series[i].Name), style: series[i].slimmed(style), bold: series[i].Learned})
	}
	return labels
}

func (m *multiples) measure() {
	m.top, m.left, m.first = 24, 20, 26
	if m.X != nil {
		m.top += 15
	}
	lines := 0
	for _, label := range m.Y {
		names := wrap(label, heatStyle(9.5, false), multipleHeight+multipleGap)
		m.names, lines = append(m.names, names), max(lines, len(names))
	}
	if lines > 0 {
		m.left += 14 + vg.Length(lines-1)*multipleLine
	}
	outer := 2 * vg.Length(12)
	columns := vg.Length(len(m.rows[0]))
	m.width = outer + m.left + m.first + columns*(multipleWidth+multipleGap) + labelColumn(m.legend)
	m.width = max(m.width, outer+heatStyle(12.5, false).Width(m.title))
	m.captions = wrap(m.Caption, heatStyle(8.5, false), m.width-outer)
	m.height = outer + m.top + vg.Length(len(m.rows))*(multipleHeight+multipleGap) + 16 + vg.Length(len(m.captions))*heatTick
}

func (m *multiples) draw(c draw.Canvas) {
	c = sheet(c, m.title, m.captions)
	name := heatStyle(9.5, false)
	left, top := c.Min.X+m.left, c.Max.Y-m.top
	for i, row := range m.axes {
		high := top - vg.Length(i)*(multipleHeight+multipleGap)
		for j, p := range row {
			low, x := high-multipleHeight, left
			width := vg.Length(multipleWidth) + m.first
			if j > 0 {
				x += m.first + vg.Length(j)*(multipleWidth+multipleGap)
				width = multipleWidth
			}
			if i == 0 && m.X != nil {
				c.FillText(name, vg.Point{X: x + width - multipleWidth/2, Y: high + 7}, m.X[j])
			}
			p.Draw(draw.Canvas{Canvas: c.Canvas, Rectangle: vg.Rectangle{Min: vg.Point{X: x, Y: low}, Max: vg.Point{X: x + width, Y: high}}})
		}
		if m.Y != nil {
			for k, line := range m.names[i] {
				m.sideways(c, name, c.Min.X+6+vg.Length(k)*multipleLine, high-multipleHeight/2, line)
			}
		}
	}
	bottom := top - vg.Length(len(m.rows))*(multipleHeight+multipleGap)
	right := left + m.first + vg.Length(len(m.rows[0]))*(multipleWidth+multipleGap)
	axis := heatStyle(10, false)
	c.FillText(axis, vg.Point{X: (left + m.first + right) / 2, Y: bottom}, or(m.XLabel, "inner step"))
	m.sideways(c, axis, left-13, (top+bottom)/2, or(m.YLabel, "loss f(θ_t)"))
	for i, l := range m.legend {
		y := top - 8 - vg.Length(i)*labelHeight
		c.StrokeLine2(l.style, right+leaderWidth/2, y, right+leaderWidth/2+sampleWidth, y)
		c.FillText(labelText(l), vg.Point{X: right + leaderWidth/2 + sampleWidth + labelGap, Y: y + labelLift}, l.text)
	}
}

func (m *multiples) sideways(c draw.Canvas, style text.Style, x, y vg.Length, s string) {
	style.Rotation = 1.5707963267948966
	c.FillText(style, vg.Point{X: x, Y: y}, s)
}

// fewer removes labels from an axis if a small panel has no room for them.
type fewer struct {
	plot.Ticker
	most int
}

// Ticks implements plot.Ticker.
func (f fewer) Ticks(lo, hi float64) []plot.Tick {
	ticks := slices.Clone(f.Ticker.Ticks(lo, hi))
	labelled := 0
	for _, t := range ticks {
		if !t.IsMinor() {
			labelled++
		}
	}
	every, k := (labelled+f.most-1)/f.most, 0
	for i := range ticks {
		if ticks[i].IsMinor() {
			continue
		}
		if k%every != 0 {
			ticks[i].Label = ""
		}
		k++
	}
	return ticks
}

// unlabelled keeps the marks of an axis and removes their labels.
type unlabelled struct{ plot.Ticker }

// Ticks implements plot.Ticker.
func (u unlabelled) Ticks(lo, hi float64) []plot.Tick {
	ticks := slices.Clone(u.Ticker.Ticks(lo, hi))
	for i := range ticks {
		if !ticks[i].IsMinor() {
			ticks[i].Label = " "
		}
	}
	return ticks
}
