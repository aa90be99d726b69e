package report

import (
	"image/color"
	"math"
	"strings"

	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
)

// heatStops are the colours of a heat map's scale, from its lower end to its upper end. Nearly everyone who confuses
// red and green can tell blue and yellow apart. The lightness rises along the scale, so that the order of the colours can
// still be seen in black and white.
var heatStops = []color.NRGBA{
	{10, 42, 96, 255}, {44, 92, 150, 255}, {112, 142, 178, 255}, {182, 182, 180, 255},
	{222, 203, 120, 255}, {246, 218, 74, 255}, {255, 236, 120, 255},
}

// heatColour interpolates between the stops; p is in [0, 1].
func heatColour(p float64) color.NRGBA {
	at := p * float64(len(heatStops)-1)
	i := min(int(at), len(heatStops)-2)
	a, b, w := heatStops[i], heatStops[i+1], at-float64(i)
	mix := func(x, y uint8) uint8 { return uint8(math.Round(float64(x)*(1-w) + float64(y)*w)) }
	return color.NRGBA{mix(a.R, b.R), mix(a.G, b.G), mix(a.B, b.B), 255}
}

// luminance returns the relative luminance of an sRGB colour (WCAG 2.2), 0 to 1.
func luminance(c color.NRGBA) float64 {
	linear := func(v uint8) float64 {
		x := float64(v) / 255
		if x <= 0.04045 {
			return x / 12.92
		}
		return math.Pow((x+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c.R) + 0.7152*linear(c.G) + 0.0722*linear(c.B)
}

// wrap breaks a text into lines of at most the given width.
func wrap(s string, style text.Style, width vg.Length) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(s) {
		if line != "" && style.Width(line+" "+word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
