package tasks

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"learnedopt/internal/nearest"
)

// A TableConfig says how a table in a CSV file is read as a data set. The zero value classifies by the last column, with
// standardised columns.
type TableConfig struct {
	// Target is the column that the others predict: its name in the header, or its number from 1; "" means the last
	// one. A name goes before a number.
	Target string
	// Raw keeps the columns as they are. Otherwise each column has the mean of its training rows subtracted, and is divided by
	// their standard deviation, unless that is 0; the target of a regression, too.
	Raw bool
	// Regression predicts the target as a number. Otherwise it is a label: each of its different texts is a class.
	Regression bool
}

// LoadTable returns the table in a CSV file as a data set: one example a row, F inputs, which are the columns beside the
// target. All must be finite numbers. The first row is a header if in some column it has no number and the second row has one.
//
// A row's split follows from its content: 8 in 10 rows train, one validates, one tests. The rows of a split are in the file's order. Labels
// are numbered in the order of their values if all are numbers, else in alphabetical order; there are 2 to 256.
//
// The data set is named by the file and a checksum of its content, as table:iris@0123456789abcdef or regression:…, which is a task's name
// too. Each file is read once in a process. A malformed file is a *TableError.
func LoadTable(path string, c TableConfig) (*Dataset, error) {
	t, err := openTable(path)
	if err != nil {
		return nil, err
	}
	name, err := ownName(path, tableExtension)
	if err != nil {
		return nil, err
	}
	task := tableName
	if c.Regression {
		task = regressionName
	}
	return t.dataset(task+":"+name+"@"+t.sum, c)
}

// A tableSet is a data set made of a table.
type tableSet struct {
	task   string
	config TableConfig
}

// dataset returns the table as a data set for a task.
func (t *csvTable) dataset(task string, c TableConfig) (*Dataset, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if d := t.sets[tableSet{task, c}]; d != nil {
		return d, nil
	}
	target, err := t.column(c.Target)
	if err != nil {
		return nil, err
	}
	d := &Dataset{name: task, channels: 1, rows: 1, cols: len(t.rows[0]) - 1, table: &c}
	var counts [splits]int
	for _, s := range t.splits {
		counts[s]++
	}
	for s, n := range counts {
		if n == 0 {
			return nil, t.fail(0, 0, "%d rows, none of which is in the %v split; the split of a row follows from its content: add rows", len(t.rows), Split(s))
		}
		d.numbers[s] = make([]float32, n*d.cols)
	}
	column := 0 // of the data set
	for k := range t.rows[0] {
		if k == target {
			continue
		}
		if err := t.numbers(k, c.Raw, func(s Split, i int, x float32) { d.numbers[s][i*d.cols+column] = x }); err != nil {
			return nil, err
		}
		column++
	}
	if c.Regression {
		for s, n := range counts {
			d.targets[s] = make([]float32, n)
		}
		err = t.numbers(target, c.Raw, func(s Split, i int, y float32) { d.targets[s][i] = y })
	} else {
		err = t.labels(target, d)
	}
	if err != nil {
		return nil, err
	}
	if t.sets == nil {
		t.sets = map[tableSet]*Dataset{}
	}
	t.sets[tableSet{task, c}] = d
	return d, nil
}

// column returns the index of a column by its name, or by its number from 1.
func (t *csvTable) column(name string) (int, error) {
	last := len(t.rows[0]) - 1
	if name == "" {
		return last, nil
	}
	if i := slices.Index(t.header, name); i >= 0 {
		if j := slices.Index(t.header[i+1:], name); j >= 0 {
			return 0, t.fail(0, 0, "columns %d and %d are both called %q; name the target by its number", i+1, i+j+2, name)
		}
		return i, nil
	}
	if n, err := strconv.Atoi(name); err == nil && n >= 1 && n <= last+1 {
		return n - 1, nil
	}
	if t.header == nil {
		return 0, t.fail(0, 0, "no target column %q: the file has no header; name the target by its number, 1 to %d", name, last+1)
	}
	return 0, t.fail(0, 0, "no target column %q%s The columns are %s; or take a number, 1 to %d",
		name, nearest.DidYouMean(name, t.header), strings.Join(t.header, ", "), last+1)
}

// called returns a column's name in errors.
func (t *csvTable) called(column int) string {
	if t.header == nil {
		return ""
	}
	return fmt.Sprintf(" (%s)", t.header[column])
}

// numbers reads a column and calls put with each row's split, its index there, and the number.
func (t *csvTable) numbers(column int, raw bool, put func(s Split, i int, x float32)) error {
	values := make([]float64, len(t.rows))
	n, mean := 0, 0.0
	for r, row := range t.rows {
		x, err := strconv.ParseFloat(row[column], 64)
		if err != nil || !(math.Abs(x) <= math.MaxFloat32) {
			return t.fail(t.lines[r], column+1, "%q%s is no finite number of float32; leave the row or the column out, or make it numbers", row[column], t.called(column))
		}
		values[r] = x
		if t.splits[r] == Train {
			n++
			mean += x
		}
	}
	deviation := 1.0
	if mean /= float64(n); raw {
		mean = 0
	} else {
		sum := 0.0
		for r, x := range values {
			if t.splits[r] == Train {
				sum += (x - mean) * (x - mean)
			}
		}
		if deviation = math.Sqrt(sum / float64(n)); deviation == 0 {
			deviation = 1
		}
	}
	var next [splits]int
	for r, x := range values {
		s, y := t.splits[r], float32((x-mean)/deviation)
		if math.IsInf(float64(y), 0) {
			return t.fail(t.lines[r], column+1, "%q%s is too far from the other rows to standardise the column", t.rows[r][column], t.called(column))
		}
		put(s, next[s], y)
		next[s]++
	}
	return nil
}

// labels numbers the different texts of a column and writes each row's number.
func (t *csvTable) labels(column int, d *Dataset) error {
	seen := map[string]bool{}
	var texts []string
	for r, row := range t.rows {
		text := row[column]
		if text == "" {
			return t.fail(t.lines[r], column+1, "no label%s", t.called(column))
		}
		if !seen[text] {
			seen[text] = true
			texts = append(texts, text)
		}
	}
	if len(texts) < 2 || len(texts) > maxClasses {
		return t.fail(0, column+1, "%d different labels%s, want 2 to %d; a quantity is the target of a regression: --task %s", len(texts), t.called(column), maxClasses, regressionName)
	}
	numbers := map[string]float64{}
	for _, text := range texts {
		if x, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(x) {
			numbers[text] = x
		}
	}
	slices.SortFunc(texts, func(a, b string) int {
		if len(numbers) == len(texts) && numbers[a] != numbers[b] {
			return cmp.Compare(numbers[a], numbers[b])
		}
		return strings.Compare(a, b)
	})
	class := map[string]byte{}
	for i, text := range texts {
		class[text] = byte(i)
	}
	for r, row := range t.rows {
		part := &d.parts[t.splits[r]]
		part.Labels = append(part.Labels, class[row[column]])
	}
	d.classes = len(texts)
	return nil
}
