package report

import (
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// A xy is a point in data coordinates.
type xy struct{ x, y float64 }

// grid draws a faint line at every labelled tick of the vertical axis.
type grid struct{}

func (grid) Plot(c draw.Canvas, p *plot.Plot) {
	_, trY := p.Transforms(&c)
	for _, t := range p.Y.Tick.Marker.Ticks(p.Y.Min, p.Y.Max) {
		if t.IsMinor() || t.Value < p.Y.Min || t.Value > p.Y.Max {
			continue
		}
		y := trY(t.Value)
		c.StrokeLine2(draw.LineStyle{Color: faint, Width: 0.6}, c.Min.X, y, c.Max.X, y)
	}
}

// curve draws the pieces of a line, cut at the axes' border.
type curve struct {
	pieces [][]xy
	style  draw.LineStyle
	// cross marks the end of a curve that diverged, or the point where the curve
	// left the axes before it.
	cross bool
}

func (l curve) Plot(c draw.Canvas, p *plot.Plot) {
	var end *vg.Point
	for _, piece := range l.pieces {
		points := place(&c, p, piece)
		lines := c.ClipLinesXY(points)
		switch {
		case len(points) == 1 && c.Contains(points[0]):
			c.DrawGlyph(draw.GlyphStyle{Color: l.style.Color, Radius: l.style.Width, Shape: draw.CircleGlyph{}}, points[0])
			end = &points[0]
		case len(points) > 1 && len(lines) > 0:
			c.StrokeLines(l.style, lines...)
			last := lines[len(lines)-1]
			end = &last[len(last)-1]
		}
	}
	if l.cross && end != nil {
		const r = 3.5
		stroke := draw.LineStyle{Color: l.style.Color, Width: 1.8}
		c.StrokeLine2(stroke, end.X-r, end.Y-r, end.X+r, end.Y+r)
		c.StrokeLine2(stroke, end.X-r, end.Y+r, end.X+r, end.Y-r)
	}
}

// band fills the area between two lines with the same x coordinates.
type band struct {
	pieces []bandPiece
	colour color.Color
}

type bandPiece struct{ lo, hi []xy }

func (b band) Plot(c draw.Canvas, p *plot.Plot) {
	for _, piece := range b.pieces {
		points := place(&c, p, piece.hi)
		lo := place(&c, p, piece.lo)
		for i := len(lo) - 1; i >= 0; i-- {
			points = append(points, lo[i])
		}
		c.FillPolygon(b.colour, c.ClipPolygonXY(points))
	}
}

// axesLine is a line through zero, over the whole width or height of the axes.
type axesLine struct{ vertical bool }

func (a axesLine) Plot(c draw.Canvas, p *plot.Plot) {
	trX, trY := p.Transforms(&c)
	style := draw.LineStyle{Color: grey, Width: 0.5}
	if a.vertical {
		c.StrokeLine2(style, trX(0), c.Min.Y, trX(0), c.Max.Y)
	} else {
		c.StrokeLine2(style, c.Min.X, trY(0), c.Max.X, trY(0))
	}
}

func place(c *draw.Canvas, p *plot.Plot, points []xy) []vg.Point {
	trX, trY := p.Transforms(c)
	placed := make([]vg.Point, len(points))
	for i, q := range points {
		placed[i] = vg.Point{X: trX(q.x), Y: trY(q.y)}
	}
	return placed
}
