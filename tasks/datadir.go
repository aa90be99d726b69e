package tasks

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// DataDirEnv is the environment variable that names the data folder.
const DataDirEnv = "METAOPT_DATA"

// DataDir returns the folder of the data sets: the flag if it is not empty, else the environment variable
// METAOPT_DATA, else metaopt/data in the user's cache folder. Each data set lies in a subfolder of its name.
func DataDir(flag string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	if dir := os.Getenv(DataDirEnv); dir != "" {
		return dir, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("tasks: no data folder: %w; name one with --data-dir or %s", err, DataDirEnv)
	}
	return filepath.Join(cache, "metaopt", "data"), nil
}

// A MissingDataError says that a file of a data set does not exist.
type MissingDataError struct {
	// Dataset is the data set's name. Path is the missing file: neither
	// Path nor Path.gz exists.
	Dataset, Path string
}

// Error implements error.
func (e *MissingDataError) Error() string {
	return fmt.Sprintf("tasks: data set %s not found: no %s, with or without .gz; run `metaopt data fetch %s`, or name the folder that holds %s/ with --data-dir or %s",
		e.Dataset, e.Path, e.Dataset, e.Dataset, DataDirEnv)
}

// Unwrap returns fs.ErrNotExist.
func (e *MissingDataError) Unwrap() error { return fs.ErrNotExist }

// The parts of a data set in IDX files; each part has a file of images and a file of labels.
const (
	idxTrain = "train"
	idxTest  = "t10k"
)

// idxFiles returns the paths of a part's images and labels, without .gz.
func idxFiles(dir, part string) (images, labels string) {
	return filepath.Join(dir, part+"-images-idx3-ubyte"), filepath.Join(dir, part+"-labels-idx1-ubyte")
}

// idxValid is the size of the validation split, which is the last images of the
// training file. It gives MNIST's usual split of 55,000 and 5,000.
const idxValid = 5000

// LoadMNIST returns MNIST (LeCun, Cortes, Burges), images of 28×28 in 10 classes, from
// dir/mnist: see LoadIDXDataset.
func LoadMNIST(dir string) (*Dataset, error) { return LoadIDXDataset(dir, "mnist") }

// LoadIDXDataset returns the data set in the folder dir/name. It must have the four files of MNIST and
// Fashion-MNIST (Xiao et al. 2017), {train,t10k}-{images-idx3,labels-idx1}-ubyte, each raw or
// gzip-compressed with .gz appended. Valid is the last 5,000 images of the training file,
// Train the images before them, and Test the t10k file.
//
// Each folder is read once in a process, and the data set is shared. A missing file
// is a *MissingDataError, a malformed one a *FormatError.
func LoadIDXDataset(dir, name string) (*Dataset, error) {
	folder, err := filepath.Abs(filepath.Join(dir, name))
	if err != nil {
		return nil, fmt.Errorf("tasks: data set %s: %w", name, err)
	}
	loaded.Lock()
	entry := loaded.entries[folder]
	if entry == nil {
		entry = &loadEntry{}
		loaded.entries[folder] = entry
	}
	loaded.Unlock()
	// An error is not remembered: the user may fetch the data and try again.
	entry.Lock()
	defer entry.Unlock()
	if entry.data == nil {
		entry.data, err = readIDXDataset(folder, name)
	}
	return entry.data, err
}

// loaded holds the data sets that have been read, by folder.
var loaded = struct {
	sync.Mutex
	entries map[string]*loadEntry
}{entries: map[string]*loadEntry{}}

type loadEntry struct {
	sync.Mutex
	data *Dataset
}

func readIDXDataset(folder, name string) (*Dataset, error) {
	train, rows, cols, err := readIDXPart(folder, name, idxTrain)
	if err != nil {
		return nil, err
	}
	test, testRows, testCols, err := readIDXPart(folder, name, idxTest)
	if err != nil {
		return nil, err
	}
	if rows != testRows || cols != testCols {
		return nil, fmt.Errorf("tasks: data set %s in %s: training images are %d×%d, test images %d×%d", name, folder, rows, cols, testRows, testCols)
	}
	n := len(train.Labels) - idxValid
	if n < 1 {
		return nil, fmt.Errorf("tasks: data set %s in %s: %d training images, want more than the %d that validate", name, folder, len(train.Labels), idxValid)
	}
	cut := n * rows * cols
	return NewDataset(name, rows, cols, 10,
		Part{train.Pixels[:cut:cut], train.Labels[:n:n]}, Part{train.Pixels[cut:], train.Labels[n:]}, test)
}

// readIDXPart reads the images and the labels of one part.
func readIDXPart(folder, name, part string) (p Part, rows, cols int, err error) {
	imagesPath, labelsPath := idxFiles(folder, part)
	images, err := readIDXFile(name, imagesPath, 3)
	if err != nil {
		return p, 0, 0, err
	}
	labels, err := readIDXFile(name, labelsPath, 1)
	if err != nil {
		return p, 0, 0, err
	}
	if images.Dims[0] != labels.Dims[0] {
		return p, 0, 0, &FormatError{Name: labelsPath, Offset: 4, Reason: fmt.Sprintf("%d labels for %d images", labels.Dims[0], images.Dims[0])}
	}
	return Part{images.Data, labels.Data}, images.Dims[1], images.Dims[2], nil
}

// readIDXFile reads path or path.gz. An array of another rank is a *FormatError.
func readIDXFile(name, path string, rank int) (IDX, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = os.Open(path + ".gz")
		if errors.Is(err, fs.ErrNotExist) {
			return IDX{}, &MissingDataError{Dataset: name, Path: path}
		}
	}
	if err != nil {
		return IDX{}, fmt.Errorf("tasks: data set %s: %w", name, err)
	}
	defer f.Close()
	a, err := ReadIDX(f.Name(), f)
	if err == nil && len(a.Dims) != rank {
		err = &FormatError{Name: f.Name(), Offset: 3, Reason: fmt.Sprintf("rank %d, want %d", len(a.Dims), rank)}
	}
	return a, err
}
