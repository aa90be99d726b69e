package tasks

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// A TableError says where and why a table in a CSV file cannot be read.
type TableError struct {
	// Name is the file's name.
	Name string
	// Line and Column count from 1; 0 means the whole file, or the whole line or column.
	Line, Column int
	// Reason says what was found and what was expected.
	Reason string
}

// Error implements error.
func (e *TableError) Error() string {
	var where []string
	if e.Line > 0 {
		where = append(where, fmt.Sprintf("line %d", e.Line))
	}
	if e.Column > 0 {
		where = append(where, fmt.Sprintf("column %d", e.Column))
	}
	if where == nil {
		return fmt.Sprintf("tasks: %s: %s", e.Name, e.Reason)
	}
	return fmt.Sprintf("tasks: %s: %s: %s", e.Name, strings.Join(where, ", "), e.Reason)
}

// Bounds of a table. They hold before its numbers are read.
const (
	maxTableBytes = 256 << 20
	maxTableCells = 1 << 25
	maxTableCols  = 1 << 14
)

// A csvTable is a CSV file as text.
type csvTable struct {
	name   string // the file's name, for errors
	header []string
	rows   [][]string
	lines  []int // of each row in the file
	splits []Split
	sum    string

	mu   sync.Mutex
	sets map[tableSet]*Dataset
}

// readTable reads a table to its end: rows of fields that are separated by commas, as encoding/csv reads them, all of the same
// number. Spaces around a field do not count, nor a byte-order mark. name is used in errors only. A malformed
// file is a *TableError; any other error comes from r.
func readTable(name string, r io.Reader) (*csvTable, error) {
	t := &csvTable{name: filepath.Base(name)}
	limited := &io.LimitedReader{R: r, N: maxTableBytes + 1}
	in := csv.NewReader(limited)
	sum := sha256.New()
	for {
		row, err := in.Read()
		var parse *csv.ParseError
		switch {
		case limited.N <= 0:
			return nil, t.fail(0, 0, "more than %d bytes", maxTableBytes)
		case err == io.EOF:
			return t, t.close(sum)
		case errors.Is(err, csv.ErrFieldCount):
			line, _ := in.FieldPos(0)
			return nil, t.fail(line, 0, "%d fields, want %d as in the lines before", len(row), in.FieldsPerRecord)
		case errors.As(err, &parse):
			return nil, t.fail(parse.Line, 0, "%v at byte %d", parse.Err, parse.Column)
		case err != nil:
			return nil, fmt.Errorf("tasks: %s: %w", name, err)
		}
		if len(t.rows) == 0 {
			row[0] = strings.TrimPrefix(row[0], "\ufeff")
		}
		for i, field := range row {
			row[i] = strings.TrimSpace(field)
		}
		line, _ := in.FieldPos(0)
		switch {
		case len(row) < 2:
			return nil, t.fail(line, 0, "one field; a row has at least two, separated by commas")
		case len(row) > maxTableCols:
			return nil, t.fail(line, 0, "%d fields, want at most %d", len(row), maxTableCols)
		case (len(t.rows)+1)*len(row) > maxTableCells:
			return nil, t.fail(line, 0, "more than %d fields in all", maxTableCells)
		}
		t.rows, t.lines, t.splits = append(t.rows, row), append(t.lines, line), append(t.splits, splitOf(row))
		writeRow(sum, row)
	}
}

// close takes the header off and keeps the checksum.
func (t *csvTable) close(sum hash.Hash) error {
	t.sum = hex.EncodeToString(sum.Sum(nil))[:sumDigits]
	if len(t.rows) > 1 && isHeader(t.rows[0], t.rows[1]) {
		t.header, t.rows, t.lines, t.splits = t.rows[0], t.rows[1:], t.lines[1:], t.splits[1:]
	}
	if len(t.rows) < 2 {
		return t.fail(0, 0, "%d rows of numbers; want at least one to train, one to validate and one to test", len(t.rows))
	}
	return nil
}

// isHeader reports whether the first row holds names: in some column it has no number, and the second row has one.
func isHeader(first, second []string) bool {
	for i, field := range first {
		_, named := strconv.ParseFloat(field, 64)
		_, none := strconv.ParseFloat(second[i], 64)
		if named != nil && none == nil {
			return true
		}
	}
	return false
}

// writeRow writes a row so that different rows give different bytes.
func writeRow(w io.Writer, row []string) {
	var n [8]byte
	for _, field := range row {
		binary.LittleEndian.PutUint64(n[:], uint64(len(field)))
		w.Write(n[:]) // a hash never fails
		io.WriteString(w, field)
	}
	binary.LittleEndian.PutUint64(n[:], math.MaxUint64) // no field is that long
	w.Write(n[:])
}

// splitOf returns the split of a row, which depends on its fields alone: a tenth of all rows validates, a tenth tests. Equal
// rows are in one split, so that no test row was trained on.
func splitOf(row []string) Split {
	sum := sha256.New()
	writeRow(sum, row)
	switch binary.LittleEndian.Uint64(sum.Sum(nil)) % 10 {
	case 0:
		return Test
	case 1:
		return Valid
	}
	return Train
}

func (t *csvTable) fail(line, column int, format string, args ...any) error {
	return &TableError{t.name, line, column, fmt.Sprintf(format, args...)}
}
