package tasks

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"unicode"
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
	// Near is a file that looks like Path but lies where it could be that of another data set, "" if there is none.
	Near string
	// Own says that the data are the user's own. Dataset is then the task's name, and Path is the file or folder itself.
	Own bool
}

// Error implements error.
func (e *MissingDataError) Error() string {
	if e.Own {
		return fmt.Sprintf("tasks: data of the task %s not found: no %s; name the file with --data, or the folder that holds it with --data-dir or %s", e.Dataset, e.Path, DataDirEnv)
	}
	if e.Near != "" {
		return fmt.Sprintf("tasks: data set %s not found: no %s, with or without .gz, but there is %s; put the data set's four files into a folder %s/",
			e.Dataset, e.Path, e.Near, e.Dataset)
	}
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
// gzip-compressed with .gz appended. Files that another tool has put there are found under its names, too: train-images.idx3-ubyte,
// a folder of the file's name, raw/, torchvision's MNIST/raw and FashionMNIST/raw beside or in the folder, and names that differ in
// letters' case and in signs alone, of folders too. Valid is the last 5,000 images of the training file,
// Train the images before them, and Test the t10k file.
//
// Each folder is read once in a process, and the data set is shared. A missing file
// is a *MissingDataError, a malformed one a *FormatError.
func LoadIDXDataset(dir, name string) (*Dataset, error) {
	return loadOnce(filepath.Join(dir, name), name, readIDXDataset)
}

// loadOnce returns the data set of a name that read makes of the files in folder. It is read once in a process.
func loadOnce(folder, name string, read func(folder, name string) (*Dataset, error)) (*Dataset, error) {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return nil, fmt.Errorf("tasks: data set %s: %w", name, err)
	}
	return loaded.get(loadKey{folder, name}, func() (*Dataset, error) { return read(folder, name) })
}

// loaded holds the data sets that have been read. One folder may hold the files of several.
var loaded cache[Dataset]

// A cache keeps what was read. Different entries are read at the same time, and one only once.
type cache[T any] struct {
	mu      sync.Mutex
	entries map[loadKey]*loadEntry[T]
}

type loadKey struct{ folder, name string }

type loadEntry[T any] struct {
	mu   sync.Mutex
	data *T
}

// get returns an entry, which read makes if it is not there.
func (c *cache[T]) get(key loadKey, read func() (*T, error)) (*T, error) {
	c.mu.Lock()
	entry := c.entries[key]
	if entry == nil {
		if entry = (&loadEntry[T]{}); c.entries == nil {
			c.entries = map[loadKey]*loadEntry[T]{}
		}
		c.entries[key] = entry
	}
	c.mu.Unlock()
	// An error is not remembered: the user may fetch the data and try again.
	entry.mu.Lock()
	defer entry.mu.Unlock()
	var err error
	if entry.data == nil {
		entry.data, err = read()
	}
	return entry.data, err
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

// readIDXFile reads path or path.gz, or the same file where other tools put it (idxPlaces). An array of another rank is a *FormatError.
func readIDXFile(name, path string, rank int) (IDX, error) {
	f, err := openFirst(idxPlaces(name, path))
	if errors.Is(err, fs.ErrNotExist) {
		f, err = openFirst(alike(name, path))
	}
	if errors.Is(err, fs.ErrNotExist) {
		above := filepath.Dir(filepath.Dir(path))
		near := ""
		if found := append(similar(above, filepath.Base(path)), similar(filepath.Join(above, "raw"), filepath.Base(path))...); len(found) > 0 {
			near = found[0]
		}
		return IDX{}, &MissingDataError{Dataset: name, Path: path, Near: near}
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

// torchFolders are the names that torchvision gives the folders of data sets.
var torchFolders = map[string]string{"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}

// idxPlaces returns where a file of a data set may be: at path, with a dot in its name as some mirrors and archives
// have it, in a folder of its own name, in raw/ below, where torchvision's downloads are, and, if the folder above has the
// data set's name, there; each raw or with .gz.
func idxPlaces(name, path string) []string {
	folder, file := filepath.Split(path)
	above := filepath.Dir(filepath.Clean(folder))
	folders := []string{folder, filepath.Join(folder, "raw")}
	if strings.EqualFold(filepath.Base(above), name) { // the data set's own folder was named, not the one above it
		folders = append(folders, above, filepath.Join(above, "raw"))
	}
	if torch, ok := torchFolders[name]; ok {
		folders = append(folders, filepath.Join(above, torch, "raw"), filepath.Join(folder, torch, "raw"))
	}
	dotted := strings.Replace(file, "-idx", ".idx", 1)
	var places []string
	for _, dir := range folders {
		for _, file := range []string{file, dotted} {
			at := filepath.Join(dir, file)
			places = append(places, at, at+".gz", filepath.Join(at, file), filepath.Join(at, dotted))
		}
	}
	return places
}

// alike returns the files of a data set whose names, or whose folders' names, differ from those of idxPlaces in the case of letters and in
// signs alone, as mnist/TRAIN-IMAGES-IDX3-UBYTE.GZ and fashion_mnist/train-images-idx3-ubyte.
func alike(name, path string) (found []string) {
	folder := filepath.Dir(path)
	folders := append([]string{folder}, similar(filepath.Dir(folder), name)...)
	for _, dir := range folders {
		for _, dir := range []string{dir, filepath.Join(dir, "raw")} {
			found = append(found, similar(dir, filepath.Base(path))...)
		}
	}
	return found
}

// similar returns the entries of a folder whose names have the letters and digits of name, with or without .gz or .idx at the end.
func similar(dir, name string) (found []string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		bare := strings.ToLower(e.Name())
		for _, end := range []string{".gz", ".idx"} {
			bare = strings.TrimSuffix(bare, end)
		}
		if plain(bare) == plain(name) {
			found = append(found, filepath.Join(dir, e.Name()))
		}
	}
	return found
}

// plain returns the letters and digits of a name, in lower case.
func plain(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, name)
}

// openFirst opens the first of these files that exists and is no folder.
func openFirst(paths []string) (*os.File, error) {
	for _, path := range paths {
		switch info, err := os.Stat(path); {
		case err == nil && info.IsDir(), errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
			continue
		}
		return os.Open(path)
	}
	return nil, fs.ErrNotExist
}
