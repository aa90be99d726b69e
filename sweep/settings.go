package sweep

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"

	"learnedopt/internal/nearest"
)

// A File is the content of a configuration file: settings, whose keys are names of flags, and the axes of the
// table [axes]. Both are in the order of the file.
type File struct {
	Path     string
	Settings []Setting
	Axes     []Axis
}

// A Setting is a key of a configuration file with one value or a list of them.
type Setting struct {
	Key    string
	Values []string
	// Line is the line of the key in the file, 0 if it is not known.
	Line int
}

// axesTable is the name of the table that holds the axes in a configuration file.
const axesTable = "axes"

// A ConfigError is a mistake in a configuration file.
type ConfigError struct {
	Path string
	Line int // 0 if it is not known
	Err  error
}

// Error implements error.
func (e *ConfigError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %v", e.Path, e.Err)
	}
	return fmt.Sprintf("%s:%d: %v", e.Path, e.Line, e.Err)
}

// Unwrap returns the cause.
func (e *ConfigError) Unwrap() error { return e.Err }

// ReadFile reads a configuration file in TOML; keys are the settings that it may hold. A key that is neither among them nor
// an axis is a *ConfigError that names the nearest known key. A value that its axis cannot take is a *ConfigError too. The
// caller checks the values of settings.
func ReadFile(path string, keys []string) (*File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err
	}
	return parse(path, data, keys)
}

// Bounds on a configuration file. The TOML parser's time and memory grow with the square of
// a key's depth: 32 KiB of dots take half a minute and 10 GB.
const (
	maxFile   = 64 << 10
	maxLine   = 1000
	maxTables = 64 // opening braces, each of which may begin an inline table
)

// checkBounds returns an error if a file exceeds the bounds, with the number of the line that does so, 0 for the whole file.
func checkBounds(data []byte) (int, error) {
	if len(data) > maxFile {
		return 0, fmt.Errorf("longer than %d KiB: it is no configuration of a sweep", maxFile>>10)
	}
	tables := 0
	for i, line := range bytes.Split(data, []byte("\n")) {
		if len(line) > maxLine {
			return i + 1, fmt.Errorf("a line of %d bytes; break it in lines of at most %d", len(line), maxLine)
		}
		if tables += bytes.Count(line, []byte("{")); tables > maxTables {
			return i + 1, fmt.Errorf("more than %d braces; write axes below [%s]", maxTables, axesTable)
		}
	}
	return 0, nil
}

func parse(path string, data []byte, keys []string) (*File, error) {
	if line, err := checkBounds(data); err != nil {
		return nil, &ConfigError{path, line, err}
	}
	data = bytes.TrimPrefix(data, []byte("\uFEFF")) // the byte-order mark of some editors
	var values map[string]any
	md, err := toml.Decode(string(data), &values)
	var bad toml.ParseError
	if errors.As(err, &bad) {
		message := bad.Message
		if strings.HasSuffix(message, "out of range for int64") {
			message += ": TOML has no larger integers; write it in quotes, as seed = \"18446744073709551615\""
		}
		return nil, &ConfigError{path, bad.Position.Line, fmt.Errorf("%s", message)}
	} else if err != nil {
		return nil, &ConfigError{path, 0, err}
	}
	f := &File{Path: path}
	for _, key := range md.Keys() {
		if err := f.add(key, values, keys); err != nil {
			return nil, &ConfigError{path, lineOf(string(data), key), err}
		}
	}
	for i := range f.Settings {
		f.Settings[i].Line = lineOf(string(data), toml.Key{f.Settings[i].Key})
	}
	return f, nil
}

// add adds one key of the file to the settings or to the axes.
func (f *File) add(key toml.Key, values map[string]any, keys []string) error {
	if key[0] == axesTable {
		table, ok := values[axesTable].(map[string]any)
		if !ok {
			return fmt.Errorf("%s is a table: write [%[1]s] on a line of its own and the axes below it, as units = [5, 10]", axesTable)
		}
		if len(key) == 1 {
			return nil
		}
		value := table[key[1]]
		list, err := scalars(value)
		if err != nil {
			if _, unknown := parserOf(key[1]); unknown != nil {
				return unknown
			}
			return fmt.Errorf("axis %s: %w", key[1], err)
		}
		axis, err := NewAxis(key[1], list)
		if err != nil {
			return err
		}
		f.Axes = append(f.Axes, axis)
		return nil
	}
	if !slices.Contains(keys, key[0]) {
		all := append(slices.Clone(keys), axesTable)
		if slices.Contains(AxisKeys(), key[0]) { // an axis that is no flag
			return fmt.Errorf("%s is an axis; write it below [%s]", key[0], axesTable)
		}
		return fmt.Errorf("no key %q%s The keys are %s", key[0], nearest.DidYouMean(key[0], all), strings.Join(all, ", "))
	}
	list, err := scalars(values[key[0]])
	if err != nil {
		return fmt.Errorf("%s: %w", key[0], err)
	}
	f.Settings = append(f.Settings, Setting{Key: key[0], Values: list})
	return nil
}

// scalars returns a value, or a list of values, as text.
func scalars(value any) ([]string, error) {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	var texts []string
	for _, v := range list {
		switch v := v.(type) {
		case string:
			texts = append(texts, v)
		case int64:
			texts = append(texts, strconv.FormatInt(v, 10))
		case float64:
			texts = append(texts, strconv.FormatFloat(v, 'g', -1, 64))
		case bool:
			texts = append(texts, strconv.FormatBool(v))
		default:
			return nil, fmt.Errorf("a %T is no value here; write text, a number, true or false, or a list of them", v)
		}
	}
	return texts, nil
}

// lineOf returns the number of the line that holds a key, 0 if none is found. The TOML decoder does not give it.
func lineOf(data string, key toml.Key) int {
	table, number := "", 0
	want := strings.Join(key, ".")
	for line := range strings.Lines(data) {
		number++
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			if name, _, ok := strings.Cut(strings.Trim(line, "[ "), "]"); ok && !strings.ContainsAny(name, ",") {
				table = plainKey(name)
				if table == want {
					return number
				}
			}
			continue
		}
		name, _, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		if name = plainKey(name); table != "" {
			name = table + "." + name
		}
		// A line holds the whole key or, if its value is an inline table, the beginning of the key.
		if name == want || strings.HasPrefix(want, name+".") {
			return number
		}
	}
	return 0
}

// plainKey removes spaces and quotes around each part of a dotted key.
func plainKey(name string) string {
	parts := strings.Split(name, ".")
	for i, p := range parts {
		parts[i] = strings.Trim(strings.TrimSpace(p), `"'`)
	}
	return strings.Join(parts, ".")
}
