package report

import (
	"fmt"
	"slices"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// A Panel is one of several pictures side by side.
type Panel struct {
	Title  string
	Series []Series
	Points []Points
}

// Panels draws panels side by side with the same axes. Curves and points at the same
// index of the panels' lists belong to the same rule: they share a style and, to
// the right of the last panel, a label. It is an error if there is no panel, if
// the panels' lists differ in their names, or if Curves would return one. Horizon, LogX and Points of o are
// ignored; the points come from the panels.
func Panels(title string, panels []Panel, o CurveOptions) (*Plot, error) {
	var (
		all    [][]Series
		series []Series
		points []Points
	)
	panels = slices.Clone(panels)
	for i := range panels {
		panels[i].Series = slices.Clone(panels[i].Series)
		all = append(all, panels[i].Series)
	}
	for _, panel := range panels {
		series, points = append(series, panel.Series...), append(points, panel.Points...)
		if !panel.sameNames(panels[0]) {
			return nil, fmt.Errorf("report: %q: the panels do not have the same curves and points", title)
		}
	}
	for i := range series {
		if err := series[i].check(); err != nil {
			return nil, err
		}
	}
	for _, m := range points {
		if err := m.check(); err != nil {
			return nil, err
		}
	}
	note := smooth(o.Smooth, all...)
	series = slices.Concat(all...)
	yLo, yHi, ok := o.yRange(series, points)
	if !ok {
		return nil, fmt.Errorf("report: %q: none of the %d panels has a value that can be drawn", title, len(panels))
	}
	if note != "" {
		title += "\n" + strings.TrimSpace(note)
	}
	picture := &Plot{title: title, width: orSize(o.Width, defaultWidth), height: orSize(o.Height, defaultHeight)}
	xLo, xHi := xRange(series, false)
	for i, panel := range panels {
		yLabel := ""
		if i == 0 {
			yLabel = or(o.YLabel, "loss f(θ_t)")
		}
		p := newPlot(panel.Title, or(o.XLabel, "inner step"), yLabel)
		p.Title.TextStyle.Font = sans(10.5)
		p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = xLo, xHi, yLo, yHi
		labels := addCurves(p, panel.Series, o.LinearY, false)
		labels = append(labels, addPoints(p, panel.Points)...)
		if i < len(panels)-1 {
			picture.before = append(picture.before, p)
		} else {
			picture.plot, picture.labels = p, labels
		}
	}
	return picture, nil
}

func (p Panel) sameNames(q Panel) bool {
	if len(p.Series) != len(q.Series) || len(p.Points) != len(q.Points) {
		return false
	}
	for i := range p.Series {
		if p.Series[i].Name != q.Series[i].Name || p.Series[i].Learned != q.Series[i].Learned {
			return false
		}
	}
	for i := range p.Points {
		if p.Points[i].Name != q.Points[i].Name || p.Points[i].Learned != q.Points[i].Learned {
			return false
		}
	}
	return true
}

// gutter is the space between panels, in points.
const gutter = 14

// drawTitle draws the title of all panels and returns what is left below it.
func (p *Plot) drawTitle(c draw.Canvas) draw.Canvas {
	style := p.plot.Title.TextStyle
	style.Font = sans(12.5)
	style.XAlign, style.YAlign = draw.XCenter, draw.YTop
	c.FillText(style, vg.Point{X: c.Center().X, Y: c.Max.Y}, p.title)
	return draw.Crop(c, 0, 0, 0, -style.Height(p.title)-8)
}

// drawBefore draws all panels except the last one, with axes of equal width, and returns
// the canvas of the last one.
func (p *Plot) drawBefore(c draw.Canvas) draw.Canvas {
	n := vg.Length(len(p.before) + 1)
	if n == 1 {
		return c
	}
	// The width of an axis' label and numbers differs from panel to panel.
	all := append(p.before[:len(p.before):len(p.before)], p.plot)
	frame := make([]vg.Length, len(all))
	room := c.Max.X - c.Min.X - gutter*(n-1)
	for i, q := range all {
		data := q.DataCanvas(c)
		frame[i] = (c.Max.X - c.Min.X) - (data.Max.X - data.Min.X)
		room -= frame[i]
	}
	left := c.Min.X
	for i, q := range p.before {
		right := left + room/n + frame[i]
		q.Draw(draw.Crop(c, left-c.Min.X, right-c.Max.X, 0, 0))
		left = right + gutter
	}
	return draw.Crop(c, left-c.Min.X, 0, 0, 0)
}
