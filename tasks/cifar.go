package tasks

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

const (
	cifarName     = "cifar10"
	cifarGreyName = "cifar10-grey"
	cifarSide     = 32
	cifarPlane    = cifarSide * cifarSide
	cifarClasses  = 10
	cifarRecord   = 1 + 3*cifarPlane
	// maxCIFARSize bounds the data of one file. The files of CIFAR-10 have 31 MB.
	maxCIFARSize = 640 << 20

	cifarTrain   = "data_batch_*.bin"
	cifarTest    = "test_batch*.bin"
	cifarFolder  = "cifar-10-batches-bin"
	cifarArchive = "cifar-10-binary.tar.gz"
)

// LoadCIFAR10 returns CIFAR-10 (Krizhevsky 2009), 32×32 images in colour and in 10 classes, from dir/cifar10. An image's
// three channels are red, green and blue, in this order, as in the files.
//
// The folder holds what `metaopt data fetch cifar10` puts there, the archive cifar-10-binary.tar.gz. Its files may also lie in the
// folder themselves, or in cifar-10-batches-bin below it: data_batch_*.bin to train and test_batch*.bin to test, each raw or
// gzip-compressed with .gz appended. They then go before the archive. Not all of them need to be there. Valid is the last tenth of the
// training images, in the order of the files' names: of all 50,000 the last 5,000. Train is the images before them, and Test the test files.
//
// Each folder is read once in a process, and the data set is shared. A missing file is a *MissingDataError, a malformed one
// a *FormatError.
func LoadCIFAR10(dir string) (*Dataset, error) { return loadCIFAR10(dir, cifarName) }

// LoadCIFAR10Grey is LoadCIFAR10 for the images' luminance, one channel,
//
//	y = 0.299 r + 0.587 g + 0.114 b   (ITU-R BT.601),
//
// rounded to the nearest byte.
func LoadCIFAR10Grey(dir string) (*Dataset, error) { return loadCIFAR10(dir, cifarGreyName) }

// loadCIFAR10 returns the data set of a name, one of two.
func loadCIFAR10(dir, name string) (*Dataset, error) {
	return loadOnce(filepath.Join(dir, cifarName), name, readCIFAR10)
}

// ReadCIFAR10 reads one file of CIFAR-10's binary records, gzip-compressed or raw, to its end. A record is a byte with
// the label, 0 to 9, and 3,072 bytes with the planes of red, green and blue, rows of 32 pixels one after the other.
// name is used in errors only. A malformed file, and one without a record, is a *FormatError; any other
// error comes from r.
func ReadCIFAR10(name string, r io.Reader) (Part, error) {
	in, err := newDataReader(name, r)
	if err != nil {
		return Part{}, err
	}
	return in.cifar10()
}

// cifar10 reads records to the end of the file.
func (in *dataReader) cifar10() (p Part, err error) {
	var record [cifarRecord]byte
	for {
		start, n := in.offset, len(p.Labels)
		// Whether there is another record shows in its first byte: an end after it is a fault.
		if _, err := io.ReadFull(in, record[:1]); err == io.EOF && n > 0 {
			return p, nil
		} else if err != nil {
			return Part{}, in.wrap(err, fmt.Sprintf("record %d of %d bytes", n, cifarRecord))
		}
		if err := in.full(record[1:], fmt.Sprintf("record %d of %d bytes", n, cifarRecord)); err != nil {
			return Part{}, err
		}
		if record[0] >= cifarClasses {
			return Part{}, in.failAt(start, "record %d has the label %d, want below %d: not a file of CIFAR-10's binary records", n, record[0], cifarClasses)
		}
		if in.offset > maxCIFARSize {
			return Part{}, in.failAt(start, "more than %d bytes of records", maxCIFARSize)
		}
		p.Labels = append(p.Labels, record[0])
		p.Pixels = append(p.Pixels, record[1:]...)
	}
}

