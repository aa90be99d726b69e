package report

import (
	"image/color"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

var (
	white = color.Gray{255}
	ink   = color.Gray{40}
	faint = color.Gray{225}
	grey  = color.Gray{120}
)

// The colours of Okabe and Ito (2008), which can be told apart with any colour vision. Sky blue, purple and orange are darker here, so
// that each thin line has a contrast of 3:1 to white paper. Grey and brown replace the yellow, and dark purple and dark green follow for a fourth and
// fifth learned rule. Learned rules and other rules have disjoint lists. Package htmlreport's pages have the same (assets/theme.js).
var (
	learnedColours = []color.NRGBA{{213, 94, 0, 255}, {0, 114, 178, 255}, {0, 0, 0, 255}, {120, 28, 129, 255}, {0, 92, 62, 255}}
	otherColours   = []color.NRGBA{{0, 158, 115, 255}, {58, 155, 209, 255}, {181, 85, 139, 255}, {184, 121, 0, 255}, {110, 110, 110, 255}, {110, 60, 15, 255}}
)

// Dash patterns in points, so that curves differ in black and white too. The
// lengths of these lists differ from the lengths of the lists of colours, so that a pair of colour and pattern repeats late.
var (
	learnedDashes = [][]vg.Length{nil, {14, 3}, {14, 3, 3, 3}, {5, 2}}
	otherDashes   = [][]vg.Length{{7, 3}, {2, 2}, {9, 2, 2, 2}, {4, 2}, {9, 2, 2, 2, 2, 2}, {14, 4}, {1, 3}}
)

// handDesigned are the rules that have a fixed style in every picture and on the pages of package htmlreport. Two places are
// free, so that the rules of today have other colours than nesterov and adam, with which they are compared.
var handDesigned = []string{"nesterov", "adam", "sgd", "rmsprop", "momentum", "adagrad", "", "", "schedule-free", "nadamw", "prodigy", "muon", "natural-gradient", "kfac", "trust-region", "soap"}

// Places returns the place of each curve's style in its list: one list for learned rules, another for the others. The place of a learned
// rule is its place among the learned rules, and the place of a hand-designed rule follows from its name. Other rules, and further
// rules of the same name, get places that are still free. Pictures and pages with the same rules in the same order so give them the
// same colours.
func Places(names []string, learned []bool) []int {
	places := make([]int, len(learned))
	taken := map[int]bool{}
	other := func(i, o int) {
		taken[o] = true
		places[i] = o
	}
	var rest []int
	l := 0
	for i, isLearned := range learned {
		plain, _, _ := strings.Cut(names[i], " (") // "adam (tuned here)" has the style of adam
		o := slices.Index(handDesigned, plain)
		switch {
		case isLearned:
			places[i] = l
			l++
		case o >= 0 && !taken[o]:
			other(i, o)
		default:
			rest = append(rest, i)
		}
	}
	o := 0
	for _, i := range rest {
		for taken[o] {
			o++
		}
		other(i, o)
	}
	return places
}

// lineStyles returns the style of every curve.
func lineStyles(names []string, learned []bool) []draw.LineStyle {
	styles := make([]draw.LineStyle, len(learned))
	for i, k := range Places(names, learned) {
		if learned[i] {
			styles[i] = draw.LineStyle{Width: 2.4, Color: learnedColours[k%len(learnedColours)], Dashes: learnedDashes[k%len(learnedDashes)]}
		} else {
			styles[i] = draw.LineStyle{Width: 1.3, Color: otherColours[k%len(otherColours)], Dashes: otherDashes[k%len(otherDashes)]}
		}
	}
	return styles
}

// stylesOf returns the styles of the series' curves.
func stylesOf(series []Series) []draw.LineStyle {
	names, learned := make([]string, len(series)), make([]bool, len(series))
	for i, s := range series {
		names[i], learned[i] = s.Name, s.Learned
	}
	return lineStyles(names, learned)
}

// shade returns the colour of the band around a curve.
func shade(c color.Color, alpha uint8) color.NRGBA {
	n := color.NRGBAModel.Convert(c).(color.NRGBA)
	n.A = alpha
	return n
}

func sans(size vg.Length) font.Font {
	return font.From(font.Font{Typeface: "Liberation", Variant: "Sans"}, size)
}

// newPlot returns empty axes in this package's style.
func newPlot(title, xLabel, yLabel string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil
	p.Title.Text = title
	p.Title.TextStyle.Font = sans(12.5)
	p.Title.TextStyle.Color = ink
	p.Title.Padding = 7
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.LineStyle = draw.LineStyle{Color: grey, Width: 0.6}
		axis.Padding = 0
		axis.Label.TextStyle.Font = sans(10.5)
		axis.Label.TextStyle.Color = ink
		axis.Label.Padding = 5
		axis.Tick.Label.Font = sans(9.5)
		axis.Tick.Label.Color = ink
		axis.Tick.LineStyle = axis.LineStyle
		axis.Tick.Length = 4
	}
	p.X.Label.Text, p.Y.Label.Text = xLabel, yLabel
	return p
}
