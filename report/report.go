// Package report turns plain numbers into what a person reads: learning
// curves, the update that a rule answers to a gradient, and aligned tables.
// It does not know how the numbers were made.
//
//	plot, err := report.Curves("loss", []report.Series{{Name: "adam", Mean: losses}}, report.CurveOptions{})
//	err = plot.Save("curves.svg") // or .png
//	err = report.Table(os.Stdout, header, rows)
//
// Pictures are deterministic: the same input gives the same bytes.
package report

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"learnedopt/internal/durable"
)

// Picture formats.
const (
	SVG = "svg"
	PNG = "png"
)

// A Plot is a finished picture, ready to be written in any format.
// It belongs to one goroutine.
type Plot struct {
	plot          *plot.Plot
	width, height float64 // in CSS pixels, 96 an inch
	labels        []label
	mark          *mark
	// Of small multiples: the axes left of plot, and the title of all.
	before []*plot.Plot
	title  string
	// paint, if set, draws all of the picture by itself.
	paint func(c draw.Canvas)
}

// Width and height of a picture where none are asked for, in CSS pixels.
const (
	defaultWidth  = 900
	defaultHeight = 560
)

// pixel is a CSS pixel.
const pixel = vg.Inch / 96

// Encode writes the picture in a format, SVG or PNG. A PNG has two pixels for
// each pixel of the picture's size, for dense screens and print.
func (p *Plot) Encode(w io.Writer, format string) error {
	width, height := vg.Length(p.width)*pixel, vg.Length(p.height)*pixel
	switch format {
	case SVG:
		c := vgsvg.NewWith(vgsvg.UseWH(width, height))
		p.draw(draw.New(c))
		var b bytes.Buffer
		if _, err := c.WriteTo(&b); err != nil {
			return fmt.Errorf("report: %w", err)
		}
		// Text is laid out by Liberation's metrics, which Arial and Helvetica share.
		text := bytes.ReplaceAll(b.Bytes(), []byte("font-family:Liberation Sans;"),
			[]byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif;"))
		if _, err := w.Write(text); err != nil {
			return fmt.Errorf("report: %w", err)
		}
	case PNG:
		c := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(2*96))
		p.draw(draw.New(c))
		if _, err := (vgimg.PngCanvas{Canvas: c}).WriteTo(w); err != nil {
			return fmt.Errorf("report: %w", err)
		}
	default:
		return fmt.Errorf("report: unknown picture format %q: use svg or png", format)
	}
	return nil
}

// FormatOf returns the format that a file's name asks for by its extension,
// or an error where the extension is neither .svg nor .png.
func FormatOf(path string) (string, error) {
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".svg", ".png":
		return ext[1:], nil
	default:
		return "", fmt.Errorf("report: cannot tell the picture's format from %q: end the name in .svg or .png", path)
	}
}

// Save writes the picture to a file, in the format of its extension. The file
// is replaced as a whole or not at all.
func (p *Plot) Save(path string) error {
	format, err := FormatOf(path)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := p.Encode(&b, format); err != nil {
		return err
	}
	if err := durable.Replace(path, b.Bytes()); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// draw lays the picture out: the axes and curves to the left, the labels of
// the curves in a column of their own to the right, so that they cover nothing.
func (p *Plot) draw(c draw.Canvas) {
	c.SetColor(white)
	c.Fill(c.Rectangle.Path())
	if p.paint != nil {
		p.paint(c)
		return
	}
	c = draw.Crop(c, 10*pixel, -14*pixel, 8*pixel, -12*pixel)
	left := draw.Crop(c, 0, -labelColumn(p.labels), 0, 0)
	if p.title != "" {
		left = p.drawTitle(left)
	}
	left = p.drawBefore(left)
	p.plot.Draw(left)
	data := p.plot.DataCanvas(left)
	if p.mark != nil {
		p.mark.draw(&c, &data, p.plot)
	}
	drawLabels(&c, &data, p.plot, p.labels)
}