// readCIFAR10 reads the data set of a name from the files in folder.
func readCIFAR10(folder, name string) (*Dataset, error) {
	parts, err := cifarFiles(folder)
	if err != nil {
		return nil, err
	}
	channels := 3
	if name == cifarGreyName {
		channels = 1
		for base, p := range parts {
			parts[base] = Part{grey(p.Pixels), p.Labels}
		}
	}
	train, test := cifarPart(parts, cifarTrain), cifarPart(parts, cifarTest)
	n := len(train.Labels)
	switch valid := n / 10; {
	case len(test.Labels) == 0:
		return nil, &MissingDataError{Dataset: cifarName, Path: filepath.Join(folder, "test_batch.bin")}
	case n == 0:
		return nil, &MissingDataError{Dataset: cifarName, Path: filepath.Join(folder, "data_batch_1.bin")}
	case valid == 0:
		return nil, fmt.Errorf("tasks: data set %s in %s: %d training images, want at least 10, of which a tenth validates", name, folder, n)
	default:
		n -= valid
	}
	cut := n * channels * cifarPlane
	return NewChannels(name, channels, cifarSide, cifarSide, cifarClasses,
		Part{train.Pixels[:cut:cut], train.Labels[:n:n]}, Part{train.Pixels[cut:], train.Labels[n:]}, test)
}

// cifarPart joins the parts whose names match, in the order of the names.
func cifarPart(parts map[string]Part, pattern string) (all Part) {
	for _, base := range slices.Sorted(maps.Keys(parts)) {
		if matches(pattern, base) {
			all.Pixels, all.Labels = append(all.Pixels, parts[base].Pixels...), append(all.Labels, parts[base].Labels...)
		}
	}
	return all
}

func matches(pattern, base string) bool {
	ok, _ := path.Match(pattern, base) // the only error is a malformed pattern
	return ok
}

// grey returns the luminance of pixels in planes of red, green and blue.
func grey(pixels []byte) []byte {
	out := make([]byte, 0, len(pixels)/3)
	for ; len(pixels) > 0; pixels = pixels[3*cifarPlane:] {
		for i, r := range pixels[:cifarPlane] {
			g, b := pixels[cifarPlane+i], pixels[2*cifarPlane+i]
			out = append(out, byte((299*int(r)+587*int(g)+114*int(b)+500)/1000))
		}
	}
	return out
}

// cifarFiles returns the records of the files in a folder by their names without .gz: of the files that lie there or in the
// archive's folder below, else of the archive's files.
func cifarFiles(folder string) (map[string]Part, error) {
	parts := map[string]Part{}
	for _, dir := range []string{folder, filepath.Join(folder, cifarFolder)} {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("tasks: data set %s: %w", cifarName, err)
		}
		for _, entry := range entries { // in the order of names, so that a raw file comes before its .gz
			base := strings.TrimSuffix(entry.Name(), ".gz")
			if _, there := parts[base]; there || !matches(cifarTrain, base) && !matches(cifarTest, base) {
				continue
			}
			if parts[base], err = readFile(filepath.Join(dir, entry.Name()), ReadCIFAR10); err != nil {
				return nil, err
			}
		}
		if len(parts) > 0 {
			return parts, nil
		}
	}
	parts, err := readFile(filepath.Join(folder, cifarArchive), readCIFARArchive)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &MissingDataError{Dataset: cifarName, Path: filepath.Join(folder, "data_batch_1.bin")}
	}
	return parts, err
}

// readFile opens a file and reads it.
func readFile[T any](path string, read func(name string, r io.Reader) (T, error)) (T, error) {
	f, err := os.Open(path)
	if err != nil {
		var none T
		return none, fmt.Errorf("tasks: %w", err)
	}
	defer f.Close()
	return read(path, f)
}

// readCIFARArchive reads the files of records from a tar archive, gzip-compressed or raw. It is an error if the archive has no such
// file.
func readCIFARArchive(name string, r io.Reader) (map[string]Part, error) {
	in, err := newDataReader(name, r)
	if err != nil {
		return nil, err
	}
	parts := map[string]Part{}
	for archive := tar.NewReader(in); ; {
		header, err := archive.Next()
		switch {
		case err == io.EOF && len(parts) == 0:
			return nil, in.fail("the archive has no %s", cifarTrain)
		case err == io.EOF:
			return parts, nil
		case errors.Is(err, tar.ErrHeader):
			return nil, in.fail("not a tar archive, or a damaged one: %v", err)
		case err != nil:
			return nil, in.wrap(err, "archive")
		}
		base := path.Base(header.Name)
		if header.Typeflag != tar.TypeReg || !matches(cifarTrain, base) && !matches(cifarTest, base) {
			continue
		}
		if _, there := parts[base]; there {
			return nil, in.fail("the archive has %s twice", base)
		}
		file := &dataReader{name: name + ": " + base, r: archive}
		if parts[base], err = file.cifar10(); err != nil {
			return nil, err
		}
	}
}
