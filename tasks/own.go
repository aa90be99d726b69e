package tasks

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// The tasks on data of the user's own. Their names in a Spec go on with what the data are: table:iris@0123456789abcdef.
const (
	imagesName     = "images"
	tableName      = "table"
	regressionName = "regression"
	charRNNName    = "char-rnn"

	tableExtension = ".csv"
	// sumDigits is the number of hexadecimal digits of a checksum in a name. 64 bits tell files apart by accident, not by intent.
	sumDigits = 16
)

var (
	plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	ownData   = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]{0,63})@([0-9a-f]{16})$`)
)

// An OtherDataError says that a file does not have the content that a task names.
type OtherDataError struct {
	// Task is the task's name, with the checksum of its data. Path is the file or folder, and Sum the checksum of its content.
	Task, Path, Sum string
}

// Error implements error.
func (e *OtherDataError) Error() string {
	return fmt.Sprintf("tasks: %s has the checksum %s: it is not the data of the task %s; name the right file with --data, or the folder that holds it with --data-dir or %s",
		e.Path, e.Sum, e.Task, DataDirEnv)
}

// ownName returns the name of a file or folder in a task's name: without its folder, so that it means the same on other machines,
// and without the extension.
func ownName(path, extension string) (string, error) {
	whole, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("tasks: %s: %w", path, err)
	}
	name := strings.TrimSuffix(filepath.Base(whole), extension)
	if !plainName.MatchString(name) {
		return "", fmt.Errorf("tasks: %s: %q cannot stand in a task's name; rename it: up to 64 letters, digits, dots, dashes and underscores, with a letter or digit first", path, name)
	}
	return name, nil
}

// splitTask returns a task's name before the colon and the data after it.
func splitTask(name string) (base, data string) {
	base, data, _ = strings.Cut(name, ":")
	return base, data
}

// withData returns a task of the catalog with the data that its name in a Spec goes on with.
func (t task) withData(name, data string) (task, error) {
	switch {
	case name == t.name:
		return t, nil
	case !t.own:
		return task{}, fmt.Errorf("tasks: %q: the task %s has its own data; leave the rest out", name, t.name)
	case !ownData.MatchString(data):
		return task{}, fmt.Errorf("tasks: %q: the data of the task %s are a name, @ and %d hexadecimal digits, which follow from a file: name it with --data", name, t.name, sumDigits)
	}
	t.name, t.data = name, data
	return t, nil
}

// needsData returns an error if the task's data are not named.
func (t task) needsData() error {
	if !t.own || t.data != "" {
		return nil
	}
	what := "a CSV file"
	switch t.kind {
	case images:
		what = "a folder of IDX files"
	case textTasks:
		what = "a text file"
	}
	return fmt.Errorf("tasks: the task %s needs data: name %s with --data", t.name, what)
}

// WithData names the data of the tasks images, table, regression and char-rnn: a folder of IDX files (see LoadImages), a CSV file (see LoadTable), or a text file (see LoadText). The
// Spec returned has the name and a checksum of the content, but not where the data are: dir is the folder that holds them, which
// Family needs, on this or any other machine. It is an error if the Spec has no such task.
func (s Spec) WithData(path string) (with Spec, dir string, err error) {
	of, err := s.tasks()
	if err != nil {
		return Spec{}, "", err
	}
	var names []string
	own := false
	for _, t := range of {
		base, _ := splitTask(t.name)
		if t.own {
			own = true
			if base, err = nameOf(base, path); err != nil {
				return Spec{}, "", err
			}
		} else {
			base = t.name
		}
		names = append(names, base)
	}
	if !own {
		return Spec{}, "", fmt.Errorf("tasks: data of your own do not apply to the task %s; the tasks that read them are %s, %s, %s and %s", s.task, imagesName, tableName, regressionName, charRNNName)
	}
	whole, err := filepath.Abs(path)
	if err != nil {
		return Spec{}, "", fmt.Errorf("tasks: %s: %w", path, err)
	}
	s.task = strings.Join(names, ",")
	return s, filepath.Dir(whole), nil
}

// nameOf returns the name of a task on the data at path.
func nameOf(base, path string) (string, error) {
	switch base {
	case imagesName:
		d, err := LoadImages(path)
		if err != nil {
			return "", err
		}
		return d.name, nil
	case charRNNName:
		t, err := LoadText(path)
		if err != nil {
			return "", err
		}
		return base + ":" + t.Name(), nil
	}
	name, err := ownName(path, tableExtension)
	if err != nil {
		return "", err
	}
	t, err := openTable(path)
	if err != nil {
		return "", err
	}
	return base + ":" + name + "@" + t.sum, nil
}

// openOwn reads the task's data from the folder dir, into s.data, s.table or s.text.
func (s *source) openOwn(dir string) error {
	dir, err := DataDir(dir)
	if err != nil {
		return err
	}
	parts := ownData.FindStringSubmatch(s.task.data)
	path, sum := filepath.Join(dir, parts[1]), ""
	switch s.kind {
	case images:
		if s.data, err = LoadImages(path); err == nil {
			_, sum, _ = strings.Cut(s.data.name, "@")
		}
	case textTasks:
		path += textExtension
		if s.text, err = LoadText(path); err == nil {
			sum = s.text.sum
		}
	default:
		path += tableExtension
		if s.table, err = openTable(path); err == nil {
			sum = s.table.sum
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &MissingDataError{Dataset: s.name, Path: path, Own: true}
	case err == nil && sum != parts[2]:
		return &OtherDataError{s.name, path, sum}
	}
	return err
}

// openTable returns the table in a CSV file. It is read once in a process.
func openTable(path string) (*csvTable, error) {
	if filepath.Ext(path) != tableExtension {
		return nil, fmt.Errorf("tasks: %s: the name of a table ends with %s", path, tableExtension)
	}
	whole, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("tasks: %s: %w", path, err)
	}
	return csvTables.get(loadKey{folder: whole}, func() (*csvTable, error) { return readFile(path, readTable) })
}

// csvTables holds the tables that have been read.
var csvTables cache[csvTable]

// LoadImages returns the data set in a folder of four IDX files of unsigned bytes: images and labels to train, images and labels to
// test. A file's name says what it is: it has the words images or labels, and train, or test or t10k. It is raw or gzip-compressed with .gz
// appended. MNIST's files have such names, and those of EMNIST. Images are grey, of any size, and all of one. The number of classes is one more than the greatest label.
//
// Valid is the last tenth of the training images, but no more than 5,000. Train is the images before them, and Test the test file.
//
// The data set is named by the folder and a checksum of its content, as images:emnist@0123456789abcdef, which is a task's name too. Each
// folder is read once in a process. A malformed file is a *FormatError.
func LoadImages(folder string) (*Dataset, error) { return loadOnce(folder, imagesName, readImages) }

func readImages(folder, _ string) (*Dataset, error) {
	base, err := ownName(folder, "")
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	read := func(rank int, words ...string) (IDX, error) {
		path, err := oneFile(folder, words)
		if err != nil {
			return IDX{}, err
		}
		a, err := readFile(path, ReadIDX)
		if err != nil {
			return a, err
		}
		if len(a.Dims) != rank {
			return a, &FormatError{Name: path, Offset: 3, Reason: fmt.Sprintf("rank %d, want %d", len(a.Dims), rank)}
		}
		for _, d := range a.Dims {
			binary.Write(sum, binary.LittleEndian, uint64(d)) // a hash never fails
		}
		sum.Write(a.Data)
		return a, nil
	}
	var parts [2]Part
	var dims [2][]int
	for i, words := range [][]string{{"train"}, {"test", "t10k"}} {
		x, err := read(3, append([]string{"images"}, words...)...)
		if err != nil {
			return nil, err
		}
		labels, err := read(1, append([]string{"labels"}, words...)...)
		if err != nil {
			return nil, err
		}
		if x.Dims[0] != labels.Dims[0] {
			return nil, fmt.Errorf("tasks: %s: %d labels for %d images to %s", folder, labels.Dims[0], x.Dims[0], words[0])
		}
		parts[i], dims[i] = Part{Pixels: x.Data, Labels: labels.Data}, x.Dims[1:]
	}
	train, test := parts[0], parts[1]
	if !slices.Equal(dims[0], dims[1]) {
		return nil, fmt.Errorf("tasks: %s: training images have %d×%d pixels, test images %d×%d", folder, dims[0][0], dims[0][1], dims[1][0], dims[1][1])
	}
	valid := min(len(train.Labels)/10, idxValid)
	if valid == 0 {
		return nil, fmt.Errorf("tasks: %s: %d training images, want at least 10, of which a tenth validates", folder, len(train.Labels))
	}
	n := len(train.Labels) - valid
	cut := n * dims[0][0] * dims[0][1]
	name := imagesName + ":" + base + "@" + hex.EncodeToString(sum.Sum(nil))[:sumDigits]
	return NewDataset(name, dims[0][0], dims[0][1], 1+int(max(slices.Max(train.Labels), slices.Max(test.Labels))),
		Part{Pixels: train.Pixels[:cut:cut], Labels: train.Labels[:n:n]}, Part{Pixels: train.Pixels[cut:], Labels: train.Labels[n:]}, test)
}

// oneFile returns the one IDX file in a folder whose name has the first word and one of the others. A raw file goes before its .gz.
func oneFile(folder string, words []string) (string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return "", fmt.Errorf("tasks: %w", err)
	}
	var found []string
	for _, e := range entries {
		name := strings.ToLower(e.Name())
		if e.IsDir() || !strings.Contains(name, words[0]) || !strings.Contains(name, "idx") ||
			!slices.ContainsFunc(words[1:], func(w string) bool { return strings.Contains(name, w) }) {
			continue
		}
		if len(found) > 0 && name == strings.ToLower(found[len(found)-1])+".gz" {
			continue
		}
		found = append(found, e.Name())
	}
	if len(found) == 1 {
		return filepath.Join(folder, found[0]), nil
	}
	return "", fmt.Errorf("tasks: %s: %d files for the %s to %s (%s), want one whose name has %[3]s, %[6]s and idx, as in train-images-idx3-ubyte",
		folder, len(found), words[0], words[1], strings.Join(found, ", "), strings.Join(words[1:], " or "))
}
