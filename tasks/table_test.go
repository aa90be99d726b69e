package tasks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"learnedopt/internal/gemm/mlp/mlptest"
	"learnedopt/optimizer"
)

// plants is a table with n rows of two measurements, a third column and a label.
func plants(n int, header string) string {
	var b strings.Builder
	b.WriteString(header)
	rng := newRand(4)
	for i := range n {
		kind := i % 3
		fmt.Fprintf(&b, "%.3f,%.2f,%d,%s\n", 4+float64(kind)+rng.NormFloat64()/3, 20-5*float64(kind)+rng.NormFloat64(), rng.IntN(50), []string{"oak", "ash", "elm"}[kind])
	}
	return b.String()
}

func write(t testing.TB, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// A table is what an independent reading of it says: splits by rows, labels in order, standardised columns.
func TestLoadTable(t *testing.T) {
	const header = "height,leaf width (cm),visits,species\n"
	text := plants(200, header)
	d, err := LoadTable(write(t, filepath.Join(t.TempDir(), "plants.csv"), text), TableConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if d.Features() != 3 || d.Classes() != 3 || d.Channels() != 1 || d.Len(Train)+d.Len(Valid)+d.Len(Test) != 200 {
		t.Fatalf("%d features, %d classes, %d rows to train", d.Features(), d.Classes(), d.Len(Train))
	}
	// About 160, 20 and 20 rows: binomial, with standard deviations of 5.7 and 4.2.
	if d.Len(Train) < 137 || d.Len(Valid) < 4 || d.Len(Test) < 4 {
		t.Errorf("%d, %d and %d rows", d.Len(Train), d.Len(Valid), d.Len(Test))
	}
	var rows [splits][][]float64
	var labels [splits][]string
	for line := range strings.Lines(strings.TrimPrefix(text, header)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), ",")
		s := splitOf(fields)
		var row []float64
		for _, f := range fields[:3] {
			x, _ := strconv.ParseFloat(f, 64)
			row = append(row, x)
		}
		rows[s], labels[s] = append(rows[s], row), append(labels[s], fields[3])
	}
	raw, err := LoadTable(write(t, filepath.Join(t.TempDir(), "plants.csv"), text), TableConfig{Raw: true})
	if err != nil || raw.Name() != d.Name() {
		t.Fatalf("%q and %q, %v", raw.Name(), d.Name(), err)
	}
	x := make([]float32, 3)
	for k := range 3 {
		mean, square := 0.0, 0.0
		for _, row := range rows[Train] {
			mean += row[k] / float64(len(rows[Train]))
		}
		for _, row := range rows[Train] {
			square += (row[k] - mean) * (row[k] - mean) / float64(len(rows[Train]))
		}
		for s := range Split(splits) {
			for i, row := range rows[s] {
				d.Image(x, s, i)
				if want := (row[k] - mean) / math.Sqrt(square); math.Abs(float64(x[k])-want) > 1e-6*(1+math.Abs(want)) {
					t.Fatalf("%v[%d], column %d: %v, want %v", s, i, k, x[k], want)
				}
				if got, want := d.Label(s, i), slices.Index([]string{"ash", "elm", "oak"}, labels[s][i]); got != want {
					t.Fatalf("%v[%d] has the label %d, want %d", s, i, got, want)
				}
				raw.Image(x, s, i)
				if x[k] != float32(row[k]) {
					t.Fatalf("%v[%d], column %d: raw %v, want %v", s, i, k, x[k], row[k])
				}
			}
		}
	}
	mustPanic(t, errIndex, func() { d.Target(Train, 0) })
	mustPanic(t, errIndex, func() { d.Image(x, Test, d.Len(Test)) })
	if small, err := d.Resized(1); small != nil || err == nil || !strings.Contains(err.Error(), "has no images") {
		t.Errorf("resized: %v", err)
	}
}

