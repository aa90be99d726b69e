package htmlreport

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"

	"learnedopt/sweep/results"
)

// The files that a page is made from.
const (
	logFile       = "log.jsonl"
	resultFile    = "result.json"
	sweepFile     = results.ManifestFile
	cellsFile     = results.CellsFile
	optimizerFile = "optimizer.mopt"
	tableFile     = "results.csv"
)

// maxDocument is the size of the longest JSON document that is read, in bytes.
const maxDocument = 64 << 20

// A folder is root or a folder below it. It opens no file outside root, whatever
// symbolic links the folder holds.
type folder struct {
	root string
	rel  string // path from root, with slashes; "." is root itself
}

// open opens a file for reading. It starts from the path of root each time, so that it finds a folder again that was
// removed and made anew.
func (d folder) open(name string) (*os.File, error) {
	root, err := os.OpenRoot(d.root)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	// Without O_NONBLOCK, opening a pipe without a writer would block forever.
	f, err := root.OpenFile(filepath.FromSlash(path.Join(d.rel, name)), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", name)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// kind returns "run", "sweep", or "" if the folder has no file of a run or a sweep.
func (d folder) kind() string {
	for _, c := range []struct{ file, kind string }{
		{cellsFile, "sweep"}, {sweepFile, "sweep"}, {logFile, "run"}, {resultFile, "run"},
	} {
		if f, err := d.open(c.file); err == nil {
			f.Close()
			return c.kind
		}
	}
	return ""
}

// A document is a JSON file that its writer replaces as a whole.
type document struct {
	name string
	info fs.FileInfo
}

// changed reads the file if it has changed since the last call. If the file no longer exists, data is nil.
func (doc *document) changed(d folder) (data []byte, changed bool, err error) {
	f, err := d.open(doc.name)
	if errors.Is(err, fs.ErrNotExist) {
		changed = doc.info != nil
		doc.info = nil
		return nil, changed, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, false, err
	}
	if doc.info != nil && os.SameFile(doc.info, info) && doc.info.Size() == info.Size() && doc.info.ModTime().Equal(info.ModTime()) {
		return nil, false, nil
	}
	doc.info = info
	if data, err = io.ReadAll(io.LimitReader(f, maxDocument+1)); err != nil {
		return nil, true, err
	}
	if len(data) > maxDocument {
		return nil, true, fmt.Errorf("%s is longer than %d MiB", doc.name, maxDocument>>20)
	}
	return data, true, nil
}

// A File is a file that a page was made from.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"` // bytes
	SHA256 string `json:"sha256"`
}

// digests returns the size and the SHA-256 sum of each known file in the folder.
func (d folder) digests() ([]File, error) {
	var files []File
	for _, name := range []string{logFile, resultFile, optimizerFile, sweepFile, cellsFile, tableFile} {
		f, err := d.open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		sum := sha256.New()
		size, err := io.Copy(sum, f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		files = append(files, File{name, size, hex.EncodeToString(sum.Sum(nil))})
	}
	return files, nil
}
