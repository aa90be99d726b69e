package report

import (
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// A label names a curve to the right of the axes, as close to the height of the
// curve's end as the other labels allow.
type label struct {
	text  string
	style draw.LineStyle
	bold  bool
	y     float64          // height of the curve's end, in data coordinates
	lead  bool             // whether the curve ends at the axes' right border and gets a line to its label
	alone bool             // whether the curve has no point that can be drawn
	glyph *draw.GlyphStyle // glyph of points, drawn in place of a line
}

const (
	leaderWidth = 12 // points: from the axes' border to the sample of the line
	sampleWidth = 26
	labelGap    = 5
	labelSize   = 10
	labelHeight = 14
	labelLift   = 1  // centres small letters on their line
	longestName = 34 // runes
)

func labelText(l label) text.Style {
	s := text.Style{Font: sans(labelSize), Color: ink, XAlign: draw.XLeft, YAlign: draw.YCenter, Handler: plot.DefaultTextHandler}
	if l.bold {
		s.Font.Weight = 3 // font.WeightBold of golang.org/x/image
	}
	return s
}

// labelColumn returns the width that the labels need.
func labelColumn(labels []label) vg.Length {
	var widest vg.Length
	for _, l := range labels {
		widest = max(widest, labelText(l).Width(l.text))
	}
	return leaderWidth + sampleWidth + labelGap + widest
}

// shorten cuts a name that is too long for the picture. It cuts in the middle, because paths
// usually differ at their ends.
func shorten(name string) string {
	r := []rune(name)
	if len(r) <= longestName {
		return name
	}
	return string(r[:longestName/2-1]) + "…" + string(r[len(r)-longestName/2:])
}

func drawLabels(c, data *draw.Canvas, p *plot.Plot, labels []label) {
	_, trY := p.Transforms(data)
	ends, at := make([]vg.Length, len(labels)), make([]float64, len(labels))
	for i, l := range labels {
		ends[i] = data.Max.Y
		if !l.alone {
			ends[i] = min(max(trY(l.y), data.Min.Y), data.Max.Y)
		}
		at[i] = float64(ends[i])
	}
	at = spread(at, labelHeight, float64(data.Min.Y), float64(data.Max.Y))
	for i, l := range labels {
		y, x := vg.Length(at[i]), data.Max.X
		if l.lead && p.Y.Min <= l.y && l.y <= p.Y.Max {
			thin := draw.LineStyle{Color: l.style.Color, Width: 0.5}
			c.StrokeLines(thin, []vg.Point{{X: x + 1, Y: ends[i]}, {X: x + leaderWidth - 1, Y: y}})
		}
		x += leaderWidth
		if l.glyph != nil {
			c.DrawGlyph(*l.glyph, vg.Point{X: x + sampleWidth/2, Y: y})
		} else {
			c.StrokeLine2(l.style, x, y, x+sampleWidth, y)
		}
		c.FillText(labelText(l), vg.Point{X: x + sampleWidth + labelGap, Y: y + labelLift}, l.text)
	}
}

// spread returns the positions with the least sum of squared distances to the wanted ones that are
// at least gap apart, keep their order and lie in [lo, hi]. If there are too
// many for the interval, the gap shrinks.
func spread(want []float64, gap, lo, hi float64) []float64 {
	n := len(want)
	if n == 0 {
		return nil
	}
	if n > 1 {
		gap = min(gap, (hi-lo)/float64(n-1))
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	// Curves that end at the same height keep their order, the first one on top.
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case want[a] < want[b]:
			return -1
		case want[a] > want[b]:
			return 1
		}
		return b - a
	})
	// After index·gap is subtracted, the positions only have to be non-decreasing. This is
	// isotonic regression, solved by pooling adjacent violators.
	type block struct{ sum, count float64 }
	var blocks []block
	for k, i := range order {
		blocks = append(blocks, block{want[i] - float64(k)*gap, 1})
		for len(blocks) > 1 {
			a, b := blocks[len(blocks)-2], blocks[len(blocks)-1]
			if a.sum/a.count <= b.sum/b.count {
				break
			}
			blocks = append(blocks[:len(blocks)-2], block{a.sum + b.sum, a.count + b.count})
		}
	}
	at, k := make([]float64, n), 0
	top := hi - float64(n-1)*gap
	for _, b := range blocks {
		base := math.Min(math.Max(b.sum/b.count, lo), top)
		for range int(b.count) {
			at[order[k]] = base + float64(k)*gap
			k++
		}
	}
	return at
}

// markRoom is the height that the word of a mark takes above the axes, in points.
const markRoom = 8

// A mark is a vertical line through the axes with a word above it.
type mark struct {
	x    float64
	text string
}

func (m *mark) draw(c, data *draw.Canvas, p *plot.Plot) {
	trX, _ := p.Transforms(data)
	x := trX(m.x)
	c.StrokeLine2(draw.LineStyle{Color: grey, Width: 0.8, Dashes: []vg.Length{1, 2}}, x, data.Min.Y, x, data.Max.Y)
	style := text.Style{Font: sans(8.5), Color: grey, XAlign: draw.XCenter, YAlign: draw.YBottom, Handler: plot.DefaultTextHandler}
	half := style.Width(m.text) / 2
	c.FillText(style, vg.Point{X: min(max(x, data.Min.X+half), data.Max.X-half), Y: data.Max.Y + 2}, m.text)
}