// The splits of rows, the checksum and the order of labels never change: names in files mean them.
func TestTableIsPinned(t *testing.T) {
	var got []string
	for i := range 24 {
		got = append(got, splitOf([]string{strconv.Itoa(i), "a"}).String()[:2])
	}
	if s := strings.Join(got, " "); s != "tr tr tr tr te tr te tr tr tr tr tr tr tr tr te te va tr va tr va te te" {
		t.Errorf("splits %s", s)
	}
	path := write(t, filepath.Join(t.TempDir(), "plants.csv"), plants(60, ""))
	d, err := LoadTable(path, TableConfig{})
	if err != nil || d.Name() != "table:plants@21ad7c24da9a2a04" {
		t.Errorf("%s, %v", d.Name(), err)
	}
	table, err := readTable("x", strings.NewReader("x,y\n1,10\n2,9\n3,-1\n4,1e1\n5,2\n"))
	if err != nil {
		t.Fatal(err)
	}
	e := &Dataset{}
	if err := table.labels(1, e); err != nil || e.classes != 5 {
		t.Fatal(err)
	}
	var labels []int // by value, and by text if values are equal
	var next [splits]int
	for _, s := range table.splits {
		labels = append(labels, int(e.parts[s].Labels[next[s]]))
		next[s]++
	}
	if !slices.Equal(labels, []int{3, 2, 0, 4, 1}) {
		t.Errorf("labels %v", labels)
	}
}

// The same content has the same checksum, however it is written; other content has another one.
func TestTableSum(t *testing.T) {
	sum := func(text string) string {
		t.Helper()
		table, err := readTable("x", iotest.HalfReader(strings.NewReader(text)))
		if err != nil {
			t.Fatal(err)
		}
		return table.sum
	}
	want := sum("a,b\n1,2\n3,4\n")
	if want != "1f781143ba0fed57" { // computed by another program
		t.Errorf("the sum is %s", want)
	}
	for _, same := range []string{"a,b\r\n1,2\r\n3,4", "\ufeffa,b\n1,2\n3,4\n", "a, b\n\"1\", 2 \n\n3,4\n"} {
		if got := sum(same); got != want {
			t.Errorf("%q has the sum %s, want %s", same, got, want)
		}
	}
	for _, other := range []string{"a,b\n1,2\n3,5\n", "a,c\n1,2\n3,4\n", "a,b\n3,4\n1,2\n", "a,b\n12,\n3,4\n"} {
		if sum(other) == want {
			t.Errorf("%q has the same sum", other)
		}
	}
}

func TestTableHeader(t *testing.T) {
	for text, want := range map[string][]string{
		"a,b\n1,2\n3,4":               {"a", "b"},
		"1,2\n3,4":                    nil,
		"5.1,oak\n4.2,ash\n":          nil, // a label is no header
		"height,kind\n4.2,ash\n5,oak": {"height", "kind"},
		"x,2\n1,3\n4,5":               {"x", "2"},
		"x,1\ny,2\nz,3":               nil, // no column of numbers begins with a name
	} {
		table, err := readTable("x", strings.NewReader(text))
		if err != nil || !slices.Equal(table.header, want) {
			t.Errorf("%q has the header %q, %v, want %q", text, table.header, err, want)
		}
	}
}

