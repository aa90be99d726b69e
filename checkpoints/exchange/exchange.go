// Package exchange carries the content of .mopt files to and from formats that
// Python programs read: NumPy's npz, safetensors, and the msgpack of flax. Nothing
// is lost: reading what was written gives the same File, bit for bit.
//
//   - npz: an entry for each tensor, and one more, "__metadata__", a uint8 array of
//     JSON in UTF-8.
//   - safetensors: the same JSON as the string "mopt" of the header's "__metadata__".
//   - flax-msgpack: the payload of a .mopt file as it is.
//
// The JSON is an object of config, kind and provenance, as in a .mopt file
// (docs/format.md). A number with a point or an exponent is a float, any other an
// integer.
package exchange

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"learnedopt/checkpoints"
)

// A Format is a file format.
type Format string

const (
	// NPZ is a zip archive of NumPy arrays, not compressed when written.
	NPZ Format = "npz"
	// SafeTensors is the format of the Python package safetensors.
	SafeTensors Format = "safetensors"
	// FlaxMsgpack is what flax.serialization.msgpack_serialize writes.
	FlaxMsgpack Format = "flax-msgpack"
)

// Formats returns all formats.
func Formats() []Format { return []Format{NPZ, SafeTensors, FlaxMsgpack} }

// Extension returns the usual ending of file names, with its dot.
func (f Format) Extension() string {
	if f == FlaxMsgpack {
		return ".msgpack"
	}
	return "." + string(f)
}

// Limits, so that a small file cannot ask for much.
const (
	maxFile     = 1<<30 + 1<<26 // bytes, of any format
	maxMetadata = 4 << 20       // bytes of JSON
	maxTensors  = 4096
	maxRank     = 8
)

// A FormatError says why bytes are not a file of a format, or why a File cannot be
// one.
type FormatError struct {
	Format Format
	// Place is where: an entry, a tensor, a byte; "" if it is not at one place.
	Place string
	// Reason is what is wrong and, where there is one, the remedy.
	Reason string
	// Err is the cause, nil if there is none.
	Err error
}

// Error implements error.
func (e *FormatError) Error() string {
	if e.Place == "" {
		return fmt.Sprintf("bad %s: %s", e.Format, e.Reason)
	}
	return fmt.Sprintf("bad %s: %s: %s", e.Format, e.Place, e.Reason)
}

// Unwrap returns Err.
func (e *FormatError) Unwrap() error { return e.Err }

func failf(format Format, place, reason string, args ...any) *FormatError {
	return &FormatError{Format: format, Place: place, Reason: fmt.Sprintf(reason, args...)}
}

// refused is the FormatError of an error of package checkpoints.
func refused(format Format, err error) *FormatError {
	e := &FormatError{Format: format, Reason: err.Error(), Err: err}
	var fe *checkpoints.FormatError
	if errors.As(err, &fe) {
		e.Reason = fe.Reason
		if fe.Offset >= 0 {
			e.Place = fmt.Sprintf("byte %d", fe.Offset)
		}
	}
	return e
}

// Peek is how many bytes Detect looks at.
const Peek = 9

// Detect tells the format of a file by its first Peek bytes; ok is false if they
// begin none of the three.
func Detect(head []byte) (format Format, ok bool) {
	switch {
	case bytes.HasPrefix(head, []byte("\x89MOPT")): // would be a msgpack map
		return "", false
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte(zipEnd)):
		return NPZ, true
	case len(head) >= Peek && head[8] == '{' && binary.LittleEndian.Uint64(head) <= maxHeader:
		return SafeTensors, true
	case len(head) > 0 && (head[0] > 0x80 && head[0] < 0x90 || head[0] == 0xde || head[0] == 0xdf):
		return FlaxMsgpack, true
	}
	return "", false
}

// Read reads a file of any of the formats from r, which must end where the file
// ends, and tells which it was. Malformed content is a *FormatError; r's own errors
// are passed on. Memory is bounded by a small multiple of what r delivers, 64 times
// that and 1 MiB for compressed npz files, whatever the content claims.
func Read(r io.Reader) (*checkpoints.File, Format, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, "", fmt.Errorf("exchange: read: %w", err)
	}
	format, ok := Detect(data[:min(len(data), Peek)])
	if !ok {
		return nil, "", fmt.Errorf("exchange: read: %w", failf("file", "", "it is none of %v", Formats()))
	}
	f, err := read(data, format)
	if err != nil {
		return nil, format, fmt.Errorf("exchange: read: %w", err)
	}
	return f, format, nil
}

func read(data []byte, format Format) (*checkpoints.File, error) {
	if len(data) > maxFile {
		return nil, failf(format, "", "more than %d bytes", maxFile)
	}
	var f *checkpoints.File
	var err error
	switch format {
	case NPZ:
		f, err = readNPZ(data)
	case SafeTensors:
		f, err = readSafeTensors(data)
	default:
		if f, err = checkpoints.UnmarshalPayload(data); err != nil {
			return nil, refused(format, err)
		}
		return f, nil
	}
	if err != nil {
		return nil, err
	}
	if err := f.Check(); err != nil {
		return nil, refused(format, err)
	}
	return f, nil
}

// Write writes f to w in a format. What cannot be said in it is a *FormatError, and
// nothing is written.
func Write(w io.Writer, f *checkpoints.File, format Format) error {
	data, err := Marshal(f, format)
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return fmt.Errorf("exchange: write: %w", err)
	}
	return nil
}

// Marshal returns what Write writes. Equal files have equal bytes.
func Marshal(f *checkpoints.File, format Format) (data []byte, err error) {
	if wrong := f.Check(); wrong != nil {
		return nil, fmt.Errorf("exchange: write: %w", refused(format, wrong))
	}
	switch format {
	case NPZ:
		data, err = marshalNPZ(f)
	case SafeTensors:
		data, err = marshalSafeTensors(f)
	case FlaxMsgpack:
		if data, err = checkpoints.MarshalPayload(f); err != nil {
			err = refused(format, err)
		}
	default:
		err = failf(format, "", "no such format; use one of %v", Formats())
	}
	if err != nil {
		return nil, fmt.Errorf("exchange: write: %w", err)
	}
	return data, nil
}
