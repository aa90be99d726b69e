package report

import (
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Points are values from another source, such as a published paper. They are drawn as marks
// without a line, over the curves.
type Points struct {
	Name string
	// X is strictly increasing; Y has the same length.
	X, Y []float64
	// Learned draws discs instead of rings, squares and other marks.
	Learned bool
}

func (m Points) check() error {
	s := Series{Name: m.Name, Mean: m.Y, X: m.X}
	if s.X == nil {
		s.X = []float64{}
	}
	return s.check()
}

const pointSize = 4.2

// otherGlyphs are the marks of points that are not learned; if there are more lists of points, all further ones share the last mark.
var otherGlyphs = []draw.GlyphDrawer{draw.SquareGlyph{}, draw.RingGlyph{}, draw.TriangleGlyph{}, draw.PlusGlyph{}}

// addPoints draws points over everything that p already holds, and returns their labels.
func addPoints(p *plot.Plot, points []Points) (labels []label) {
	others := 0
	for _, m := range points {
		style := draw.GlyphStyle{Color: ink, Radius: pointSize, Shape: draw.CircleGlyph{}}
		if !m.Learned {
			style.Shape = otherGlyphs[min(others, len(otherGlyphs)-1)]
			others++
		}
		p.Add(marks{m, style})
		l := label{text: shorten(m.Name), style: draw.LineStyle{Color: grey}, bold: m.Learned, glyph: &style, alone: true}
		for i, y := range m.Y {
			if finite(y) {
				l.y, l.alone, l.lead = y, false, m.X[i] == p.X.Max
			}
		}
		labels = append(labels, l)
	}
	return labels
}

// marks draws points as glyphs. It leaves out points that are off the axes.
type marks struct {
	points Points
	style  draw.GlyphStyle
}

func (m marks) Plot(c draw.Canvas, p *plot.Plot) {
	trX, trY := p.Transforms(&c)
	for i, y := range m.points.Y {
		x := m.points.X[i]
		if !finite(y) || y < p.Y.Min || y > p.Y.Max || x < p.X.Min || x > p.X.Max {
			continue
		}
		at := vg.Point{X: trX(x), Y: trY(y)}
		halo := m.style
		halo.Color, halo.Radius = white, m.style.Radius+1.3
		if _, ring := halo.Shape.(draw.RingGlyph); !ring {
			halo.Shape = draw.CircleGlyph{}
			c.DrawGlyphNoClip(halo, at)
		}
		c.DrawGlyphNoClip(m.style, at)
	}
}
