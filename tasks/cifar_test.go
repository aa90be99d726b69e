package tasks

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"learnedopt/internal/stream"
)

// records returns n random records of CIFAR-10 with the labels first, first+1, … modulo 10.
func records(n, first int) []byte {
	rng := stream.New(5, "records", uint64(first))
	var out []byte
	for i := range n {
		out = append(out, byte((first+i)%10))
		for range 3072 {
			out = append(out, byte(rng.IntN(256)))
		}
	}
	return out
}

// archive returns a tar archive of files, in the order of the names given.
func archive(t testing.TB, files map[string][]byte, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "cifar-10-batches-bin/", Typeflag: tar.TypeDir, Mode: 0o755}); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := w.WriteHeader(&tar.Header{Name: "cifar-10-batches-bin/" + name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(files[name]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(files[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func writeFiles(t testing.TB, dir string, files map[string][]byte) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReadCIFAR10(t *testing.T) {
	raw := records(3, 8)
	for name, file := range map[string][]byte{"raw": raw, "gzip": zipped(t, raw)} {
		p, err := ReadCIFAR10(name, iotest.HalfReader(bytes.NewReader(file)))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(p.Labels, []byte{8, 9, 0}) || len(p.Pixels) != 3*3072 || !bytes.Equal(p.Pixels[3072:6144], raw[3074:6146]) {
			t.Errorf("%s: %d labels %v, %d bytes", name, len(p.Labels), p.Labels, len(p.Pixels))
		}
	}
	cut := zipped(t, raw)
	wrong := slices.Clone(raw)
	wrong[3073] = 10
	for _, c := range []struct {
		name   string
		file   []byte
		offset int64
		reason string
	}{
		{"empty", nil, 0, "file ends in its record 0 of 3073 bytes"},
		{"label alone", raw[:1], 1, "file ends in its record 0 of 3073 bytes"},
		{"cut in a record", raw[:7000], 7000, "file ends in its record 2 of 3073 bytes"},
		{"label", wrong, 3073, "record 1 has the label 10, want below 10"},
		{"another format", idxBytes(make([]byte, 5000), 5000), 5008, "file ends in its record 1 of 3073 bytes"},
		{"gzip cut", cut[:len(cut)-9], 9219, "file ends in its record"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := ReadCIFAR10("file", bytes.NewReader(c.file))
			var format *FormatError
			if !errors.As(err, &format) || p.Labels != nil {
				t.Fatalf("%d labels, error %v", len(p.Labels), err)
			}
			if format.Name != "file" || format.Offset != c.offset || !strings.Contains(format.Reason, c.reason) {
				t.Errorf("error %+v, want offset %d and %q", format, c.offset, c.reason)
			}
		})
	}
	broken := errors.New("cable pulled")
	for _, at := range []int{0, 1, 2, 3073, 4000} {
		_, err := ReadCIFAR10("file", io.MultiReader(bytes.NewReader(raw[:at]), iotest.ErrReader(broken)))
		var format *FormatError
		if !errors.Is(err, broken) || errors.As(err, &format) {
			t.Errorf("after %d bytes: error %v", at, err)
		}
	}
}

// Files in the folder, below it and in the archive give the same data set: the training images in the order of the files'
// names, of which the last tenth validates.
func TestLoadCIFAR10(t *testing.T) {
	files := map[string][]byte{
		"data_batch_1.bin": records(12, 0), "data_batch_2.bin": records(8, 1), "test_batch.bin": records(4, 2),
		"batches.meta.txt": []byte("airplane\n"), "readme.html": []byte("<html>"),
	}
	loose := map[string][]byte{"data_batch_1.bin": files["data_batch_1.bin"], "data_batch_2.bin.gz": zipped(t, files["data_batch_2.bin"]),
		"test_batch.bin": files["test_batch.bin"], "test_batch.bin.gz": []byte("not read, since the raw file is there"), "notes": {1}}
	// In the real archive, too, the files are in no order.
	tarred := archive(t, files, "data_batch_2.bin", "batches.meta.txt", "test_batch.bin", "readme.html", "data_batch_1.bin")
	for name, where := range map[string]struct {
		sub   string
		files map[string][]byte
	}{
		"in the folder": {"", loose}, "below": {cifarFolder, loose}, "archive": {"", map[string][]byte{cifarArchive: zipped(t, tarred)}},
		"raw archive": {"", map[string][]byte{cifarArchive: tarred}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writeFiles(t, filepath.Join(dir, "cifar10", where.sub), where.files)
			d, err := LoadCIFAR10(dir)
			if err != nil {
				t.Fatal(err)
			}
			if rows, cols := d.Shape(); d.Len(Train) != 18 || d.Len(Valid) != 2 || d.Len(Test) != 4 || d.Channels() != 3 || rows != 32 || cols != 32 ||
				d.Classes() != 10 || d.Name() != "cifar10" || d.Features() != 3072 {
				t.Fatalf("%s has splits of %d, %d, %d, %d channels of %d×%d", d.Name(), d.Len(Train), d.Len(Valid), d.Len(Test), d.Channels(), rows, cols)
			}
			x := make([]float32, 3072)
			for _, c := range []struct {
				s    Split
				i    int
				file string
				at   int
			}{{Train, 0, "data_batch_1.bin", 0}, {Train, 11, "data_batch_1.bin", 11}, {Train, 12, "data_batch_2.bin", 0}, {Valid, 1, "data_batch_2.bin", 7}, {Test, 3, "test_batch.bin", 3}} {
				record := files[c.file][c.at*3073:][:3073]
				d.Image(x, c.s, c.i)
				if d.Label(c.s, c.i) != int(record[0]) {
					t.Errorf("%v[%d] has the label %d, want %d", c.s, c.i, d.Label(c.s, c.i), record[0])
				}
				for k, v := range x {
					if v != float32(record[1+k])/255 {
						t.Fatalf("%v[%d]: number %d is %v, want %d/255", c.s, c.i, k, v, record[1+k])
					}
				}
			}
			g, err := LoadCIFAR10Grey(dir)
			if err != nil {
				t.Fatal(err)
			}
			if g.Name() != "cifar10-grey" || g.Channels() != 1 || g.Features() != 1024 || g.Len(Valid) != 2 || g.Label(Test, 3) != d.Label(Test, 3) {
				t.Fatalf("%s has %d channels, a validation split of %d", g.Name(), g.Channels(), g.Len(Valid))
			}
			y := make([]float32, 1024)
			for i := range 18 {
				d.Image(x, Train, i)
				g.Image(y, Train, i)
				for k, v := range y {
					want := 0.299*float64(x[k]) + 0.587*float64(x[1024+k]) + 0.114*float64(x[2048+k])
					if math.Abs(float64(v)-want) > 0.5/255+1e-6 { // rounded to a byte; float32 pixels
						t.Fatalf("pixel %d of image %d is %v, want %v", k, i, v, want)
					}
				}
			}
			if again, err := LoadCIFAR10(dir); err != nil || again != d || g == d {
				t.Error("a data set is read twice, or the two are the same")
			}
		})
	}
}

func TestLoadCIFAR10Errors(t *testing.T) {
	some := records(10, 0)
	for name, c := range map[string]struct {
		files   map[string][]byte
		want    string
		missing bool
	}{
		"nothing":            {nil, "metaopt data fetch cifar10", true},
		"no test images":     {map[string][]byte{"data_batch_1.bin": some}, "test_batch.bin", true},
		"no training images": {map[string][]byte{"test_batch.bin": some}, "data_batch_1.bin", true},
		"few":                {map[string][]byte{"data_batch_1.bin": records(9, 0), "test_batch.bin": some}, "9 training images, want at least 10", false},
		"truncated":          {map[string][]byte{"data_batch_1.bin": some[:3072], "test_batch.bin": some}, "data_batch_1.bin: at byte 3072: file ends in its record 0", false},
		"no archive":         {map[string][]byte{cifarArchive: []byte("<html>404</html>")}, "at byte 16: file ends in its archive; fetch the file again", false},
		"other archive":      {map[string][]byte{cifarArchive: archive(t, nil, "x")}, "the archive has no data_batch_*.bin", false},
		"archive cut":        {map[string][]byte{cifarArchive: archive(t, map[string][]byte{"data_batch_1.bin": some}, "data_batch_1.bin")[:9000]}, "data_batch_1.bin: at byte 7976: file ends in its record 2", false},
		"label in archive":   {map[string][]byte{cifarArchive: archive(t, map[string][]byte{"data_batch_1.bin": bytes.Repeat([]byte{11}, 3073)}, "data_batch_1.bin")}, "data_batch_1.bin: at byte 0: record 0 has the label 11", false},
		"twice":              {map[string][]byte{cifarArchive: archive(t, map[string][]byte{"data_batch_1.bin": some}, "data_batch_1.bin", "data_batch_1.bin")}, "twice", false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, task := range []string{"cifar10", "cifar10-grey image-size=8"} {
				dir := t.TempDir()
				writeFiles(t, filepath.Join(dir, "cifar10"), c.files)
				f, err := MustParse(task).Family(dir)
				var missing *MissingDataError
				if f != nil || err == nil || !strings.Contains(err.Error(), c.want) || errors.As(err, &missing) != c.missing {
					t.Errorf("%s: error %v (%T), want %q", task, err, err, c.want)
				}
				if c.missing && (missing.Dataset != "cifar10" || !errors.Is(err, fs.ErrNotExist)) {
					t.Errorf("%s: error %v", task, err)
				}
			}
		})
	}
}

// The tasks: names, sizes and the gradient in float64.
func TestCIFAR10Tasks(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, filepath.Join(dir, "cifar10"), map[string][]byte{"data_batch_1.bin": records(30, 0), "test_batch.bin": records(10, 0)})
	for text, want := range map[string]struct {
		name     string
		features int
	}{
		"cifar10":                              {"cifar10 units=20 layers=1 activation=sigmoid batch=128", 3072},
		"cifar10 image-size=14 units=4":        {"cifar10 units=4 layers=1 activation=sigmoid batch=128 image-size=14", 588},
		"cifar10-grey image-size=32":           {"cifar10-grey units=20 layers=1 activation=sigmoid batch=128", 1024},
		"cifar10-grey weight-init=he batch=16": {"cifar10-grey units=20 layers=1 activation=sigmoid batch=16 weight-init=he", 1024},
		"cifar10-grey units=3 image-size=28":   {"cifar10-grey units=3 layers=1 activation=sigmoid batch=128 image-size=28", 784},
	} {
		f := mixture(t, text, dir).(*Classifier)
		if f.Name() != want.name || f.widths[0] != want.features || MustParse(text).String() != want.name {
			t.Errorf("%s makes %q with %d features, want %q with %d", text, f.Name(), f.widths[0], want.name, want.features)
		}
		p := sample(t, f, 4).(*classifier)
		theta, grad := make([]float32, p.Dim()), make([]float32, p.Dim())
		p.Init(theta)
		loss, err := p.LossGrad(theta, grad)
		if err != nil {
			t.Fatal(err)
		}
		// The first minibatch, drawn independently.
		rng := stream.New(p.seed, "batch", 0)
		var x [][]float32
		var labels []int
		for range f.config.Batch {
			i, image := rng.IntN(27), make([]float32, want.features)
			f.data.Image(image, Train, i)
			x, labels = append(x, image), append(labels, f.data.Label(Train, i))
		}
		wantLoss, wantGrad := mlp64(theta, f.widths, "sigmoid", x, labels)
		if math.Abs(loss-wantLoss) > 2e-6*(1+wantLoss) {
			t.Errorf("%s: loss %v, want %v", text, loss, wantLoss)
		}
		for i, g := range grad {
			if math.Abs(float64(g)-wantGrad[i]) > 1e-6 {
				t.Fatalf("%s: gradient of coordinate %d is %v, want %v", text, i, g, wantGrad[i])
			}
		}
	}
	for text, want := range map[string]string{
		"cifar10 image-size=33":      "whose images have 32×32 pixels; take at most 32",
		"cifar10 dims=3":             "dims does not apply to the task cifar10",
		"cifar10-gray":               `did you mean "cifar10-grey"?`,
		"cifar10-grey image-size=1x": "whole number",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
}

// The real records, if they are on this machine: the first image is the frog whose first pixel is (59, 62, 63).
func TestCIFAR10(t *testing.T) {
	dir, err := DataDir("")
	if err != nil {
		t.Skip(err)
	}
	d, err := LoadCIFAR10(dir)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	labels := func(s Split) (all []int) {
		for i := range 10 {
			all = append(all, d.Label(s, i))
		}
		return all
	}
	if !slices.Equal(labels(Train), []int{6, 9, 9, 4, 1, 1, 2, 7, 8, 3}) || !slices.Equal(labels(Test), []int{3, 8, 8, 0, 6, 6, 1, 6, 3, 1}) {
		t.Errorf("labels %v and %v", labels(Train), labels(Test))
	}
	x := make([]float32, 3072)
	d.Image(x, Train, 0)
	if x[0] != 59./255 || x[1] != 43./255 || x[1024] != 62./255 || x[2048] != 63./255 {
		t.Errorf("the first image begins with %v, %v; %v; %v", x[0]*255, x[1]*255, x[1024]*255, x[2048]*255)
	}
	// The means of the 50,000 training images are known to be 0.4914, 0.4822 and 0.4465. A file of 10,000 has them to about 0.25/√10,000.
	var mean [3]float64
	n := d.Len(Train)
	for i := range n {
		d.Image(x, Train, i)
		for k, v := range x {
			mean[k/1024] += float64(v) / float64(n) / 1024
		}
	}
	for c, want := range []float64{0.4914, 0.4822, 0.4465} {
		if math.Abs(mean[c]-want) > 0.005 {
			t.Errorf("channel %d has the mean %v, want %v", c, mean[c], want)
		}
	}
	p := sample(t, mixture(t, "cifar10-grey image-size=14 activation=relu weight-init=he", ""), 1).(*classifier)
	theta, grad := make([]float32, p.Dim()), make([]float32, p.Dim())
	p.Init(theta)
	for range 300 {
		if _, err := p.LossGrad(theta, grad); err != nil {
			t.Fatal(err)
		}
		for i, g := range grad {
			theta[i] -= 0.1 * g
		}
	}
	if _, accuracy, err := p.EvaluateSplit(theta, Test); err != nil || accuracy < 0.22 {
		t.Errorf("after 300 steps %v are right, %v", accuracy, err)
	}
}

func FuzzCIFAR10(f *testing.F) {
	good := records(2, 0)
	for _, seed := range [][]byte{
		nil, good, good[:3073], good[:3072], good[:1], zipped(f, good), zipped(f, good)[:100], bytes.Repeat([]byte{10}, 3073),
		archive(f, map[string][]byte{"data_batch_1.bin": good, "x": {1, 2}}, "x", "data_batch_1.bin"), zipped(f, archive(f, nil, "test_batch.bin")),
		archive(f, map[string][]byte{"data_batch_1.bin": good}, "data_batch_1.bin")[:5000], {0x1f, 0x8b},
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		p, err := ReadCIFAR10("fuzz", bytes.NewReader(file))
		var format *FormatError
		if err != nil && !errors.As(err, &format) {
			t.Fatalf("error %v (%T) is no *FormatError", err, err)
		}
		if err == nil {
			check(t, p)
			// An accepted file is canonical: the records written again give the same bytes.
			var again []byte
			for i, label := range p.Labels {
				again = append(append(again, label), p.Pixels[i*3072:(i+1)*3072]...)
			}
			if !bytes.HasPrefix(file, []byte{0x1f, 0x8b}) && !bytes.Equal(again, file) {
				t.Fatalf("accepted %d bytes, which mean %d", len(file), len(again))
			}
		}
		parts, err := readCIFARArchive("fuzz", bytes.NewReader(file))
		if err != nil && !errors.As(err, &format) {
			t.Fatalf("error %v (%T) is no *FormatError", err, err)
		}
		for _, p := range parts {
			check(t, p)
		}
	})
}

func check(t *testing.T, p Part) {
	t.Helper()
	if len(p.Labels) == 0 || len(p.Pixels) != 3072*len(p.Labels) || slices.Max(p.Labels) > 9 {
		t.Fatalf("accepted %d labels and %d bytes", len(p.Labels), len(p.Pixels))
	}
}
