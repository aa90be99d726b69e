package tasks

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A FormatError says where and why a data file is malformed.
type FormatError struct {
	// Name is the file's name.
	Name string
	// Offset is the position of the fault in bytes, after decompression.
	Offset int64
	// Reason says what was found and what was expected.
	Reason string
}

// Error implements error.
func (e *FormatError) Error() string {
	return fmt.Sprintf("tasks: %s: at byte %d: %s; fetch the file again", e.Name, e.Offset, e.Reason)
}

// An IDX is an array of unsigned bytes from a file in the IDX format of the
// MNIST database (LeCun, Cortes, Burges). The file holds a magic number 0, 0, 8, rank; then as many
// dimensions as the rank says, as big-endian uint32; then the bytes in row-major order.
type IDX struct {
	// Dims are the dimensions, all at least 1.
	Dims []int
	// Data holds the bytes; its length is the product of Dims.
	Data []byte
}

const (
	idxUnsignedByte = 0x08
	maxIDXRank      = 4
	// maxIDXSize bounds the data of one file. The largest file of EMNIST has 547 MB.
	maxIDXSize = 640 << 20
)

// ReadIDX reads one IDX file of unsigned bytes, gzip-compressed or raw, to its
// end. name is used in errors only. Memory grows with the bytes that were read,
// not with the sizes that the header claims, up to 640 MiB. A malformed file is a
// *FormatError; any other error comes from r.
func ReadIDX(name string, r io.Reader) (IDX, error) {
	buffered := bufio.NewReaderSize(r, 1<<16)
	magic, err := buffered.Peek(2)
	if err != nil && err != io.EOF {
		return IDX{}, fmt.Errorf("tasks: %s: %w", name, err)
	}
	in := &idxReader{name: name, r: buffered}
	if len(magic) == 2 && magic[0] == 0x1f && magic[1] == 0x8b {
		unzip, err := gzip.NewReader(buffered)
		if err != nil {
			return IDX{}, in.wrap(err, "gzip header")
		}
		defer unzip.Close()
		in.r = unzip
	}
	return in.read()
}

// idxReader reads one decompressed file and counts the bytes read.
type idxReader struct {
	name   string
	r      io.Reader
	offset int64
}

func (in *idxReader) read() (IDX, error) {
	var word [4]byte
	if err := in.full(word[:], "magic number"); err != nil {
		return IDX{}, err
	}
	rank := int(word[3])
	switch {
	case word[0] != 0 || word[1] != 0:
		return IDX{}, in.failAt(0, "magic number %#08x, want 0x000008 and the rank: not an IDX file", binary.BigEndian.Uint32(word[:]))
	case word[2] != idxUnsignedByte:
		return IDX{}, in.failAt(2, "element type %#02x, want 0x08 (unsigned byte)", word[2])
	case rank < 1 || rank > maxIDXRank:
		return IDX{}, in.failAt(3, "rank %d, want 1 to %d", rank, maxIDXRank)
	}
	dims, total := make([]int, rank), int64(1)
	for i := range dims {
		at := in.offset
		if err := in.full(word[:], "dimensions"); err != nil {
			return IDX{}, err
		}
		d := int64(binary.BigEndian.Uint32(word[:]))
		if d == 0 {
			return IDX{}, in.failAt(at, "dimension %d is 0", i)
		}
		if total *= d; total > maxIDXSize { // no overflow: both factors are below 2^32
			return IDX{}, in.failAt(at, "dimension %d is %d: more than %d bytes of data", i, d, maxIDXSize)
		}
		dims[i] = int(d)
	}
	data, err := in.data(int(total))
	if err != nil {
		return IDX{}, err
	}
	if n, err := io.ReadFull(in.r, word[:1]); n > 0 {
		return IDX{}, in.fail("more bytes than the dimensions %v say", dims)
	} else if errors.Is(err, io.ErrUnexpectedEOF) {
		return IDX{}, in.fail("gzip stream cut short or followed by other bytes")
	} else if err != io.EOF {
		return IDX{}, in.wrap(err, "end of file")
	}
	return IDX{Dims: dims, Data: data}, nil
}

// data reads total bytes into a buffer that doubles as they come.
func (in *idxReader) data(total int) ([]byte, error) {
	data := make([]byte, 0, min(total, 1<<20))
	for len(data) < total {
		if len(data) == cap(data) {
			data = append(make([]byte, 0, min(total, 4*cap(data))), data...)
		}
		chunk := data[len(data):cap(data)]
		if err := in.full(chunk, fmt.Sprintf("%d bytes of data", total)); err != nil {
			return nil, err
		}
		data = data[:cap(data)]
	}
	return data, nil
}

func (in *idxReader) full(p []byte, what string) error {
	n, err := io.ReadFull(in.r, p)
	in.offset += int64(n)
	if err != nil {
		return in.wrap(err, what)
	}
	return nil
}

// wrap returns a *FormatError if the file ends too early or its compression is damaged, and else wraps the reader's error.
func (in *idxReader) wrap(err error, what string) error {
	var corrupt flate.CorruptInputError
	switch {
	case err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF):
		return in.fail("file ends in its %s", what)
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader), errors.As(err, &corrupt):
		return in.fail("damaged gzip stream: %v", err)
	}
	return fmt.Errorf("tasks: %s: %w", in.name, err)
}

func (in *idxReader) fail(format string, args ...any) error {
	return in.failAt(in.offset, format, args...)
}

func (in *idxReader) failAt(offset int64, format string, args ...any) error {
	return &FormatError{Name: in.name, Offset: offset, Reason: fmt.Sprintf(format, args...)}
}
