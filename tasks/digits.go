package tasks

import (
	"fmt"
	"image"
	"image/draw"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"

	"golang.org/x/image/vector"

	"learnedopt/internal/stream"
)

const digitSide = 28

// Digits returns the data set "digits": 20,000 training, 2,000 validation and
// 2,000 test images from NewDigits with seed 0. They are made once in a process. The data set needs
// no files and no network, and has MNIST's shape.
func Digits() (*Dataset, error) { return digitsOnce() }

var digitsOnce = sync.OnceValues(func() (*Dataset, error) { return NewDigits(0, 20000, 2000, 2000) })

// NewDigits draws a data set of 28×28 images of the digits 0 to 9. An image is an outline from one of
// ten Go fonts with a random size, aspect ratio, rotation, shear, wobble and
// shift, with thickened or blurred strokes and with noise on every pixel. Image i of
// a split depends on the seed, the split and i alone, so a larger set begins
// with the images of a smaller one. On one architecture the same seed gives the same bytes.
func NewDigits(seed uint64, train, valid, test int) (*Dataset, error) {
	counts := [splits]int{train, valid, test}
	for s, n := range counts {
		if n < 0 || n > 1<<20 {
			return nil, fmt.Errorf("tasks: digits: %d images in the %v split, want 0 to %d", n, Split(s), 1<<20)
		}
	}
	outlines, err := loadOutlines()
	if err != nil {
		return nil, err
	}
	var parts [splits]Part
	for s, n := range counts {
		parts[s] = drawDigits(outlines, seed, Split(s), n)
	}
	return NewDataset("digits", digitSide, digitSide, 10, parts[Train], parts[Valid], parts[Test])
}

// drawDigits draws one split, spread over all processors.
func drawDigits(outlines []digitFont, seed uint64, split Split, n int) Part {
	const f = digitSide * digitSide
	part := Part{Pixels: make([]byte, n*f), Labels: make([]byte, n)}
	workers := min(runtime.GOMAXPROCS(0), n)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			pen := newDigitPen(outlines)
			for i := w; i < n; i += workers {
				stream.Reseed(pen.pcg, seed, "digits "+split.String(), uint64(i))
				part.Labels[i] = pen.draw(part.Pixels[i*f : (i+1)*f])
			}
		})
	}
	wg.Wait()
	return part
}

// digitPen draws images of digits. It belongs to one goroutine.
type digitPen struct {
	outlines []digitFont
	pcg      *rand.PCG
	rng      *rand.Rand
	raster   vector.Rasterizer
	mask     *image.Alpha
	blurred  [digitSide * digitSide]float32
}

func newDigitPen(outlines []digitFont) *digitPen {
	pcg := &rand.PCG{}
	return &digitPen{
		outlines: outlines, pcg: pcg, rng: rand.New(pcg),
		mask: image.NewAlpha(image.Rect(0, 0, digitSide, digitSide)),
	}
}

// draw writes one image and returns its label.
func (p *digitPen) draw(dst []byte) (label byte) {
	label = byte(p.rng.IntN(10))
	outline := p.outlines[p.rng.IntN(len(p.outlines))][label]
	warp := p.newWarp()
	p.raster.Reset(digitSide, digitSide)
	p.raster.DrawOp = draw.Src
	for _, s := range outline {
		a, b, c := warp.apply(s.to[0]), warp.apply(s.to[1]), warp.apply(s.to[2])
		switch s.op {
		case moveTo:
			p.raster.MoveTo(a.x, a.y)
		case lineTo:
			p.raster.LineTo(a.x, a.y)
		case quadTo:
			p.raster.QuadTo(a.x, a.y, b.x, b.y)
		case cubeTo:
			p.raster.CubeTo(a.x, a.y, b.x, b.y, c.x, c.y)
		}
	}
	p.raster.ClosePath()
	p.raster.Draw(p.mask, p.mask.Bounds(), image.Opaque, image.Point{})
	p.ink(dst)
	return label
}

// ink turns the mask's coverage into pixels: it blurs the mask by a random amount, makes the strokes
// thicker or thinner by a gain, dims them and adds noise.
func (p *digitPen) ink(dst []byte) {
	blur := float32(p.rng.Float64())
	gain := float32(p.between(0.9, 1.9))
	level := float32(p.between(0.65, 1))
	noise := p.between(0, 14)
	mask := p.mask.Pix
	for y := range digitSide {
		for x := range digitSide {
			sum, i := 0, y*digitSide+x
			if x > 0 && x < digitSide-1 && y > 0 && y < digitSide-1 {
				sum = 4*int(mask[i]) + 2*(int(mask[i-1])+int(mask[i+1])+int(mask[i-digitSide])+int(mask[i+digitSide])) +
					int(mask[i-digitSide-1]) + int(mask[i-digitSide+1]) + int(mask[i+digitSide-1]) + int(mask[i+digitSide+1])
			}
			p.blurred[i] = float32(sum) / 16
		}
	}
	for i, b := range p.blurred {
		v := min(255, gain*(float32(mask[i])+blur*(b-float32(mask[i])))) * level
		v += float32(noise * p.rng.NormFloat64())
		dst[i] = byte(min(255, max(0, v)))
	}
}

func (p *digitPen) between(low, high float64) float64 { return low + (high-low)*p.rng.Float64() }

// warp maps an outline of unit height around the origin into the image.
type warp struct {
	xx, xy, yx, yy, dx, dy    float64
	bend, bendPhase, bendRate float64
	sway, swayPhase, swayRate float64
}

func (p *digitPen) newWarp() warp {
	height := p.between(15, 21)
	width := height * p.between(0.8, 1.25)
	turn := p.between(-0.26, 0.26)
	shear := p.between(-0.35, 0.35)
	sin, cos := math.Sincos(turn)
	return warp{
		xx: width * cos, xy: height * (shear*cos - sin),
		yx: width * sin, yy: height * (shear*sin + cos),
		dx: digitSide/2 + p.between(-2.5, 2.5), dy: digitSide/2 + p.between(-2.5, 2.5),
		bend: p.between(0, 1.5), bendPhase: p.between(0, 2*math.Pi), bendRate: p.between(3, 7),
		sway: p.between(0, 1.5), swayPhase: p.between(0, 2*math.Pi), swayRate: p.between(3, 7),
	}
}

func (w warp) apply(q point) point {
	x, y := float64(q.x), float64(q.y)
	return point{
		x: float32(w.xx*x + w.xy*y + w.dx + w.bend*math.Sin(w.bendRate*y+w.bendPhase)),
		y: float32(w.yx*x + w.yy*y + w.dy + w.sway*math.Sin(w.swayRate*x+w.swayPhase)),
	}
}
