package l2l

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"learnedopt/checkpoints"
)

// sample is the content that testdata/make.py writes.
func sample() map[string]map[string]Array {
	count := func(n int, scale float32) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(i) * scale
		}
		return x
	}
	minus := count(16, -0.25)
	return map[string]map[string]Array{
		"lstm_1": {"w_gates": {[]int{6, 16}, count(96, 0.125)}, "b_gates": {[]int{16}, minus}},
		"linear": {"w": {[]int{4, 1}, []float32{0.5, -0.25, 1e-3, 4}}, "b": {[]int{1}, []float32{0.125}}},
		"odd": {
			"scalar": {nil, []float32{3}}, "cube": {[]int{2, 2, 2}, count(8, 1)},
			"four": {[]int{1, 2, 1, 2}, count(4, 1)}, "long": {[]int{300}, count(300, 1)},
		},
	}
}

// dill.l2l and python2.l2l are spelled out as dill writes them; Python's own pickle has written the others (testdata/make.py).
func TestReadSamples(t *testing.T) {
	want := sample()
	for _, name := range []string{"dill", "python2", "plain", "protocol2", "protocol4", "protocol5"} {
		if name == "plain" {
			want["one"] = map[string]Array{"x": {[]int{1}, []float32{1}}}
		}
		got, err := Load(filepath.Join("testdata", name+".l2l"))
		if err != nil {
			t.Error(err)
			continue
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +read):\n%s", name, d)
		}
	}
}

// The sums come from NumPy, after Python's own unpickler.
func TestReadPublished(t *testing.T) {
	folder := os.Getenv("METAOPT_DATA")
	if folder == "" {
		t.Skip("set METAOPT_DATA to a folder with published/dm_aug.l2l and published/rnnprop.l2l, " +
			"from github.com/VITA-Group/L2O-Training-Techniques, to read the published optimizers")
	}
	for file, want := range map[string]string{
		"dm_aug.l2l": `linear.b [1] -0.11372961848974228
linear.w [20 1] 10.492926150560379
lstm_1.b_gates [80] 51.92819551285356
lstm_1.w_gates [22 80] -178.06523800315335
lstm_2.b_gates [80] 20.790346887893975
lstm_2.w_gates [40 80] -78.73474125541907
`,
		"rnnprop.l2l": `input_projection.b [20] 0.49854518473148346
input_projection.w [2 20] 5.562389545142651
linear.b [1] -0.006701356265693903
linear.w [20 1] -0.22485364228487015
lstm_1.b_gates [80] 0.1257438154425472
lstm_1.w_gates [40 80] 13.986989289096528
lstm_2.b_gates [80] 2.023130029439926
lstm_2.w_gates [40 80] -2.8690557102454477
`,
	} {
		got, err := Load(filepath.Join(folder, "published", file))
		if err != nil {
			t.Error(err)
			continue
		}
		n := 0
		for line := range strings.Lines(want) {
			var name, shape string
			var sum float64
			line = strings.TrimSpace(line)
			name, rest, _ := strings.Cut(line, " ")
			at := strings.LastIndex(rest, " ")
			shape = rest[:at]
			if _, err := fmt.Sscan(rest[at:], &sum); err != nil {
				t.Fatal(err)
			}
			module, key, _ := strings.Cut(name, ".")
			a := got[module][key]
			if s := fmt.Sprint(a.Shape); s != shape {
				t.Errorf("%s: %s has shape %s, want %s", file, name, s, shape)
			}
			total := 0.0
			for _, x := range a.Data {
				total += float64(x)
			}
			if math.Abs(total-sum) > 1e-10 { // the order of summation differs
				t.Errorf("%s: %s sums to %v, want %v", file, name, total, sum)
			}
			n++
		}
		for _, variables := range got {
			n -= len(variables)
		}
		if n != 0 {
			t.Errorf("%s: %d arrays are missing, or too many if negative", file, n)
		}
	}
	got, err := Load(filepath.Join(folder, "published", "dm_aug.l2l"))
	if err != nil {
		t.Fatal(err)
	}
	// The first and the last element of a matrix: a sum alone would not find a wrong order.
	if w := got["lstm_1"]["w_gates"].Data; w[0] != -0.632064700126648 || w[len(w)-1] != -0.6706121563911438 {
		t.Errorf("lstm_1.w_gates goes from %v to %v", w[0], w[len(w)-1])
	}
}