func TestTableErrors(t *testing.T) {
	many := "x,y\n"
	for i := range 300 {
		many += fmt.Sprintf("%d,%d.5\n", i, i)
	}
	numbers := "a,b,a\n"
	for i := range 100 {
		numbers += fmt.Sprintf("%d,%d,%d\n", i, i%2, i%3)
	}
	far := numbers + "1e38,1,1\n"
	for _, c := range []struct {
		name, text   string
		config       TableConfig
		line, column int
		want         string
	}{
		{"empty", "", TableConfig{}, 0, 0, "0 rows of numbers"},
		{"header alone", "a,b\n1,2\n", TableConfig{}, 0, 0, "1 rows of numbers"},
		{"one column", "a\n1\n", TableConfig{}, 1, 0, "one field; a row has at least two, separated by commas"},
		{"semicolons", "a;b\n1;2\n", TableConfig{}, 1, 0, "separated by commas"},
		{"fields", "a,b\n1,2\n\n1,2,3\n", TableConfig{}, 4, 0, "3 fields, want 2 as in the lines before"},
		{"quote", "a,b\n1,\"2\n", TableConfig{}, 2, 0, "quote"},
		{"no number", numbers + "1,2,3\n4,x,6\n", TableConfig{}, 103, 2, `"x" (b) is no finite number`},
		{"empty field", numbers + ",2,3\n", TableConfig{}, 102, 1, `"" (a) is no finite number`},
		{"NaN", numbers + "NaN,2,3\n", TableConfig{}, 102, 1, `"NaN" (a)`},
		{"infinity", numbers + "1,-Inf,3\n", TableConfig{}, 102, 2, `"-Inf" (b)`},
		{"beyond float32", numbers + "1e39,2,3\n", TableConfig{}, 102, 1, `"1e39" (a)`},
		{"no label", numbers + "1,2,\n", TableConfig{}, 102, 3, "no label (a)"},
		{"many labels", many, TableConfig{}, 0, 2, "300 different labels (y), want 2 to 256; a quantity is the target of a regression: --task regression"},
		{"one label", strings.ReplaceAll(many, ".5", "x"), TableConfig{Target: "9"}, 0, 0, `no target column "9". The columns are x, y; or take a number, 1 to 2`},
		{"no target", many, TableConfig{Target: "z"}, 0, 0, `no target column "z"`},
		{"no header", strings.TrimPrefix(numbers, "a,b,a\n"), TableConfig{Target: "b"}, 0, 0, `no target column "b": the file has no header; name the target by its number, 1 to 3`},
		{"two targets", numbers, TableConfig{Target: "a"}, 0, 0, `columns 1 and 3 are both called "a"; name the target by its number`},
		{"few rows", "a,b\n1,2\n3,4\n", TableConfig{}, 0, 0, "split of a row follows from its content: add rows"},
		{"text as a target", plants(99, ""), TableConfig{Regression: true}, 1, 4, `"oak" is no finite number`},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, filepath.Join(t.TempDir(), "data.csv"), c.text)
			d, err := LoadTable(path, c.config)
			var table *TableError
			if d != nil || !errors.As(err, &table) {
				t.Fatalf("error %v (%T)", err, err)
			}
			if table.Name != "data.csv" || table.Line != c.line || table.Column != c.column || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q of line %d and column %d, want %q at %d, %d", err, table.Line, table.Column, c.want, c.line, c.column)
			}
		})
	}
	if _, err := LoadTable(write(t, filepath.Join(t.TempDir(), "data.csv"), far), TableConfig{Target: "3"}); err != nil {
		t.Errorf("a number that is far from others, but not too far: %v", err)
	}
	for path, want := range map[string]string{"data.txt": "the name of a table ends with .csv", "my data.csv": `"my data" cannot stand in a task's name; rename it`, "none.csv": "no such file"} {
		path = filepath.Join(t.TempDir(), path)
		if !strings.HasPrefix(filepath.Base(path), "none") {
			write(t, path, many)
		}
		if _, err := LoadTable(path, TableConfig{Regression: true}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", path, err, want)
		}
	}
	broken := errors.New("cable pulled")
	if _, err := readTable("x", iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

// The tasks on a table: names with a checksum, JSON, options, the gradient in float64, a folder elsewhere, other content.
func TestTableTasks(t *testing.T) {
	home, away := t.TempDir(), t.TempDir()
	path := write(t, filepath.Join(home, "plants.csv"), plants(150, "height,leaf width (cm),visits,species\n"))
	bare := taskAlone(t, "table")
	s, dir, err := bare.WithData(path)
	if err != nil || dir != home || !strings.HasPrefix(s.Task(), "table:plants@") || strings.Contains(s.String(), home) {
		t.Fatalf("%q in %s, %v", s, dir, err)
	}
	if err := bare.Validate(); err == nil || !strings.Contains(err.Error(), "the task table needs data: name a CSV file with --data") {
		t.Errorf("no data: %v", err)
	}
	for _, c := range []struct {
		options  []string
		name     string
		features int
		classes  int
	}{
		{nil, " units=20 layers=1 activation=sigmoid batch=128", 3, 3},
		{[]string{"layers", "0", "batch", "8", "columns", "raw"}, " units=20 layers=0 activation=sigmoid batch=8 columns=raw", 3, 3},
		{[]string{"target", "species", "columns", "standard"}, " units=20 layers=1 activation=sigmoid batch=128 target=species", 3, 3},
	} {
		with := s
		for i := 0; i < len(c.options); i += 2 {
			if with, err = with.With(c.options[i], c.options[i+1]); err != nil {
				t.Fatal(err)
			}
		}
		f, err := with.Family(home)
		if err != nil {
			t.Fatal(err)
		}
		if want := s.Task() + c.name; f.Name() != want || with.String() != want || MustParse(want).String() != want {
			t.Errorf("named %q and %q, want %q", f.Name(), with, want)
		}
		p := sample(t, f, 3).(*classifier)
		theta, grad := make([]float32, p.Dim()), make([]float32, p.Dim())
		p.Init(theta)
		loss, err := p.LossGrad(theta, grad)
		if err != nil || math.Abs(loss-math.Log(3)) > 0.7 || p.family.data.Features() != c.features || p.family.data.Classes() != c.classes {
			t.Errorf("%s: loss %v of %d features and %d classes, %v", f.Name(), loss, p.family.data.Features(), p.family.data.Classes(), err)
		}
	}
	data, err := json.Marshal(s)
	var read Spec
	if err != nil || json.Unmarshal(data, &read) != nil || read != s {
		t.Errorf("JSON %s, %v", data, err)
	}
	// Elsewhere the file lies in another folder; there it is missing, then another file, then the right one.
	var missing *MissingDataError
	if _, err := s.Family(away); !errors.As(err, &missing) || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), filepath.Join(away, "plants.csv")+"; name the file with --data") {
		t.Errorf("missing: %v", err)
	}
	other := t.TempDir()
	write(t, filepath.Join(other, "plants.csv"), plants(151, "height,leaf width (cm),visits,species\n"))
	var differs *OtherDataError
	if _, err := s.Family(other); !errors.As(err, &differs) || differs.Task != s.Task() || len(differs.Sum) != 16 || strings.HasSuffix(s.Task(), differs.Sum) {
		t.Errorf("other content: %v", err)
	}
	write(t, filepath.Join(away, "plants.csv"), strings.ReplaceAll(plants(150, "height,leaf width (cm),visits,species\n"), "\n", "\r\n"))
	f, err := s.Family(away)
	if err != nil {
		t.Fatal(err)
	}
	here, err := s.Family(home)
	if err != nil {
		t.Fatal(err)
	}
	equalBits(t, trace(t, sample(t, f, 8), 5), trace(t, sample(t, here, 8), 5))
	for _, c := range []struct{ key, value, want string }{
		{"target", "specie", `did you mean "species"`}, {"target", "species,specie", `no target column "specie"`},
		{"target", "leaf width (cm)", `line 2, column 4: "oak" (species) is no finite number`},
		{"image-size", "5", "image-size does not apply to the task table:plants@"}, {"channels", "4", "channels does not apply to the task table:plants@"},
	} {
		with, err := s.With(c.key, strings.Split(c.value, ",")...)
		if err == nil {
			_, err = with.Family(home)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s=%s: error %v, want %q", c.key, c.value, err, c.want)
		}
	}
	for text, want := range map[string]string{
		"table:plants": "the data of the task table are a name, @ and 16 hexadecimal digits", "table:../x@0123456789abcdef": "16 hexadecimal digits",
		"table:plants@0123456789abcdeF": "16 hexadecimal digits", "mnist:x@0123456789abcdef": "the task mnist has its own data", "tabel:x@0123456789abcdef": `did you mean "table"`,
		"table": "the task table needs data", "regression columns=raw": "needs data", "images,mnist": "needs data: name a folder of IDX files", "char-rnn": "needs data: name a text file",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
	if _, _, err := MustParse("mnist").WithData(path); err == nil || !strings.Contains(err.Error(), "do not apply to the task mnist; the tasks that read them are images, table, regression and char-rnn") {
		t.Errorf("error %v", err)
	}
}

