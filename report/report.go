// Package report draws plain numbers as pictures and tables: learning
// curves, the update of a rule as a function of the gradient, heat maps, and aligned tables.
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
	// before holds the axes to the left of plot, if there are several panels.
	before []*plot.Plot
	title  string
	// paint, if set, draws the whole picture.
	paint func(c draw.Canvas)
}

// The default width and height of a picture, in CSS pixels.
const (
	defaultWidth  = 900
	defaultHeight = 560
)

// pixel is the length of a CSS pixel.
const pixel = vg.Inch / 96

// Encode writes the picture in a format, SVG or PNG. A PNG has twice as many pixels in each
// direction as the picture's size says, for dense screens and print.
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
		// Text is laid out with the metrics of Liberation; Arial and Helvetica have the same metrics.
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

// FormatOf returns the format of a file by the extension of its name.
// An extension other than .svg and .png is an error.
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

// draw lays out the picture: the axes and curves are on the left, and the labels of
// the curves are in a separate column on the right, so that they cover nothing.
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
