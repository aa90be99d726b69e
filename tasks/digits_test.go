package tasks

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"runtime"
	"testing"
)

func TestDigits(t *testing.T) {
	d, err := Digits()
	if err != nil {
		t.Fatal(err)
	}
	if d.Len(Train) != 20000 || d.Len(Valid) != 2000 || d.Len(Test) != 2000 {
		t.Fatalf("splits of %d, %d, %d", d.Len(Train), d.Len(Valid), d.Len(Test))
	}
	var count [10]int
	for i := range d.Len(Train) {
		count[d.Label(Train, i)]++
	}
	for label, n := range count {
		if n < 1800 || n > 2200 { // 2000 ± 5 standard deviations
			t.Errorf("%d images of %d", n, label)
		}
	}
	again, _ := Digits()
	if again != d {
		t.Error("drawn twice")
	}
}

// An image depends on its seed, split and index, but not on the number of images or
// of goroutines.
func TestDigitsAreDeterministic(t *testing.T) {
	draw := func(seed uint64, n int) *Dataset {
		d, err := NewDigits(seed, n, 10, 10)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	a := draw(3, 50)
	old := runtime.GOMAXPROCS(7)
	b := draw(3, 80)
	runtime.GOMAXPROCS(old)
	if !bytes.Equal(a.parts[Train].Pixels, b.parts[Train].Pixels[:50*784]) || !bytes.Equal(a.parts[Train].Labels, b.parts[Train].Labels[:50]) {
		t.Error("the first 50 of 80 images are other than 50 images")
	}
	if bytes.Equal(a.parts[Train].Pixels, draw(4, 50).parts[Train].Pixels) {
		t.Error("two seeds draw the same")
	}
	if bytes.Equal(a.parts[Train].Pixels[:7840], a.parts[Valid].Pixels) || bytes.Equal(a.parts[Test].Pixels, a.parts[Valid].Pixels) {
		t.Error("two splits are the same")
	}
	if runtime.GOARCH == "amd64" { // on other architectures multiplications and additions may be fused
		sum := sha256.Sum256(append(a.parts[Train].Pixels, a.parts[Train].Labels...))
		if got := hex.EncodeToString(sum[:8]); got != "31d0503915ae7c19" {
			t.Errorf("the images of seed 3 have changed (%s): so do all figures on digits", got)
		}
	}
}

// Every image has ink in its middle and a dark border.
func TestDigitsAreVisible(t *testing.T) {
	d, err := NewDigits(1, 500, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float32, 784)
	for i := range d.Len(Train) {
		d.Image(x, Train, i)
		ink, border := 0, float32(0)
		for j, v := range x {
			if v > 0.5 {
				ink++
			}
			if row, col := j/28, j%28; row == 0 || row == 27 || col == 0 || col == 27 {
				border += v / 108
			}
		}
		if ink < 15 || ink > 350 || border > 0.2 {
			t.Errorf("image %d, a %d: %d bright pixels, border %v", i, d.Label(Train, i), ink, border)
		}
	}
	if _, err := NewDigits(1, -1, 0, 0); err == nil {
		t.Error("-1 images are accepted")
	}
}

func BenchmarkDigits(b *testing.B) {
	for b.Loop() {
		if _, err := NewDigits(0, 2000, 0, 0); err != nil {
			b.Fatal(err)
		}
	}
}
