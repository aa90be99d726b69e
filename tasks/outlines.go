package tasks

import (
	"fmt"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/gobolditalic"
	"golang.org/x/image/font/gofont/goitalic"
	"golang.org/x/image/font/gofont/gomedium"
	"golang.org/x/image/font/gofont/gomediumitalic"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/gomonobold"
	"golang.org/x/image/font/gofont/gomonobolditalic"
	"golang.org/x/image/font/gofont/gomonoitalic"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

type point struct{ x, y float32 }

type pathOp int

const (
	moveTo pathOp = iota
	lineTo
	quadTo
	cubeTo
)

type segment struct {
	op pathOp
	to [3]point
}

// A digitFont holds the outlines of the digits 0 to 9, each centred and of height 1.
type digitFont [10][]segment

// loadOutlines reads the digits of ten of the Go fonts (Bigelow & Holmes 2016).
func loadOutlines() ([]digitFont, error) {
	files := [][]byte{
		goregular.TTF, goitalic.TTF, gomedium.TTF, gomediumitalic.TTF, gobold.TTF, gobolditalic.TTF,
		gomono.TTF, gomonoitalic.TTF, gomonobold.TTF, gomonobolditalic.TTF,
	}
	fonts := make([]digitFont, len(files))
	for i, file := range files {
		f, err := sfnt.Parse(file)
		if err != nil {
			return nil, fmt.Errorf("tasks: digits: font %d: %w", i, err)
		}
		for d := range fonts[i] {
			if fonts[i][d], err = loadOutline(f, rune('0'+d)); err != nil {
				return nil, fmt.Errorf("tasks: digits: font %d, digit %d: %w", i, d, err)
			}
		}
	}
	return fonts, nil
}

// loadOutline reads one glyph, centres it and gives it height 1.
func loadOutline(f *sfnt.Font, r rune) ([]segment, error) {
	const size = 1024 // pixels per em, in 26.6 fixed point
	var buf sfnt.Buffer
	glyph, err := f.GlyphIndex(&buf, r)
	if err != nil {
		return nil, err
	}
	bounds, _, err := f.GlyphBounds(&buf, glyph, fixed.I(size), font.HintingNone)
	if err != nil {
		return nil, err
	}
	segments, err := f.LoadGlyph(&buf, glyph, fixed.I(size), nil)
	if err != nil {
		return nil, err
	}
	height := float32(bounds.Max.Y - bounds.Min.Y)
	midX, midY := float32(bounds.Max.X+bounds.Min.X)/2, float32(bounds.Max.Y+bounds.Min.Y)/2
	out := make([]segment, len(segments))
	for i, s := range segments {
		switch s.Op {
		case sfnt.SegmentOpMoveTo:
			out[i].op = moveTo
		case sfnt.SegmentOpLineTo:
			out[i].op = lineTo
		case sfnt.SegmentOpQuadTo:
			out[i].op = quadTo
		case sfnt.SegmentOpCubeTo:
			out[i].op = cubeTo
		}
		for k, arg := range s.Args {
			out[i].to[k] = point{(float32(arg.X) - midX) / height, (float32(arg.Y) - midY) / height}
		}
	}
	return out, nil
}
