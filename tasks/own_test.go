package tasks

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// letters returns the files of a folder of images of 4×6 pixels in 13 classes: 37 to train, 5 to test.
func letters(names ...string) map[string][]byte {
	files := map[string][]byte{}
	for i, n := range []int{37, 5} {
		pixels, labels := make([]byte, 24*n), make([]byte, n)
		for k := range labels {
			labels[k] = byte(k % 13)
			pixels[24*k], pixels[24*k+23] = byte(k), byte(100+i)
		}
		files[names[2*i]], files[names[2*i+1]] = idxBytes(pixels, n, 4, 6), idxBytes(labels, n)
	}
	return files
}

// Any folder of four IDX files is a data set, whatever they are called and compressed or not.
func TestLoadImages(t *testing.T) {
	var names []string
	for _, files := range []map[string][]byte{
		letters("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
		letters("emnist-letters-train-images-idx3-ubyte", "emnist-letters-train-labels-idx1-ubyte", "emnist-letters-test-images-idx3-ubyte", "emnist-letters-test-labels-idx1-ubyte"),
	} {
		for name, data := range files {
			if strings.Contains(name, "emnist") {
				delete(files, name)
				files[name+".gz"] = zipped(t, data)
			}
		}
		files["readme.txt"], files["train-images.png"] = []byte("x"), []byte("y")
		dir := filepath.Join(t.TempDir(), "letters")
		writeFiles(t, dir, files)
		d, err := LoadImages(dir)
		if err != nil {
			t.Fatal(err)
		}
		rows, cols := d.Shape()
		if d.Len(Train) != 34 || d.Len(Valid) != 3 || d.Len(Test) != 5 || rows != 4 || cols != 6 || d.Classes() != 13 {
			t.Fatalf("splits of %d, %d, %d, images of %d×%d, %d classes", d.Len(Train), d.Len(Valid), d.Len(Test), rows, cols, d.Classes())
		}
		x := make([]float32, 24)
		d.Image(x, Valid, 2)
		if d.Label(Valid, 2) != 36%13 || x[0] != 36./255 || d.Label(Test, 4) != 4 {
			t.Errorf("Valid[2] is %v, %d", x, d.Label(Valid, 2))
		}
		names = append(names, d.Name())
		s, folder, err := taskAlone(t, "images").WithData(dir)
		if err != nil || folder != filepath.Dir(dir) || s.Task() != d.Name() {
			t.Fatalf("%q in %s, %v", s, folder, err)
		}
		f, err := s.Family(folder)
		if err != nil || f.Name() != d.Name()+" units=20 layers=1 activation=sigmoid batch=128" {
			t.Fatalf("%v, %v", f, err)
		}
		if p := sample(t, f, 1); p.Dim() != 24*20+20+20*13+13 {
			t.Errorf("%d coordinates", p.Dim())
		}
		for size, want := range map[string]string{"2,3": "", "2,5": "image-size 5 of data set images:letters@", "6": "take 1 to 4"} {
			with, err := s.With("image-size", strings.Split(size, ",")...)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := with.Family(folder); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("image-size %s: error %v, want %q", size, err, want)
			}
		}
		mixed, _, err := taskAlone(t, "digits,images").WithData(dir)
		if err != nil || mixed.Task() != "digits,"+d.Name() {
			t.Errorf("%q, %v", mixed, err)
		}
	}
	if names[0] != names[1] || names[0] != "images:letters@8b96479e1524ff85" {
		t.Errorf("the same images are called %s and %s", names[0], names[1])
	}
}

func TestLoadImagesErrors(t *testing.T) {
	good := []string{"train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"}
	for name, c := range map[string]struct {
		spoil func(files map[string][]byte)
		want  string
	}{
		"no test labels": {func(f map[string][]byte) { delete(f, good[3]) }, "0 files for the labels to test (), want one whose name has labels, test or t10k and idx"},
		"two of one":     {func(f map[string][]byte) { f["my-"+good[0]] = f[good[0]] }, "2 files for the images to train (my-train-images-idx3-ubyte, train-images-idx3-ubyte), want one"},
		"damaged":        {func(f map[string][]byte) { f[good[0]] = f[good[0]][:50] }, good[0] + ": at byte 50: file ends in its"},
		"rank":           {func(f map[string][]byte) { f[good[1]] = f[good[0]] }, "rank 3, want 1"},
		"labels":         {func(f map[string][]byte) { f[good[3]] = idxBytes([]byte{1, 2}, 2) }, "2 labels for 5 images to test"},
		"sizes":          {func(f map[string][]byte) { f[good[2]] = idxBytes(make([]byte, 5*20), 5, 4, 5) }, "training images have 4×6 pixels, test images 4×5"},
		"few": {func(f map[string][]byte) {
			f[good[0]], f[good[1]] = idxBytes(make([]byte, 9*24), 9, 4, 6), idxBytes(make([]byte, 9), 9)
		}, "9 training images, want at least 10"},
		"one class": {func(f map[string][]byte) {
			f[good[1]], f[good[3]] = idxBytes(make([]byte, 37), 37), idxBytes(make([]byte, 5), 5)
		}, "in 1 classes: want"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, files := filepath.Join(t.TempDir(), "letters"), letters(good...)
			c.spoil(files)
			writeFiles(t, dir, files)
			if d, err := LoadImages(dir); d != nil || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	dir := t.TempDir()
	var missing *MissingDataError
	_, err := MustParse("images:letters@0123456789abcdef").Family(dir)
	if !errors.As(err, &missing) || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "data of the task images:letters@0123456789abcdef not found: no "+filepath.Join(dir, "letters")) {
		t.Errorf("error %v", err)
	}
	writeFiles(t, filepath.Join(dir, "letters"), letters(good...))
	var other *OtherDataError
	if _, err := MustParse("images:letters@0123456789abcdef").Family(dir); !errors.As(err, &other) || other.Sum != "8b96479e1524ff85" || other.Path != filepath.Join(dir, "letters") {
		t.Errorf("error %v", err)
	}
}

// The folder where one is may be the data's own.
func TestOwnNameOfThisFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "letters")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for path, want := range map[string]string{".": "letters", "../letters": "letters", "./a.b.csv": "a.b", "x/y-2_z.csv": "y-2_z"} {
		if name, err := ownName(path, tableExtension); err != nil || name != want {
			t.Errorf("%s is called %q, %v, want %q", path, name, err, want)
		}
	}
	for _, path := range []string{"/", ".hidden.csv", "a,b.csv", "a@b.csv", "a:b.csv", "ä.csv", strings.Repeat("a", 65) + ".csv"} {
		if name, err := ownName(path, tableExtension); err == nil {
			t.Errorf("%s is called %q", path, name)
		}
	}
}
