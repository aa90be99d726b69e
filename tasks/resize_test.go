package tasks

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
	"testing"

	"learnedopt/internal/stream"
)

// colours returns a data set of random images with several channels.
func colours(t testing.TB, channels, rows, cols, n int) *Dataset {
	t.Helper()
	part := func(s Split) Part {
		rng := stream.New(2, "colours", uint64(s))
		p := Part{Pixels: make([]byte, n*channels*rows*cols), Labels: make([]byte, n)}
		for i := range p.Pixels {
			p.Pixels[i] = byte(rng.IntN(256))
		}
		for i := range p.Labels {
			p.Labels[i] = byte(rng.IntN(10))
		}
		return p
	}
	d, err := NewChannels("colours", channels, rows, cols, 10, part(Train), part(Valid), part(Test))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The mean over an area, by repeating every pixel until both grids fit: each pixel of the original
// becomes side×side, and each of the smaller image is the mean of rows×cols of those.
func repeated(plane []byte, rows, cols, side int) (means []float64) {
	for r := range side {
		for c := range side {
			sum := 0
			for y := r * rows; y < (r+1)*rows; y++ {
				for x := c * cols; x < (c+1)*cols; x++ {
					sum += int(plane[y/side*cols+x/side])
				}
			}
			means = append(means, float64(sum)/float64(rows*cols))
		}
	}
	return means
}

func TestResizedIsTheMeanOverAnArea(t *testing.T) {
	for _, c := range []struct{ channels, rows, cols, side int }{
		{1, 28, 28, 14}, {1, 28, 28, 8}, {3, 32, 32, 14}, {3, 32, 32, 8}, {2, 5, 7, 3}, {1, 4, 4, 1}, {1, 9, 4, 4}, {3, 8, 8, 7},
	} {
		d := colours(t, c.channels, c.rows, c.cols, 3)
		small, err := d.Resized(c.side)
		if err != nil {
			t.Fatal(err)
		}
		if rows, cols := small.Shape(); rows != c.side || cols != c.side || small.Channels() != c.channels || small.Features() != c.channels*c.side*c.side ||
			small.Classes() != 10 || small.Name() != "colours" {
			t.Fatalf("%+v: %d channels of %d×%d", c, small.Channels(), rows, cols)
		}
		for s := range Split(splits) {
			if small.Len(s) != 3 || !slices.Equal(small.parts[s].Labels, d.parts[s].Labels) {
				t.Fatalf("%+v: the labels of the %v split are others", c, s)
			}
			x := make([]float32, small.Features())
			for i := range 3 {
				small.Image(x, s, i)
				for ch := range c.channels {
					at := (i*c.channels + ch) * c.rows * c.cols
					for j, mean := range repeated(d.parts[s].Pixels[at:at+c.rows*c.cols], c.rows, c.cols, c.side) {
						want := float32(math.Floor(mean+0.5)) / 255
						if got := x[ch*c.side*c.side+j]; got != want {
							t.Fatalf("%+v: pixel %d of channel %d is %v, want %v", c, j, ch, got, want)
						}
					}
				}
			}
		}
	}
}

// Two known images: means of 2×2, a half rounded up; and the weights of 3 pixels made 2.
func TestResizedByHand(t *testing.T) {
	four := Part{Pixels: []byte{0, 1, 255, 255, 0, 1, 255, 254, 8, 0, 0, 0, 0, 0, 0, 1}, Labels: []byte{0}}
	three := Part{Pixels: []byte{9, 0, 0, 0, 18, 0, 0, 0, 27}, Labels: []byte{0}}
	for _, c := range []struct {
		side int
		part Part
		want []byte
	}{
		{4, four, []byte{1, 255, 2, 0}}, // 2/4, 1019/4, 8/4, 1/4
		// The corner pixel counts whole, its neighbours half, the middle a quarter, of 9/4: (9 + 18/4)·4/9 = 6.
		{3, three, []byte{6, 2, 2, 14}},
	} {
		d, err := NewDataset("x", c.side, c.side, 2, c.part, Part{}, Part{})
		if err != nil {
			t.Fatal(err)
		}
		small, err := d.Resized(2)
		if err != nil {
			t.Fatal(err)
		}
		if got := small.parts[Train].Pixels; !slices.Equal(got, c.want) {
			t.Errorf("%v becomes %v, want %v", c.part.Pixels, got, c.want)
		}
	}
}

func TestResizedIsShared(t *testing.T) {
	d := colours(t, 1, 8, 8, 2)
	must := func(d *Dataset, err error) *Dataset {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	six, four := must(d.Resized(6)), must(d.Resized(4))
	if must(d.Resized(8)) != d || must(d.Resized(4)) != four || must(six.Resized(4)) != four || must(six.Resized(8)) != d || six == four {
		t.Error("a size is not made once, from the original")
	}
	for _, side := range []int{0, -1, 9} {
		if small, err := six.Resized(side); small != nil || err == nil || !strings.Contains(err.Error(), "whose images have 8×8 pixels; take 1 to 8") {
			t.Errorf("side %d: error %v", side, err)
		}
	}
}

// A minibatch of smaller images is the same examples, and nothing more than for a data set of that size.
func TestClassifierOfSmallerImages(t *testing.T) {
	data := colours(t, 3, 8, 8, 40)
	small, err := data.Resized(4)
	if err != nil {
		t.Fatal(err)
	}
	f, err := NewClassifier(data, ClassifierConfig{Units: 3, Batch: 5, ImageSize: 4})
	if err != nil {
		t.Fatal(err)
	}
	alone, err := NewDataset("colours", 6, 8, 10, small.parts[Train], small.parts[Valid], small.parts[Test])
	if err != nil {
		t.Fatal(err)
	}
	g, err := NewClassifier(alone, ClassifierConfig{Units: 3, Batch: 5})
	if err != nil {
		t.Fatal(err)
	}
	if f.Dataset() != small || f.Name() != "colours units=3 layers=1 activation=sigmoid batch=5 image-size=4" {
		t.Errorf("the family %q is on %v", f.Name(), f.Dataset())
	}
	p, q := sample(t, f, 3), sample(t, g, 3)
	if want := 48*3 + 3 + 30 + 10; p.Dim() != want {
		t.Errorf("%d coordinates, want %d", p.Dim(), want)
	}
	equalBits(t, trace(t, p, 4), trace(t, q, 4))
	again, err := NewClassifier(small, ClassifierConfig{Units: 3, Batch: 5})
	if err != nil || again.Name() != f.Name() {
		t.Errorf("the smaller data set gives the family %q", again.Name())
	}
	whole, err := NewClassifier(small, ClassifierConfig{ImageSize: 8})
	if err != nil || whole.Dataset() != data || strings.Contains(whole.Name(), "image-size") {
		t.Errorf("the original's size gives the family %q", whole.Name())
	}
	for size, want := range map[int]string{9: "take 1 to 8", -1: "want 1 to 4096", 5000: "want 1 to 4096"} {
		if _, err := NewClassifier(data, ClassifierConfig{ImageSize: size}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("size %d: error %v", size, err)
		}
	}
	theta, grad := make([]float32, p.Dim()), make([]float32, p.Dim())
	p.Init(theta)
	q.Init(theta)
	step := func(f func([]float32, []float32) (float64, error)) func() {
		return func() {
			if _, err := f(theta, grad); err != nil {
				t.Fatal(err)
			}
		}
	}
	if a, b := testing.AllocsPerRun(5, step(p.LossGrad)), testing.AllocsPerRun(5, step(q.LossGrad)); a != b {
		t.Errorf("a step allocates %v times, without resizing %v times", a, b)
	}
}

// The option: names, JSON, bounds, and a list draws data sets of different sizes from one pool.
func TestImageSize(t *testing.T) {
	dir := t.TempDir()
	writeImages(t, dir+"/mnist", 28, false)
	for text, want := range map[string]string{
		"mnist image-size=28":                                  "mnist units=20 layers=1 activation=sigmoid batch=128",
		"mnist image-size=014":                                 "mnist units=20 layers=1 activation=sigmoid batch=128 image-size=14",
		"mnist image-size=8,14,28 units=4 weight-init=he":      "mnist units=4 layers=1 activation=sigmoid batch=128 weight-init=he image-size=8,14,28",
		"mnist image-size=14 gradient-noise=1 init-scale=0.05": "mnist units=20 layers=1 activation=sigmoid batch=128 init-scale=0.05 image-size=14 gradient-noise=1",
	} {
		s := MustParse(text)
		if s.String() != want {
			t.Errorf("%s is named %q, want %q", text, s, want)
		}
		if got := mixture(t, text, dir).Name(); !strings.HasPrefix(got, want) {
			t.Errorf("%s makes the family %q, want %q", text, got, want)
		}
	}
	data, err := json.Marshal(MustParse("mnist image-size=14,28"))
	if want := `{"name":"mnist","image-size":[14,28]}`; err != nil || string(data) != want {
		t.Errorf("JSON %s, %v, want %s", data, err, want)
	}
	for text, want := range map[string]string{
		"mnist image-size=8,29":   "image-size 29 with the task mnist, whose images have 28×28 pixels; take at most 28",
		"digits image-size=0":     `image-size "0": it must be a whole number of at least 1`,
		"quadratic image-size=14": "image-size does not apply to the task quadratic",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
	f := mixture(t, "mnist image-size=8,14,28 units=2 batch=3", dir)
	sizes := map[int]int{}
	for seed := range uint64(60) {
		p, err := f.Sample(newRand(seed))
		if err != nil {
			t.Fatal(err)
		}
		sizes[p.Dim()]++
		side, _ := p.(*classifier).family.data.Shape()
		alone := sample(t, mixture(t, fmt.Sprintf("mnist units=2 batch=3 image-size=%d", side), dir), seed)
		if alone.Dim() != p.Dim() {
			t.Fatalf("image-size %d has %d coordinates, alone %d", side, p.Dim(), alone.Dim())
		}
		if n := len(p.(*classifier).net.pixels); n != 3*side*side {
			t.Fatalf("image-size %d got the idle network of another, with minibatches of %d numbers", side, n)
		}
		if err := p.(*classifier).Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, side := range []int{8, 14, 28} {
		if n := sizes[side*side*2+2+20+10]; n < 8 {
			t.Errorf("of 60 problems %d have images of %d×%d", n, side, side)
		}
	}
}

// A name without a size means one family, whatever the files hold: the task's own size is no size.
func TestImageSizeOfOtherFiles(t *testing.T) {
	dir := t.TempDir()
	writeImages(t, dir+"/mnist", 30, false)
	f := mixture(t, "mnist image-size=28", dir).(*Classifier)
	if rows, cols := f.Dataset().Shape(); f.Name() != MustParse("mnist").String() || rows != 30 || cols != 30 {
		t.Errorf("%q has images of %d×%d", f.Name(), rows, cols)
	}
}

// MNIST at 14×14 has the mean of MNIST, and a network on it learns.
func TestSmallMNIST(t *testing.T) {
	dir, err := DataDir("")
	if err != nil {
		t.Skip(err)
	}
	d, err := LoadMNIST(dir)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	mean := func(d *Dataset) float64 {
		sum, x := 0.0, make([]float32, d.Features())
		for i := range 5000 {
			d.Image(x, Valid, i)
			for _, v := range x {
				sum += float64(v)
			}
		}
		return sum / 5000 / float64(len(x))
	}
	for _, side := range []int{8, 14} {
		small, err := d.Resized(side)
		if err != nil {
			t.Fatal(err)
		}
		// Rounding moves a mean by well under 1/510: it goes both ways, but up for halves.
		if got, want := mean(small), mean(d); math.Abs(got-want) > 5e-4 {
			t.Errorf("mean pixel %v at %d×%d, %v of the originals", got, side, side, want)
		}
	}
	p := sample(t, mixture(t, "mnist image-size=14 activation=relu weight-init=he", ""), 1).(*classifier)
	theta, grad := make([]float32, p.Dim()), make([]float32, p.Dim())
	p.Init(theta)
	for range 200 {
		if _, err := p.LossGrad(theta, grad); err != nil {
			t.Fatal(err)
		}
		for i, g := range grad {
			theta[i] -= 0.5 * g
		}
	}
	if _, accuracy, err := p.EvaluateSplit(theta, Test); err != nil || accuracy < 0.85 {
		t.Errorf("after 200 steps on 14×14 images %v are right, %v", accuracy, err)
	}
}
