package tasks

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// writeIDX writes a data set of n+idxValid training images and 3 test images of 2×2 pixels.
func writeIDX(t *testing.T, dir string, zip bool) {
	t.Helper()
	writeImages(t, dir, 2, zip)
}

// writeImages is writeIDX for images of side×side pixels.
func writeImages(t *testing.T, dir string, side int, zip bool) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for part, n := range map[string]int{idxTrain: 2 + idxValid, idxTest: 3} {
		pixels, labels := make([]byte, side*side*n), make([]byte, n)
		for i := range labels {
			labels[i] = byte(i % 10)
			pixels[side*side*i] = byte(i)
		}
		imagesPath, labelsPath := idxFiles(dir, part)
		for path, data := range map[string][]byte{imagesPath: idxBytes(pixels, n, side, side), labelsPath: idxBytes(labels, n)} {
			if zip {
				path, data = path+".gz", zipped(t, data)
			}
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Files are found where other tools put them, under the names that these give them.
func TestIDXFilesOfOtherTools(t *testing.T) {
	for what, c := range map[string]struct {
		data  string // of the four files' own folder
		named string // the folder that the user names
		name  string
		move  func(file string) string
	}{
		"torchvision":               {"MNIST/raw", ".", "mnist", nil},
		"torchvision, fashion":      {"FashionMNIST/raw", ".", "fashion-mnist", nil},
		"torchvision in the folder": {"mnist/MNIST/raw", ".", "mnist", nil},
		"raw":                       {"mnist/raw", ".", "mnist", nil},
		"the data set's own folder": {"mnist", "mnist", "mnist", nil},
		"dots":                      {"mnist", ".", "mnist", func(file string) string { return strings.Replace(file, "-idx", ".idx", 1) }},
		"a folder of its name":      {"mnist", ".", "mnist", func(file string) string { return filepath.Join(file, strings.Replace(file, "-idx", ".idx", 1)) }},
		"a folder with dots": {"mnist", ".", "mnist", func(file string) string {
			dotted := strings.Replace(file, "-idx", ".idx", 1)
			return filepath.Join(dotted, dotted)
		}},
	} {
		for _, zip := range []bool{false, true} {
			dir := t.TempDir()
			folder := filepath.Join(dir, c.data)
			writeIDX(t, folder, zip)
			if c.move != nil {
				if zip {
					continue
				}
				entries, err := os.ReadDir(folder)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range entries {
					aside, to := filepath.Join(folder, "aside"), filepath.Join(folder, c.move(e.Name()))
					if err := errors.Join(os.Rename(filepath.Join(folder, e.Name()), aside), os.MkdirAll(filepath.Dir(to), 0o755), os.Rename(aside, to)); err != nil {
						t.Fatal(err)
					}
				}
			}
			if d, err := LoadIDXDataset(filepath.Join(dir, c.named), c.name); err != nil || d.Len(Train) != 2 {
				t.Errorf("%s, gzip %v: %v", what, zip, err)
			}
		}
	}
	// What is there goes before what is elsewhere.
	dir := t.TempDir()
	writeIDX(t, filepath.Join(dir, "mnist"), false)
	if err := os.MkdirAll(filepath.Join(dir, "MNIST", "raw", "train-images-idx3-ubyte"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadMNIST(dir); err != nil {
		t.Error(err)
	}
}

func TestLoadIDXDataset(t *testing.T) {
	for _, zip := range []bool{false, true} {
		dir := t.TempDir()
		writeIDX(t, filepath.Join(dir, "mnist"), zip)
		d, err := LoadMNIST(dir)
		if err != nil {
			t.Fatal(err)
		}
		if d.Len(Train) != 2 || d.Len(Valid) != idxValid || d.Len(Test) != 3 || d.Name() != "mnist" {
			t.Fatalf("%s has splits of %d, %d, %d", d.Name(), d.Len(Train), d.Len(Valid), d.Len(Test))
		}
		x := make([]float32, 4)
		d.Image(x, Valid, 1) // the fourth training image
		if x[0] != 3./255 || d.Label(Valid, 1) != 3 {
			t.Errorf("Valid[1] is %v, %d", x, d.Label(Valid, 1))
		}
		again, err := LoadMNIST(filepath.Join(dir, "mnist", ".."))
		if err != nil || again != d {
			t.Error("the same folder was loaded twice")
		}
	}
}

// The error of a missing file says what is missing, where, and what to do. It is
// not remembered: once the file exists, loading works.
func TestLoadMissing(t *testing.T) {
	dir := t.TempDir()
	_, err := LoadMNIST(dir)
	var missing *MissingDataError
	if !errors.As(err, &missing) || !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("error %v", err)
	}
	for _, part := range []string{"mnist", filepath.Join(dir, "mnist", "train-images-idx3-ubyte"), "metaopt data fetch mnist", "--data-dir", DataDirEnv} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not name %q", err, part)
		}
	}
	writeIDX(t, filepath.Join(dir, "mnist"), true)
	if _, err := LoadMNIST(dir); err != nil {
		t.Errorf("after the files came: %v", err)
	}
}

func TestLoadMalformed(t *testing.T) {
	for name, spoil := range map[string]func(dir string) (string, []byte){
		"labels": func(dir string) (string, []byte) { // there must be one label for each image
			_, path := idxFiles(dir, idxTest)
			return path, idxBytes([]byte{1, 2}, 2)
		},
		"rank": func(dir string) (string, []byte) {
			path, _ := idxFiles(dir, idxTrain)
			return path, idxBytes([]byte{1, 2}, 2)
		},
		"no images left to train": func(dir string) (string, []byte) {
			path, _ := idxFiles(dir, idxTrain)
			_, labels := idxFiles(dir, idxTrain)
			_ = os.WriteFile(labels, idxBytes(make([]byte, idxValid), idxValid), 0o644)
			return path, idxBytes(make([]byte, 4*idxValid), idxValid, 2, 2)
		},
		"another size": func(dir string) (string, []byte) {
			path, _ := idxFiles(dir, idxTest)
			return path, idxBytes(make([]byte, 27), 3, 3, 3)
		},
		"label 10": func(dir string) (string, []byte) {
			_, path := idxFiles(dir, idxTest)
			return path, idxBytes([]byte{1, 2, 10}, 3)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			folder := filepath.Join(dir, "fashion-mnist")
			writeIDX(t, folder, false)
			path, data := spoil(folder)
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
			d, err := LoadIDXDataset(dir, "fashion-mnist")
			if err == nil || d != nil {
				t.Fatalf("loaded %v, error %v", d, err)
			}
			var format *FormatError
			if typed := name == "labels" || name == "rank"; errors.As(err, &format) != typed || typed && format.Name != path {
				t.Errorf("error %v (%T)", err, err)
			}
		})
	}
}