// spoil returns the dill sample with old replaced by new, once.
func spoil(t *testing.T, old, new string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "dill.l2l"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(data, []byte(old)) {
		t.Fatalf("%q is not in the sample", old)
	}
	return bytes.Replace(data, []byte(old), []byte(new), 1)
}

func TestReadRejects(t *testing.T) {
	const (
		p     = "\x80\x03"
		dict  = "X\x04\x00\x00\x00dict"
		dt    = "cnumpy\ndtype\nX\x02\x00\x00\x00f4K\x00K\x01\x87R"
		dtype = dt + "(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
		empty = "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
		raw   = "C\x04\x00\x00\x80?"
		x     = "X\x01\x00\x00\x00x"
		y     = "X\x01\x00\x00\x00y"
		array = empty + "(K\x01K\x01\x85" + dtype + "\x89" + raw + "tb"
	)
	state := func(s string) string { return p + empty + "(" + s + "tb" }
	for _, c := range []struct {
		want string
		data string
	}{
		{"not a pickle of protocol 2 to 5", ""},
		{"not a pickle of protocol 2 to 5", "\x80"},
		{"not a pickle of protocol 2 to 5", "\x80\x06}."}, {"not a pickle of protocol 2 to 5", "\x80\x01}."},
		{"not a pickle of protocol 2 to 5", "}."},
		{"1 bytes are wanted, 0 are left", p},
		{"ends with 0 values", p + "."},
		{"ends with 2 values", p + "}}."},
		{"1 bytes after the pickle", p + "}.."},
		{"the pickle is None, want a dict of modules", p + "N."},
		{"the pickle is a mark", p + "(."},
		{"not one that these files need", p + "i"},       // INST
		{"not one that these files need", p + "o"},       // OBJ
		{"not one that these files need", p + "P"},       // PERSID
		{"not one that these files need", p + "\x81"},    // NEWOBJ
		{"not one that these files need", p + "\x82"},    // EXT1
		{"2 values are wanted, 0 are there", p + "\x93"}, // STACK_GLOBAL
		{`the name "os.system" is not one`, p + "\x8c\x02os\x8c\x06system\x93."},
		{"a name made of None and a string", p + "N\x8c\x06system\x93."},
		{"1 values are wanted, 0 are there", p + "\x94."}, // MEMOIZE
		{"8 bytes are wanted", p + "\x95\x00"},            // FRAME
		{"18446744073709551615 bytes are wanted", p + "\x8e\xff\xff\xff\xff\xff\xff\xff\xff."},
		{"a call of _codecs.encode that is not", p + "c_codecs\nencode\n" + x + "X\x04\x00\x00\x00utf8\x86R."},
		{"the character 'Ā' is not a byte", p + "c_codecs\nencode\nX\x02\x00\x00\x00\xc4\x80X\x06\x00\x00\x00latin1\x86R."},
		{"a call of numpy.core.numeric._frombuffer that is not", p + "cnumpy.core.numeric\n_frombuffer\n(" + raw + dtype + "K\x01\x85X\x01\x00\x00\x00FtR."},
		{"dtype is None", p + "cnumpy.core.numeric\n_frombuffer\n(" + raw + "NK\x01\x85X\x01\x00\x00\x00CtR."},
		{"a key is a string, want a string in UTF-8", p + "}U\x01\xff}s."},
		{`the name "os.system" is not one`, p + "cos\nsystem\nX\x02\x00\x00\x00id\x85R."},
		{`the name "builtins.dict" is not one`, p + "cbuiltins\ndict\n)R."},
		{`the name "builtins.eval" is not one`, p + "cbuiltins\neval\n)R."},
		{"too long or cut off", p + "c" + strings.Repeat("x", 100) + "\ny\n"},
		{"too long or cut off", p + "cnumpy\ndtype"},
		{"4 bytes are wanted", p + "X\x01"},
		{"4294967295 bytes are wanted", p + "X\xff\xff\xff\xffxxxx"},
		{"4294967295 bytes are wanted", p + "B\xff\xff\xff\xffxxxx"},
		{"5 bytes are wanted", p + "C\x05xxxx"},
		{"a string is not UTF-8", p + "X\x01\x00\x00\x00\xff."},
		{"nothing is remembered as 7", p + "h\x07."},
		{"nothing is remembered as 4294967295", p + "j\xff\xff\xff\xff."},
		{"1 values are wanted, 0 are there", p + "q\x00."},
		{"a mark where a value is wanted", p + "(q\x00."},
		{"2 values are wanted, 1 are there", p + "NR."},
		{"a call on None", p + "}NR."},
		{"a call of a dict", p + "})R."},
		{"a call of None", p + "N)R."},
		{"a call of numpy.ndarray that is not known", p + "cnumpy\nndarray\n)R."},
		{"a call of collections.defaultdict that is not known", p + "ccollections\ndefaultdict\n)R."},
		{"a call of collections.defaultdict that is not known", p + "ccollections\ndefaultdict\ncnumpy\nndarray\n\x85R."},
		{"a call of dill._dill._load_type that is not known", p + "cdill._dill\n_load_type\n" + x + "\x85R."},
		{"a call of dill._dill._import_module that is not", p + "cdill._dill\n_import_module\n" + dict + "\x85R."},
		{"a call of dill._dill._get_attr that is not", p + "cdill._dill\n_get_attr\n" + dict + "X\x0c\x00\x00\x00_reconstruct\x86R."},
		{"a call of numpy.core.multiarray._reconstruct that", p + "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x01\x85C\x01b\x87R."},
		{"a call of numpy.core.multiarray._reconstruct that", p + "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nNC\x01b\x87R."},
		{"a call of numpy.core.multiarray._reconstruct that", p + "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85N\x87R."},
		{"a call of numpy.dtype that is not known", p + "cnumpy\ndtype\nX\x02\x00\x00\x00f8K\x00K\x01\x87R."},
		{"a call of builtins.dict that is not known", p + "cdill._dill\n_load_type\n" + dict + "\x85R)R."},
		{"a state for a dict", p + "}}b."},
		{"not little-endian float32", p + dt + "Nb."},
		{"not little-endian float32", p + dt + "(K\x03X\x01\x00\x00\x00>NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb."},
		{"state is not known", p + empty + "Nb."},
		{"state is not known", state("K\x01")},
		{"state is not known", state("K\x02)" + dtype + "\x89" + raw)},
		{"shape is None", state("K\x01N" + dtype + "\x89" + raw)},
		{"shape is a tuple of 9", state("K\x01(K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01t" + dtype + "\x89" + raw)},
		{"dimension is a string", state("K\x01" + x + "\x85" + dtype + "\x89" + raw)},
		{"dimension is 0", state("K\x01K\x00\x85" + dtype + "\x89" + raw)},
		{"dimension is -1", state("K\x01J\xff\xff\xff\xff\x85" + dtype + "\x89" + raw)},
		{"larger than any file", state("K\x01J\xff\xff\xff\x7fJ\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x87" + dtype + "\x89" + raw)},
		{"dtype is a dtype", state("K\x01)" + dt + "\x89" + raw)},
		{"dtype is None", state("K\x01)N\x89" + raw)},
		{"in Fortran order", state("K\x01)" + dtype + "\x88" + raw)},
		{"shape [] has 1 bytes, want 4", state("K\x01)" + dtype + "\x89" + x)},
		{"data is None", state("K\x01)" + dtype + "\x89N")},
		{"shape [2] has 4 bytes, want 8", state("K\x01K\x02\x85" + dtype + "\x89" + raw)},
		{"shape [] has 8 bytes, want 4", state("K\x01)" + dtype + "\x89C\x0800000000")},
		{"element 0 is NaN", state("K\x01)" + dtype + "\x89C\x04\x00\x00\xc0\x7f")},
		{"element 0 is -Inf", state("K\x01)" + dtype + "\x89C\x04\x00\x00\x80\xff")},
		{"gets its state twice", p + array + "(K\x01K\x01\x85" + dtype + "\x89" + raw + "tb."},
		{"no mark", p + "}u."},
		{"no mark", p + "t."},
		{"1 keys and values for a dict", p + "}(Nu."},
		{"0 keys and values for None", p + "N(u."},
		{"a key is None", p + "}NNs."},
		{`the key "x" comes twice`, p + "}(" + x + "N" + x + "Nu."},
		{`module "x" is None`, p + "}" + x + "Ns."},
		{"x.y is None", p + "}" + x + "}" + y + "Nss."},
		{"x.y is a dict", p + "}" + x + "}q\x00" + y + "h\x00ss."}, // in itself
		{"x.y is an array without content", p + "}" + x + "}" + y + empty + "ss."},
		{"is shared with another", p + "}(" + x + "}q\x00" + y + "h\x00u."},
		{"is shared with another", p + "}" + x + "}(" + x + array + "q\x00" + y + "h\x00us."},
		{"more than 65536 instructions", p + strings.Repeat("N", 1<<16) + "."},
	} {
		m, err := Read(strings.NewReader(c.data))
		if err == nil {
			t.Errorf("%q: read %v, want %q", c.data, m, c.want)
			continue
		}
		var fe *checkpoints.FormatError
		if !errors.As(err, &fe) || !strings.Contains(fe.Reason, c.want) {
			t.Errorf("%.200q: got %v, want %q", c.data, err, c.want)
		}
	}
	// The parts above are valid together; otherwise the errors would prove little.
	if _, err := Read(strings.NewReader(p + "}" + x + "}" + y + array + "ss.")); err != nil {
		t.Error(err)
	}
}