// taskAlone returns the Spec of a task alone.
func taskAlone(t testing.TB, name string) Spec {
	t.Helper()
	s, err := Spec{}.WithTask(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The text of a target column can be any, and is written so that names, flags and JSON can hold it.
func TestTargetsAreEscaped(t *testing.T) {
	for text, want := range map[string]string{
		"species": "species", "leaf width (cm)": "leaf%20width%20%28cm%29", "a=b": "a%3Db", "a%2Cb": "a%2Cb", "50%": "50%25", "Größe": "Gr%C3%B6%C3%9Fe", `"\<`: "%22%5C%3C", "a+b~": "a%2Bb%7E",
	} {
		s, err := MustParse("table:x@0123456789abcdef").With("target", text)
		if err != nil || s.Values("target")[0] != want {
			t.Errorf("%q is written as %v, %v, want %q", text, s.Values("target"), err, want)
			continue
		}
		if again := MustParse(s.String()); again.String() != s.String() || again.Values("target")[0] != want {
			t.Errorf("%q is read as %q", s, again)
		}
		data, err := json.Marshal(s)
		var read Spec
		if err != nil || json.Unmarshal(data, &read) != nil || read != s {
			t.Errorf("JSON %s, %v", data, err)
		}
		if o := s.lists().at(0); o.Target != unescape(text) {
			t.Errorf("%q means the column %q", text, o.Target)
		}
	}
	for _, text := range []string{"", " ", strings.Repeat("x", 201), "a\nb", "%00", "\xff"} {
		if _, err := MustParse("table:x@0123456789abcdef").With("target", text); err == nil {
			t.Errorf("%q is a target", text)
		}
	}
}

// A regression: the loss and gradient are those of the mean squared error in float64, its score has no accuracy, and
// a linear model finds a linear law.
func TestRegression(t *testing.T) {
	var b strings.Builder
	b.WriteString("x,y,z\n")
	rng := newRand(6)
	for range 400 {
		x, y := rng.NormFloat64(), 10+100*rng.NormFloat64()
		fmt.Fprintf(&b, "%v,%v,%v\n", x, y, 3-2*x+0.5*y)
	}
	path := write(t, filepath.Join(t.TempDir(), "law.csv"), b.String())
	for _, c := range []ClassifierConfig{{Batch: 16, Layers: NoLayers}, {Batch: 16, Units: 5, Activation: "tanh", WeightInit: "he"}} {
		for _, raw := range []bool{false, true} {
			d, err := LoadTable(path, TableConfig{Regression: true, Raw: raw})
			if err != nil {
				t.Fatal(err)
			}
			f, err := NewClassifier(d, c)
			if err != nil {
				t.Fatal(err)
			}
			p := sample(t, f, 2).(*classifier)
			theta, grad := make([]float32, p.Dim()), make([]float32, p.Dim())
			p.Init(theta)
			loss, err := p.LossGrad(theta, grad)
			if err != nil {
				t.Fatal(err)
			}
			// The same minibatch in float64, by differences of losses.
			inputs, targets := p.net.pixels, p.net.oneHot
			net := mlptest.Network{Widths: f.widths, Activation: "tanh"}
			mean := func(theta []float64) (sum float64) {
				for i, y := range targets {
					z := net.Logits(theta, inputs[2*i:2*i+2])[0]
					sum += (z - float64(y)) * (z - float64(y)) / float64(len(targets))
				}
				return sum
			}
			wide := make([]float64, len(theta))
			for i, x := range theta {
				wide[i] = float64(x)
			}
			if want := mean(wide); math.Abs(loss-want) > 1e-5*want {
				t.Errorf("raw %v: loss %v, want %v", raw, loss, want)
			}
			largest, size := 0.0, 0.0
			for i := range wide {
				// Central differences of a smooth function: an error of h² and of 1e-16/h of the loss.
				const h = 1e-5
				x := wide[i]
				wide[i] = x + h
				up := mean(wide)
				wide[i] = x - h
				slope := (up - mean(wide)) / (2 * h)
				wide[i] = x
				largest, size = max(largest, math.Abs(slope-float64(grad[i]))), max(size, math.Abs(slope))
			}
			if largest > 1e-4*size {
				t.Errorf("raw %v: a gradient is off by %v, of %v", raw, largest, size)
			}
		}
	}
	d, err := LoadTable(path, TableConfig{Regression: true})
	if err != nil {
		t.Fatal(err)
	}
	f, err := NewClassifier(d, ClassifierConfig{Layers: NoLayers, Batch: 32})
	if err != nil {
		t.Fatal(err)
	}
	p := sample(t, f, 3)
	theta, grad := make([]float32, p.Dim()), make([]float32, p.Dim())
	// A standardised target has mean 0 and variance 1 on the training rows.
	if loss, _, err := p.(scored).EvaluateSplit(theta, Train); err != nil || math.Abs(loss-1) > 1e-5 {
		t.Errorf("predicting 0 has the loss %v, want 1; %v", loss, err)
	}
	p.Init(theta)
	for range 300 {
		if _, err := p.LossGrad(theta, grad); err != nil {
			t.Fatal(err)
		}
		for i, g := range grad {
			theta[i] -= 0.1 * g
		}
	}
	loss, accuracy, err := p.(*classifier).Score(theta)
	if err != nil || loss > 1e-6 || !math.IsNaN(accuracy) || d.Classes() != 0 || p.Dim() != 3 {
		t.Errorf("loss %v, accuracy %v, %v", loss, accuracy, err)
	}
	mustPanic(t, errIndex, func() { d.Label(Train, 0) })
	if got := optimizer.MetricsOf(p); got != optimizer.Hessian|optimizer.Fisher|optimizer.SampledFisher|optimizer.EmpiricalFisher {
		t.Errorf("metrics %v", got)
	}
}

// Any text is an error that says where, or a table all of whose numbers are finite and whose labels are classes.
func FuzzTable(f *testing.F) {
	for _, seed := range []string{"", "a,b\n1,2\n", plants(40, "a,b,c,d\n"), plants(40, ""), "\ufeffa, b\r\n\"1\",2\r\n", "1,\"2\n", "1e39,2\n", "x,y\nNaN,1\n", numberedTable(), ",\n,\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		table, err := readTable("fuzz", bytes.NewReader(data))
		var fault *TableError
		if err != nil {
			if !errors.As(err, &fault) {
				t.Fatalf("error %v (%T) is no *TableError", err, err)
			}
			return
		}
		for _, c := range []TableConfig{{}, {Raw: true, Target: "1"}, {Regression: true}, {Regression: true, Target: "2", Raw: true}} {
			d, err := table.dataset("table:fuzz", c)
			if err != nil {
				if !errors.As(err, &fault) {
					t.Fatalf("error %v (%T) is no *TableError", err, err)
				}
				continue
			}
			n, x := 0, make([]float32, d.Features())
			for s := range Split(splits) {
				for i := range d.Len(s) {
					d.Image(x, s, i)
					if c.Regression {
						x[0] += d.Target(s, i) * 0
					} else if d.Label(s, i) >= d.Classes() {
						t.Fatalf("label %d of %d", d.Label(s, i), d.Classes())
					}
					for _, v := range x {
						if v-v != 0 {
							t.Fatalf("%v", x)
						}
					}
				}
				n += d.Len(s)
			}
			if n != len(table.rows) || d.Features() != len(table.rows[0])-1 {
				t.Fatalf("%d rows of %d features from %d of %d", n, d.Features(), len(table.rows), len(table.rows[0]))
			}
		}
	})
}
