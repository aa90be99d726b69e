package report

import (
	"fmt"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// A Heat is one field of a heat map.
type Heat struct {
	// Ratio determines the field's colour on a logarithmic scale: dark blue below 1, grey at 1, bright yellow above
	// 1. +Inf has the colour of the scale's upper end. NaN and ratios that are not positive have no colour.
	Ratio float64
	// Text is printed in the field. Range and Note are printed below it in smaller letters.
	Text, Range, Note string
	// Decided prints Text in bold letters.
	Decided bool
}

// A HeatPanel is one of several heat maps with the same axes.
type HeatPanel struct {
	Title string
	// Fields holds the rows from top to bottom: a row for each element of HeatOptions.Y, with a field for each element of
	// HeatOptions.X.
	Fields [][]Heat
}

// HeatOptions are the options that the panels of a heat map share.
type HeatOptions struct {
	// X and Y label the columns and rows. XLabel and YLabel label the two axes.
	X, Y           []string
	XLabel, YLabel string
	// Columns is the number of panels side by side; 0 means all.
	Columns int
	// ScaleLabel is printed along the colour scale, Caption below the whole picture.
	ScaleLabel, Caption string
}

// Sizes of a heat map, in points.
const (
	heatWidth     = 64  // width of a field
	heatHeight    = 46  // height of a field
	heatGap       = 18  // gap between panels
	heatTick      = 14  // height of a line of labels below a panel
	heatTitle     = 18  // height of a panel's title
	heatScale     = 14  // width of the colour scale
	heatScaleRoom = 80  // width of the colour scale with its numbers and label
	heatLeast     = 130 // least length of the colour scale
)

// darkest is the luminance of a field on which dark and white letters have the same contrast (WCAG 2.2).
const darkest = 0.22

// HeatMap draws ratios as colours and numbers. The colours go from dark blue over grey to bright yellow
// and can be told apart with any colour vision. Their lightness rises with the ratio, so that they can also be told apart in
// black and white. It is an error if there is no field, or if a panel has another number of rows or columns than the axes.
func HeatMap(title string, panels []HeatPanel, o HeatOptions) (*Plot, error) {
	if len(panels) == 0 || len(o.X) == 0 || len(o.Y) == 0 {
		return nil, fmt.Errorf("report: %q: a heat map of no fields", title)
	}
	for _, p := range panels {
		for _, row := range p.Fields {
			if len(row) != len(o.X) || len(p.Fields) != len(o.Y) {
				return nil, fmt.Errorf("report: %q: panel %q has %d rows, one of them with %d fields, under axes of %d and %d",
					title, p.Title, len(p.Fields), len(row), len(o.Y), len(o.X))
			}
		}
		if len(p.Fields) == 0 {
			return nil, fmt.Errorf("report: %q: panel %q has no rows", title, p.Title)
		}
	}
	if o.Columns <= 0 {
		o.Columns = len(panels)
	}
	h := &heatMap{title: title, panels: panels, HeatOptions: o, limit: heatLimit(panels)}
	h.measure()
	return &Plot{paint: h.draw, width: float64(h.width / pixel), height: float64(h.height / pixel)}, nil
}

type heatMap struct {
	HeatOptions
	title         string
	panels        []HeatPanel
	limit         float64   // the scale goes from 1/limit to limit
	left          vg.Length // width of the row labels
	field         vg.Length // a field's width
	width, height vg.Length
	rows          int // rows of panels
	captions      []string
}

// heatLimits are the possible upper ends of a scale.
var heatLimits = []float64{1.25, 1.5, 2, 4, 10}

// heatLimit returns the least of heatLimits whose scale holds all finite ratios, or the largest if none does.
func heatLimit(panels []HeatPanel) float64 {
	most := 1.0
	for _, p := range panels {
		for _, row := range p.Fields {
			for _, f := range row {
				if positive(f.Ratio) && finite(1/f.Ratio) { // otherwise it stands for an end of the scale
					most = max(most, f.Ratio, 1/f.Ratio)
				}
			}
		}
	}
	for _, l := range heatLimits {
		if most <= l {
			return l
		}
	}
	return heatLimits[len(heatLimits)-1]
}

func heatStyle(size vg.Length, bold bool) text.Style {
	s := text.Style{Font: sans(size), Color: ink, XAlign: draw.XCenter, YAlign: draw.YCenter, Handler: plot.DefaultTextHandler}
	if bold {
		s.Font.Weight = 3
	}
	return s
}

// measure lays out the picture.
func (h *heatMap) measure() {
	style := heatStyle(9.5, false)
	for _, l := range h.Y {
		h.left = max(h.left, style.Width(l))
	}
	h.left += 8
	h.field = heatWidth
	for _, p := range h.panels {
		for _, row := range p.Fields {
			for _, f := range row {
				h.field = max(h.field, heatStyle(11, true).Width(f.Text)+8, heatStyle(8, false).Width(f.Note)+6, heatStyle(8, false).Width(f.Range)+6)
			}
		}
	}
	for _, l := range h.X {
		h.field = max(h.field, style.Width(l)+6)
	}
	// If there are few columns under a long title, the fields become wider.
	wanted := heatStyle(10.5, false)
	for _, p := range h.panels {
		h.field = max(h.field, (wanted.Width(p.Title)-heatGap+12)/vg.Length(len(h.X)))
	}
	h.rows = (len(h.panels) + h.Columns - 1) / h.Columns
	outer := 2 * vg.Length(12)
	h.width = outer + h.yLabelRoom() + vg.Length(h.Columns)*(h.left+h.panelWidth()) + vg.Length(h.Columns-1)*heatGap + heatScaleRoom
	h.width = max(h.width, outer+heatStyle(12.5, false).Width(h.title))
	h.captions = wrap(h.Caption, heatStyle(8.5, false), h.width-outer)
	h.height = outer + h.titleRoom() + max(vg.Length(h.rows)*h.panelHeight()+vg.Length(h.rows-1)*heatGap, heatLeast) + vg.Length(len(h.captions))*heatTick
	if len(h.captions) > 0 {
		h.height += 6
	}
}

func (h *heatMap) panelWidth() vg.Length { return vg.Length(len(h.X)) * h.field }

func (h *heatMap) panelHeight() vg.Length {
	height := vg.Length(len(h.Y))*heatHeight + heatTick
	if h.XLabel != "" {
		height += heatTick
	}
	if len(h.panels) > 1 || h.panels[0].Title != "" {
		height += heatTitle
	}
	return height
}

func (h *heatMap) titleRoom() vg.Length { return 24 }

func (h *heatMap) yLabelRoom() vg.Length {
	if h.YLabel == "" {
		return 0
	}
	return 16
}

func (h *heatMap) draw(c draw.Canvas) {
	c = sheet(c, h.title, h.captions)
	top := c.Max.Y - h.titleRoom()
	for i, p := range h.panels {
		row, column := i/h.Columns, i%h.Columns
		x := c.Min.X + h.yLabelRoom() + vg.Length(column)*(h.left+h.panelWidth()+heatGap) + h.left
		h.drawPanel(c, p, x, top-vg.Length(row)*(h.panelHeight()+heatGap), column == 0)
	}
	length := max(min(vg.Length(h.rows)*h.panelHeight(), 320)-3*heatTick, heatLeast-2*heatTick)
	x := c.Min.X + h.yLabelRoom() + vg.Length(h.Columns)*(h.left+h.panelWidth()+heatGap)
	begin := top
	if len(h.panels) > 1 || h.panels[0].Title != "" {
		begin -= heatTitle
	}
	h.drawScale(c, x, begin, length)
}

// drawPanel draws a panel. Its fields begin at x, and the top of its title is at y.
func (h *heatMap) drawPanel(c draw.Canvas, p HeatPanel, x, y vg.Length, first bool) {
	if len(h.panels) > 1 || p.Title != "" {
		style := heatStyle(10.5, false)
		style.YAlign = draw.YTop
		c.FillText(style, vg.Point{X: x + h.panelWidth()/2, Y: y}, p.Title)
		y -= heatTitle
	}
	label := heatStyle(9.5, false)
	for i, row := range p.Fields {
		top := y - vg.Length(i)*heatHeight
		right := label
		right.XAlign = draw.XRight
		c.FillText(right, vg.Point{X: x - 5, Y: top - heatHeight/2}, h.Y[i])
		for j, f := range row {
			h.drawField(c, f, vg.Rectangle{
				Min: vg.Point{X: x + vg.Length(j)*h.field, Y: top - heatHeight},
				Max: vg.Point{X: x + vg.Length(j+1)*h.field, Y: top},
			})
		}
	}
	bottom := y - vg.Length(len(h.Y))*heatHeight
	for j, l := range h.X {
		c.FillText(label, vg.Point{X: x + (vg.Length(j)+0.5)*h.field, Y: bottom - heatTick/2 - 1}, l)
	}
	name := heatStyle(10.5, false)
	if h.XLabel != "" {
		c.FillText(name, vg.Point{X: x + h.panelWidth()/2, Y: bottom - 1.5*heatTick - 1}, h.XLabel)
	}
	if h.YLabel != "" && first {
		name.Rotation = math.Pi / 2
		c.FillText(name, vg.Point{X: c.Min.X + 6, Y: (y + bottom) / 2}, h.YLabel)
	}
}

func (h *heatMap) drawField(c draw.Canvas, f Heat, r vg.Rectangle) {
	middle := vg.Point{X: (r.Min.X + r.Max.X) / 2, Y: (r.Min.Y + r.Max.Y) / 2}
	number, note := heatStyle(11, f.Decided), heatStyle(8, false)
	if position, ok := h.position(f.Ratio); ok {
		colour := heatColour(position)
		c.SetColor(colour)
		c.Fill(r.Path())
		if luminance(colour) < darkest { // white letters have more contrast here than dark ones
			number.Color, note.Color = white, white
		}
	}
	c.SetColor(white)
	c.SetLineWidth(1)
	c.Stroke(r.Path())
	lines := []struct {
		text   string
		style  text.Style
		height vg.Length
	}{{f.Text, number, 14}, {f.Range, note, 11}, {f.Note, note, 11}}
	y := middle.Y
	for _, l := range lines {
		if l.text != "" {
			y += l.height / 2
		}
	}
	for _, l := range lines {
		if l.text != "" {
			c.FillText(l.style, vg.Point{X: middle.X, Y: y - l.height/2}, l.text)
			y -= l.height
		}
	}
}

// position returns the place of a ratio on the scale, 0 to 1; ok is false if it has none.
func (h *heatMap) position(ratio float64) (p float64, ok bool) {
	if math.IsNaN(ratio) || ratio <= 0 {
		return 0, false
	}
	p = 0.5 + 0.5*math.Log(ratio)/math.Log(h.limit)
	return min(max(p, 0), 1), true
}

// drawScale draws the colour scale downwards from its top left corner.
func (h *heatMap) drawScale(c draw.Canvas, x, top, length vg.Length) {
	const strips = 128
	for i := range strips {
		c.SetColor(heatColour((float64(i) + 0.5) / strips))
		y := top - length + length*vg.Length(i)/strips
		// Fill up to the top: the next strip covers its part of the area, and no seam shows between two strips.
		c.Fill(vg.Rectangle{Min: vg.Point{X: x, Y: y}, Max: vg.Point{X: x + heatScale, Y: top}}.Path())
	}
	tick := heatStyle(9.5, false)
	tick.XAlign = draw.XLeft
	for _, t := range scaleTicks(h.limit) {
		p, _ := h.position(t.value)
		y := top - length + length*vg.Length(p)
		c.StrokeLine2(draw.LineStyle{Color: grey, Width: 0.6}, x+heatScale, y, x+heatScale+3, y)
		c.FillText(tick, vg.Point{X: x + heatScale + 5, Y: y}, t.text)
	}
	if h.ScaleLabel != "" {
		style := heatStyle(9.5, false)
		style.Rotation = math.Pi / 2
		c.FillText(style, vg.Point{X: x + heatScale + 44, Y: top - length/2}, h.ScaleLabel)
	}
}

type scaleTick struct {
	value float64
	text  string
}

// scaleTicks returns the labels of the scale: at its ends, at 1, and at evenly spaced places between.
func scaleTicks(limit float64) []scaleTick {
	ticks := []scaleTick{{1, "1"}}
	middles := map[float64]float64{4: 2, 10: 3}
	for _, v := range []float64{limit, middles[limit]} {
		if v > 0 {
			ticks = append(ticks, scaleTick{v, number(v)}, scaleTick{1 / v, fmt.Sprintf("1/%s", number(v))})
		}
	}
	return ticks
}

// sheet draws the title above the panels and the captions below them, and returns the canvas
// that is left for the panels.
func sheet(c draw.Canvas, title string, captions []string) draw.Canvas {
	c = draw.Crop(c, 12, -12, 12, -12)
	heading := heatStyle(12.5, false)
	heading.YAlign = draw.YTop
	c.FillText(heading, vg.Point{X: c.Center().X, Y: c.Max.Y}, title)
	small := heatStyle(8.5, false)
	small.XAlign, small.Color = draw.XLeft, grey
	for i, line := range captions {
		c.FillText(small, vg.Point{X: c.Min.X, Y: c.Min.Y + vg.Length(len(captions)-i)*heatTick - heatTick/2}, line)
	}
	return c
}