func TestErrorsSayWhere(t *testing.T) {
	data := spoil(t, "cnumpy\nndarray\n", "cnumpy\nmatlib1\n")
	_, err := Read(bytes.NewReader(data))
	var fe *checkpoints.FormatError
	if want := int64(bytes.Index(data, []byte("cnumpy\nmatlib1"))); !errors.As(err, &fe) || fe.Offset != want {
		t.Errorf("got %v, want offset %d", err, want)
	}
	path := filepath.Join(t.TempDir(), "a.l2l")
	if _, err := Load(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such file: %v", err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); !errors.As(err, &fe) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
	broken := errors.New("the disk is broken")
	if _, err := Read(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestReadRejectsTruncation(t *testing.T) {
	data := spoil(t, "", "")
	for n := range data {
		_, err := Read(bytes.NewReader(data[:n]))
		var fe *checkpoints.FormatError
		if !errors.As(err, &fe) || fe.Offset > int64(n) {
			t.Fatalf("cut to %d bytes: got %v", n, err)
		}
	}
}

// zeros is a reader that never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestReadIsBounded(t *testing.T) {
	const dtype = "cnumpy\ndtype\nX\x02\x00\x00\x00f4K\x00K\x01\x87R(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
	// 1,000 arrays from the same byte string of 64 KiB.
	shared := "\x80\x03" + dtype + "q\x00B\x00\x00\x01\x00" + strings.Repeat("\x00", 1<<16) + "q\x01}q\x02" +
		strings.Repeat("cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01J\x00\x40\x00\x00\x85h\x00\x89h\x01tb", 1000)
	for name, r := range map[string]io.Reader{
		"dicts":  strings.NewReader("\x80\x03" + strings.Repeat("}", 1<<20)),
		"memo":   strings.NewReader("\x80\x03N" + strings.Repeat("r\xff\xff\xff\x00r\x00\x00\x00\xff", 1<<16)),
		"shared": strings.NewReader(shared),
		"claims": strings.NewReader("\x80\x03B\xff\xff\xff\xff"),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Read(r)
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; err == nil || got > 24<<20 {
			t.Errorf("%s: %d bytes allocated, error %v", name, got, err)
		}
	}
	var fe *checkpoints.FormatError
	if _, err := Read(zeros{}); !errors.As(err, &fe) || fe.Offset != maxFile {
		t.Errorf("an endless file: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	for _, name := range []string{"dill.l2l", "plain.l2l", "python2.l2l", "protocol2.l2l", "protocol4.l2l", "protocol5.l2l"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("\x80\x03}X\x01\x00\x00\x00x}s."))
	f.Fuzz(func(t *testing.T, data []byte) {
		modules, err := Read(bytes.NewReader(data))
		if err != nil {
			var fe *checkpoints.FormatError
			if !errors.As(err, &fe) || fe.Offset < 0 || fe.Offset > int64(len(data)) {
				t.Fatalf("not a FormatError with an offset: %v", err)
			}
			return
		}
		total := 0
		for module, variables := range modules {
			for key, a := range variables {
				n := 1
				for _, d := range a.Shape {
					n *= d
				}
				if n != len(a.Data) {
					t.Fatalf("%s.%s: shape %v, %d elements", module, key, a.Shape, len(a.Data))
				}
				total += 4 * n
			}
		}
		if total > len(data) {
			t.Fatalf("%d bytes of arrays from %d bytes", total, len(data))
		}
	})
}
