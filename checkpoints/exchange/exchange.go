// Package exchange converts .mopt files to and from formats that
// Python programs read: NumPy's npz, safetensors, and the msgpack of flax. No information
// is lost: a File that is written and read again is the same, bit for bit.
//
//   - npz: an entry for each tensor, and the entry "__metadata__", a uint8 array that holds
//     JSON in UTF-8.
//   - safetensors: the same JSON as the string "mopt" in the header's "__metadata__".
//   - flax-msgpack: the unchanged payload of a .mopt file.
//
// The JSON is an object of config, kind and provenance, as in a .mopt file
// (docs/format.md). A number with a point or an exponent is a float; any other number is an
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
	// FlaxMsgpack is the format that flax.serialization.msgpack_serialize writes.
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

// Limits, so that a small file cannot make a reader allocate much memory.
const (
	maxFile     = 1<<30 + 1<<26 // bytes, of any format
	maxMetadata = 4 << 20       // bytes of JSON
	maxTensors  = 4096
	maxRank     = 8
)

// A FormatError says why bytes are not a file of a format, or why a File cannot be
// written in it.
type FormatError struct {
	Format Format
	// Place is the entry, the tensor or the byte with the fault; "" if the fault is not at one place.
	Place string
	// Reason names the fault and, if there is one, the remedy.
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

// refused returns an error of package checkpoints as a FormatError.
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

// Peek is the number of bytes that Detect needs.
const Peek = 9

// Detect returns the format of a file from its first Peek bytes; ok is false if they
// begin none of the three formats.
func Detect(head []byte) (format Format, ok bool) {
	switch {
	case bytes.HasPrefix(head, []byte("\x89MOPT")): // a .mopt file, which also looks like a msgpack map
		return "", false
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte(zipEnd)):
		return NPZ, true
	case len(head) >= Peek && (head[8] == '{' || isSpace(head[8])) && binary.LittleEndian.Uint64(head) <= maxHeader:
		return SafeTensors, true
	case len(head) > 0 && (head[0] > 0x80 && head[0] < 0x90 || head[0] == 0xde || head[0] == 0xdf):
		return FlaxMsgpack, true
	}
	return "", false
}

// Read reads a file of any of the formats from r, which must end where the file
// ends, and returns its format too. Malformed content is a *FormatError; errors of r
// are passed on. Whatever the content claims, memory is bounded by a small multiple of the bytes that r delivers;
// for compressed npz files the bound is 64 times those bytes plus 1 MiB.
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

// Write writes f to w in a format. If the format cannot hold f, the error is a *FormatError and
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

// Marshal returns the bytes that Write writes. Equal files have equal bytes.
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
