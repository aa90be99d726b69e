package checkpoints

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// Version is the format version that Write writes, and the newest one that
// Read reads.
const Version = 1

// magic begins every file. Its high bit is lost in a transfer that keeps only seven bits, and its
// line ends change in a transfer that treats the file as text: both damages are found.
const magic = "\x89MOPT\r\n\n"

const (
	headerSize  = len(magic) + 4 + 4
	trailerSize = sha256.Size
)

func quote(s string) string { return strconv.Quote(s) }

// Write writes f to w by one call of w.Write. It writes nothing if f is not
// valid.
func Write(w io.Writer, f *File) error {
	data, err := marshal(f)
	if err != nil {
		return fmt.Errorf("checkpoints: write: %w", err)
	}
	n, err := w.Write(data)
	if err == nil && n < len(data) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return fmt.Errorf("checkpoints: write: %w", err)
	}
	return nil
}

// Read reads a file from r, which must end where the file ends. Malformed
// content is a *FormatError; errors of r are passed on. Memory is bounded
// by a small multiple of the bytes that r delivers, whatever the content claims.
func Read(r io.Reader) (*File, error) {
	payload, err := readFrame(r)
	if err != nil {
		return nil, fmt.Errorf("checkpoints: read: %w", err)
	}
	f, err := readPayload(payload, int64(headerSize))
	if err != nil {
		return nil, fmt.Errorf("checkpoints: read: %w", err)
	}
	return f, nil
}

// marshal returns f as the bytes of a file.
func marshal(f *File) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(magic)
	b.Write(make([]byte, headerSize-len(magic)))
	if err := f.payload(&b); err != nil {
		return nil, err
	}
	binary.LittleEndian.PutUint32(b.Bytes()[len(magic):], Version)
	binary.LittleEndian.PutUint32(b.Bytes()[len(magic)+4:], uint32(b.Len()-headerSize))
	sum := sha256.Sum256(b.Bytes())
	b.Write(sum[:])
	return b.Bytes(), nil
}

// MarshalPayload returns only the payload of f's file: the msgpack map, which
// flax.serialization.msgpack_restore can read.
func MarshalPayload(f *File) ([]byte, error) {
	var b bytes.Buffer
	if err := f.payload(&b); err != nil {
		return nil, fmt.Errorf("checkpoints: marshal payload: %w", err)
	}
	return b.Bytes(), nil
}

// UnmarshalPayload is the inverse of MarshalPayload. It is as strict as Read and has
// the same bounds. The Offset of a *FormatError counts from the start of data.
func UnmarshalPayload(data []byte) (*File, error) {
	if len(data) > maxPayload {
		return nil, fmt.Errorf("checkpoints: unmarshal payload: %w", content("%d bytes, at most %d are allowed", len(data), maxPayload))
	}
	f, err := readPayload(data, 0)
	if err != nil {
		return nil, fmt.Errorf("checkpoints: unmarshal payload: %w", err)
	}
	return f, nil
}

// payload checks f and appends its payload to b.
func (f *File) payload(b *bytes.Buffer) error {
	config, size, err := f.check()
	if err != nil {
		return err
	}
	start := b.Len()
	b.Grow(len(f.Config) + size + size/8 + 4096)
	if err := writePayload(b, f, config); err != nil {
		return err
	}
	if n := b.Len() - start; n > maxPayload {
		return content("the payload has %d bytes, at most %d are allowed", n, maxPayload)
	}
	return nil
}

// Check returns nil if f can be written, else a *FormatError with the first fault.
func (f *File) Check() error {
	_, _, err := f.check()
	return err
}

// check returns f's config and the number of bytes of its tensors' data.
func (f *File) check() (config map[string]any, size int, err error) {
	if wrong := checkText("kind", f.Kind, 1, maxKind); wrong != "" {
		return nil, 0, content("%s", wrong)
	}
	config, err = f.config()
	if err != nil {
		return nil, 0, content("config: %v", err)
	}
	if wrong := f.Provenance.check(); wrong != "" {
		return nil, 0, content("%s", wrong)
	}
	if len(f.Tensors) > maxTensors {
		return nil, 0, content("%d tensors, at most %d are allowed", len(f.Tensors), maxTensors)
	}
	names := make(map[string]bool)
	for i := range f.Tensors {
		t := &f.Tensors[i]
		if wrong := t.check(); wrong != "" {
			return nil, 0, content("%s", wrong)
		}
		if names[t.Name] {
			return nil, 0, content("two tensors are named %q", t.Name)
		}
		names[t.Name] = true
		if size += 4*len(t.Data) + 8*len(t.Data64) + len(t.Bytes); size > maxPayload {
			return nil, 0, content("the tensors take more than %d bytes", maxPayload)
		}
	}
	return config, size, nil
}

// readFrame reads a whole file, checks everything except the payload's content, and
// returns the payload.
func readFrame(r io.Reader) ([]byte, error) {
	var b bytes.Buffer
	if err := fill(&b, r, headerSize); err != nil {
		return nil, err
	}
	head := b.Bytes()
	if n := min(len(head), len(magic)); string(head[:n]) != magic[:n] {
		reason := "not a .mopt file: the magic is missing"
		if bytes.HasPrefix(head, []byte(magic[:5])) {
			reason = "line ends were changed: transfer .mopt files as binary, not as text"
		}
		return nil, &FormatError{Offset: 0, Reason: reason}
	}
	if len(head) >= len(magic)+4 { // the header of a later version may be shorter
		switch v := binary.LittleEndian.Uint32(head[len(magic):]); {
		case v > Version:
			return nil, &FormatError{
				Offset: int64(len(magic)), Err: ErrNewerVersion,
				Reason: fmt.Sprintf("format version %d, this program reads up to %d: upgrade it", v, Version),
			}
		case v < 1:
			return nil, &FormatError{Offset: int64(len(magic)), Reason: "format version 0"}
		}
	}
	if len(head) < headerSize {
		return nil, truncated(len(head), headerSize)
	}
	payload := int(binary.LittleEndian.Uint32(head[len(magic)+4:]))
	if payload < 0 || payload > maxPayload {
		return nil, &FormatError{
			Offset: int64(len(magic) + 4),
			Reason: fmt.Sprintf("a payload of %d bytes, at most %d are allowed", uint32(payload), maxPayload),
		}
	}
	total := headerSize + payload + trailerSize
	if err := fill(&b, r, total+1); err != nil {
		return nil, err
	}
	data := b.Bytes()
	switch {
	case len(data) < total:
		return nil, truncated(len(data), total)
	case len(data) > total:
		return nil, &FormatError{Offset: int64(total), Reason: "bytes after the end of the file"}
	}
	end := headerSize + payload
	if sum := sha256.Sum256(data[:end]); !bytes.Equal(sum[:], data[end:]) {
		return nil, &FormatError{Offset: int64(end), Reason: "the SHA-256 does not match: the file is damaged, fetch it again"}
	}
	return data[headerSize:end], nil
}

func truncated(got, want int) error {
	return &FormatError{
		Offset: int64(got), Err: io.ErrUnexpectedEOF,
		Reason: fmt.Sprintf("the file is truncated: %d bytes of %d", got, want),
	}
}

// fill reads from r until b holds n bytes or r ends; the end is not an error.
// The buffer grows with what arrives, not with n.
func fill(b *bytes.Buffer, r io.Reader, n int) error {
	_, err := io.CopyN(b, r, int64(n-b.Len()))
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
