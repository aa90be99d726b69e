package tasks

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
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

// A dataReader reads one data file and counts the decompressed bytes.
type dataReader struct {
	name   string
	r      io.Reader
	offset int64
}

// newDataReader returns a reader of a file that is gzip-compressed or raw.
func newDataReader(name string, r io.Reader) (*dataReader, error) {
	buffered := bufio.NewReaderSize(r, 1<<16)
	magic, err := buffered.Peek(2)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("tasks: %s: %w", name, err)
	}
	in := &dataReader{name: name, r: buffered}
	if len(magic) == 2 && magic[0] == 0x1f && magic[1] == 0x8b {
		unzip, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, in.wrap(err, "gzip header")
		}
		in.r = unzip // it holds no resources: Close only reports what Read has reported
	}
	return in, nil
}

// data reads total bytes into a buffer that doubles as they come.
func (in *dataReader) data(total int) ([]byte, error) {
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

// Read implements io.Reader.
func (in *dataReader) Read(p []byte) (int, error) {
	n, err := in.r.Read(p)
	in.offset += int64(n)
	return n, err
}

// end returns an error unless the file ends here. said names what says that it does.
func (in *dataReader) end(said string) error {
	var next [1]byte
	n, err := io.ReadFull(in.r, next[:])
	switch {
	case n > 0:
		return in.fail("more bytes than %s", said)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return in.fail("gzip stream cut short or followed by other bytes")
	case err != io.EOF:
		return in.wrap(err, "end of file")
	}
	return nil
}

func (in *dataReader) full(p []byte, what string) error {
	if _, err := io.ReadFull(in, p); err != nil {
		return in.wrap(err, what)
	}
	return nil
}

// wrap returns a *FormatError if the file ends too early or its compression is damaged, and else wraps the reader's error.
func (in *dataReader) wrap(err error, what string) error {
	var corrupt flate.CorruptInputError
	switch {
	case err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF):
		return in.fail("file ends in its %s", what)
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader), errors.As(err, &corrupt):
		return in.fail("damaged gzip stream: %v", err)
	}
	return fmt.Errorf("tasks: %s: %w", in.name, err)
}

func (in *dataReader) fail(format string, args ...any) error {
	return in.failAt(in.offset, format, args...)
}

func (in *dataReader) failAt(offset int64, format string, args ...any) error {
	return &FormatError{Name: in.name, Offset: offset, Reason: fmt.Sprintf(format, args...)}
}