func TestDataDir(t *testing.T) {
	t.Setenv(DataDirEnv, "/from/env")
	t.Setenv("XDG_CACHE_HOME", "/cache")
	t.Setenv("HOME", "/home/u")
	if dir, err := DataDir("/from/flag"); dir != "/from/flag" || err != nil {
		t.Errorf("flag: %q, %v", dir, err)
	}
	if dir, err := DataDir(""); dir != "/from/env" || err != nil {
		t.Errorf("environment: %q, %v", dir, err)
	}
	t.Setenv(DataDirEnv, "")
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	if dir, err := DataDir(""); dir != filepath.Join(cache, "metaopt", "data") || err != nil {
		t.Errorf("cache: %q, %v", dir, err)
	}
}

// The real files, if they are on this machine.
func TestMNIST(t *testing.T) {
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
	if d.Len(Train) != 55000 || d.Len(Valid) != 5000 || d.Len(Test) != 10000 {
		t.Fatalf("splits of %d, %d, %d", d.Len(Train), d.Len(Valid), d.Len(Test))
	}
	if d.Label(Train, 0) != 5 || d.Label(Train, 1) != 0 || d.Label(Test, 0) != 7 || d.Label(Test, 9999) != 6 {
		t.Error("wrong labels")
	}
	// The mean pixel of the 60,000 training images is known to be 0.1307.
	sum, x := 0.0, make([]float32, 784)
	var count [10]int
	for _, s := range []Split{Train, Valid} {
		for i := range d.Len(s) {
			d.Image(x, s, i)
			for _, v := range x {
				sum += float64(v)
			}
			count[d.Label(s, i)]++
		}
	}
	if mean := sum / 60000 / 784; mean < 0.13065 || mean > 0.13067 {
		t.Errorf("mean pixel %v", mean)
	}
	if count != [10]int{5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949} {
		t.Errorf("classes %v", count)
	}
	f, err := New("mnist", Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := sample(t, f, 1)
	theta := make([]float32, p.Dim())
	p.Init(theta)
	loss, accuracy, err := p.(scored).EvaluateSplit(theta, Test)
	if err != nil || loss < 2.25 || loss > 2.36 || accuracy > 0.25 || p.Dim() != 15910 {
		t.Errorf("at the start: loss %v, accuracy %v, error %v, %d coordinates", loss, accuracy, err, p.Dim())
	}
}

// Names that differ in case and signs alone are read, and files that could be another data set's are named.
func TestNamesOfDataThatAreAlike(t *testing.T) {
	for what, c := range map[string]struct {
		folder, name string
		file         func(string) string
	}{
		"upper case":      {"MNIST", "mnist", func(s string) string { return strings.ToUpper(s) + ".GZ" }},
		"an ending":       {"fashion_mnist", "fashion-mnist", func(s string) string { return s + ".idx.gz" }},
		"another sign":    {"FashionMNIST", "fashion-mnist", func(s string) string { return strings.ReplaceAll(s, "-ubyte", ".ubyte") + ".gz" }},
		"below a raw/ of": {filepath.Join("Mnist", "raw"), "mnist", func(s string) string { return strings.ReplaceAll(s, "-", "_") + ".gz" }},
	} {
		dir := t.TempDir()
		folder := filepath.Join(dir, c.folder)
		writeIDX(t, folder, true)
		entries, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if err := os.Rename(filepath.Join(folder, e.Name()), filepath.Join(folder, c.file(strings.TrimSuffix(e.Name(), ".gz")))); err != nil {
				t.Fatal(err)
			}
		}
		if d, err := LoadIDXDataset(dir, c.name); err != nil || d.Len(Test) != 3 {
			t.Errorf("%s: %v", what, err)
		}
	}
	// Fashion-MNIST has the file names of MNIST: files outside a folder of its name are not taken, but named.
	dir := t.TempDir()
	writeIDX(t, dir, false)
	_, err := LoadIDXDataset(dir, "fashion-mnist")
	var missing *MissingDataError
	if !errors.As(err, &missing) || missing.Near != filepath.Join(dir, "train-images-idx3-ubyte") || !strings.Contains(err.Error(), "but there is "+missing.Near+"; put the data set's four files into a folder fashion-mnist/") {
		t.Errorf("error %v", err)
	}
}
