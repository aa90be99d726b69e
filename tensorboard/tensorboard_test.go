package tensorboard

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// clock always returns 256.5 seconds.
func clock() time.Time { return time.Unix(256, 500_000_000) }

// written returns the content of the file that write makes with the clock above.
func written(t *testing.T, write func(*Writer)) []byte {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "events"))
	if err != nil {
		t.Fatal(err)
	}
	w := newWriter(f, clock)
	write(w)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestGolden compares a file with the file that testdata/events.py wrote with Google's protobuf and
// its own checksum.
func TestGolden(t *testing.T) {
	want, err := os.ReadFile(filepath.Join("testdata", "golden.tfevents"))
	if err != nil {
		t.Fatal(err)
	}
	got := written(t, func(w *Writer) {
		w.Scalar(0, "meta_loss/valid", 1.5)
		w.Scalar(7, "v", -0.25)
		w.Histogram(1<<40, "same", []float32{2, 2, 2})
		w.Start(300)
	})
	if !bytes.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// An event as the parsers below read it.
type event struct {
	Time      float64
	Step      int64
	Version   string
	Session   int
	Tag       string
	Value     *float64
	Histogram *struct {
		Min, Max, Num, Sum float64
		Squares            float64 `json:"sum_squares"`
		Limits, Counts     []float64
	}
}

// parse reads a file by the definition of the format, without the package's code: the frames, the CRC-32C bit
// by bit, and the protobuf wire format.
func parse(data []byte) (events []event, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cut short: %v", r)
		}
	}()
	checksum := func(data []byte) uint32 {
		crc := ^uint32(0)
		for _, b := range data {
			crc ^= uint32(b)
			for range 8 {
				low := crc & 1
				if crc >>= 1; low == 1 {
					crc ^= 0x82f63b78
				}
			}
		}
		crc = ^crc
		return (crc>>15 | crc<<17) + 0xa282ead8
	}
	for len(data) > 0 {
		size := binary.LittleEndian.Uint64(data[:8])
		if binary.LittleEndian.Uint32(data[8:12]) != checksum(data[:8]) {
			return nil, errors.New("checksum of a length")
		}
		body := data[12:][:size]
		if binary.LittleEndian.Uint32(data[12+size:16+size]) != checksum(body) {
			return nil, errors.New("checksum of an event")
		}
		data = data[16+size:]
		var e event
		double := func(b []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b)) }
		fields(body, func(field int, number uint64, b []byte) {
			switch field {
			case 1:
				e.Time = double(b)
			case 2:
				e.Step = int64(number)
			case 3:
				e.Version = string(b)
			case 7:
				fields(b, func(_ int, number uint64, _ []byte) { e.Session = int(number) })
			case 5:
				fields(b, func(_ int, _ uint64, b []byte) {
					fields(b, func(field int, _ uint64, b []byte) {
						switch field {
						case 1:
							e.Tag = string(b)
						case 2:
							v := float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
							e.Value = &v
						case 5:
							e.Histogram = new(struct {
								Min, Max, Num, Sum float64
								Squares            float64 `json:"sum_squares"`
								Limits, Counts     []float64
							})
							h := e.Histogram
							fields(b, func(field int, _ uint64, b []byte) {
								if field < 6 {
									*[]*float64{&h.Min, &h.Max, &h.Num, &h.Sum, &h.Squares}[field-1] = double(b)
									return
								}
								row := []*[]float64{&h.Limits, &h.Counts}[field-6]
								for ; len(b) > 0; b = b[8:] {
									*row = append(*row, double(b))
								}
							})
						}
					})
				})
			}
		})
		events = append(events, e)
	}
	return events, nil
}

// fields calls f for each field of a protobuf, with its number if it is a varint, else with its bytes.
func fields(b []byte, f func(field int, number uint64, b []byte)) {
	for len(b) > 0 {
		key, n := binary.Uvarint(b)
		b = b[n:]
		var number uint64
		size := 0
		switch key & 7 {
		case 0:
			number, size = binary.Uvarint(b)
		case 1:
			size = 8
		case 2:
			length, n := binary.Uvarint(b)
			b, size = b[n:], int(length)
		case 5:
			size = 4
		default:
			panic("wire type")
		}
		f(int(key>>3), number, b[:size])
		b = b[size:]
	}
}

// values has the mean 0.5. Its histogram has 30 buckets of width 0.1 over [-1, 2], some with two values.
var values = []float32{-1, -0.95, 0, 0.05, float32(math.NaN()), 1.95, 2, 1.5, float32(math.Inf(1)), 0.45}

func example(w *Writer) {
	w.Scalar(3, "train/loss", 0.1)
	w.Scalar(4, "nothing", math.Inf(-1))
	w.Histogram(5, "u", values)
	w.Histogram(6, "none", []float32{float32(math.NaN())})
	w.Histogram(-7, "", []float32{0})
}

func check(t *testing.T, events []event) {
	t.Helper()
	if len(events) != 7 {
		t.Fatalf("%d events: %+v", len(events), events)
	}
	for i, e := range events {
		if e.Time != 256.5 || (e.Version == "brain.Event:2") != (i == 0) || e.Step != []int64{0, 3, 4, 5, 5, 6, -7}[i] ||
			e.Tag != []string{"", "train/loss", "nothing", "u/non_finite", "u", "none/non_finite", ""}[i] {
			t.Errorf("event %d: %+v", i, e)
		}
	}
	if v := events[1].Value; v == nil || *v != float64(float32(0.1)) {
		t.Errorf("value %v", v)
	}
	if u, none := events[3].Value, events[5].Value; u == nil || *u != 2 || none == nil || *none != 1 {
		t.Errorf("non-finite values: %v, %v", u, none)
	}
	h := events[4].Histogram
	if h == nil || h.Min != -1 || h.Max != 2 || h.Num != 8 || math.Abs(h.Sum-4) > 1e-6 || math.Abs(h.Squares-(1+0.9025+0.0025+3.8025+4+2.25+0.2025)) > 1e-6 {
		t.Fatalf("histogram %+v", h)
	}
	counts := make([]float64, 30)
	for bucket, n := range map[int]float64{0: 2, 10: 2, 29: 2, 25: 1, 14: 1} {
		counts[bucket] = n
	}
	if !slices.Equal(h.Counts, counts) || len(h.Limits) != 30 || math.Abs(h.Limits[0]+0.9) > 1e-12 || h.Limits[29] != 2 {
		t.Errorf("buckets %v, %v", h.Limits, h.Counts)
	}
	if h := events[6].Histogram; h == nil || h.Num != 1 || !slices.Equal(h.Limits, []float64{0.5}) || !slices.Equal(h.Counts, []float64{1}) {
		t.Errorf("histogram of one value: %+v", h)
	}
}

func TestFilesByAnIndependentParser(t *testing.T) {
	data := written(t, example)
	events, err := parse(data)
	if err != nil {
		t.Fatal(err)
	}
	check(t, events)
	if v := events[2].Value; v == nil || !math.IsInf(*v, -1) {
		t.Errorf("value %v", v)
	}
	// The parser itself notices every damaged byte.
	for i := range data {
		data[i] ^= 0x10
		if _, err := parse(data); err == nil {
			t.Fatalf("byte %d damaged, and nothing noticed", i)
		}
		data[i] ^= 0x10
	}
}

// Google's protobuf reads the same values.
func TestFilesByPython(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "events")
	if err := os.WriteFile(path, written(t, example), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, interpreter := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(interpreter, "-c", "import google.protobuf").Run() != nil {
			continue
		}
		out, err := exec.Command(interpreter, filepath.Join("testdata", "events.py"), "read", path).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		var events []event
		for line := range strings.Lines(strings.ReplaceAll(string(out), "-Infinity", "null")) {
			var e event
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			events = append(events, e)
		}
		check(t, events)
		golden := filepath.Join(dir, "golden")
		if out, err := exec.Command(interpreter, filepath.Join("testdata", "events.py"), "golden", golden).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		now, _ := os.ReadFile(golden)
		if kept, _ := os.ReadFile(filepath.Join("testdata", "golden.tfevents")); !bytes.Equal(now, kept) {
			t.Error("testdata/golden.tfevents is not what testdata/events.py writes")
		}
		return
	}
	t.Skip("no python3 with protobuf: install python3-protobuf to check by Google's reader")
}

func TestNamesAreWhatTensorBoardLooksFor(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	pattern := regexp.MustCompile(`^events\.out\.tfevents\.\d{10}\.[A-Za-z0-9_-]+\.\d+\.\d+$`)
	for range 2 { // in the same second
		w, err := Create(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 2 {
		t.Errorf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		if !pattern.MatchString(f.Name()) {
			t.Errorf("the name is %s", f.Name())
		}
	}
	if got := plain("a.b/c-1_Ä"); got != "a_b_c-1__" {
		t.Errorf("host %q", got)
	}
}

// Flushed events are in the file while it is still open.
func TestFlush(t *testing.T) {
	dir := t.TempDir()
	w, err := Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files %v, %v", files, err)
	}
	w.Scalar(1, "a", 1)
	if data, _ := os.ReadFile(files[0]); len(data) != 0 {
		t.Errorf("%d bytes before a flush: every value is a write", len(data))
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	data, _ := os.ReadFile(files[0])
	if events, err := parse(data); err != nil || len(events) != 2 {
		t.Errorf("%d events, %v", len(events), err)
	}
}

func TestErrorsAreKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(file); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a folder that is a file: %v", err)
	}
	w, err := Create(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w.f.Close()
	w.Scalar(1, "a", 1)
	first := w.Flush()
	if first == nil {
		t.Fatal("no error of a closed file")
	}
	for range 1000 {
		w.Scalar(1, "a", 1)
	}
	if err := w.Flush(); err != first {
		t.Errorf("the second error is %v", err)
	}
	if err := w.Close(); err != first {
		t.Errorf("closing says %v", err)
	}
}

// BenchmarkValidation writes and flushes as many events as a validation of the paper's network: 33 scalars, and histograms of
// six tensors and of 4,096 updates.
func BenchmarkValidation(b *testing.B) {
	w, err := Create(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	updates := make([]float32, 4096)
	for i := range updates {
		updates[i] = float32(math.Sin(float64(i)))
	}
	for b.Loop() {
		for range 33 {
			w.Scalar(1, "gate_saturation/lstm1/i/valid", 0.5)
		}
		for _, size := range []int{22 * 80, 80, 40 * 80, 80, 20, 1} {
			w.Histogram(1, "phi/lstm1/w", updates[:size])
		}
		w.Histogram(1, "updates", updates)
		if err := w.Flush(); err != nil {
			b.Fatal(err)
		}
	}
}
