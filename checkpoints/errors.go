package checkpoints

import (
	"errors"
	"fmt"
)

// ErrNewerVersion says that a file's format version is higher than this package's
// Version. A FormatError wraps it.
var ErrNewerVersion = errors.New("written by a newer version of the format")

// Panics after a caller's mistake.
const (
	errTarget = "checkpoints: DecodeConfig needs a non-nil pointer"
)

// A FormatError says why bytes are not a valid file, why a File cannot be
// written, or how it differs from what its reader asked for.
type FormatError struct {
	// Offset is the position of the fault in bytes from the start of the file; -1 if the fault
	// is in the content and not at one position.
	Offset int64
	// Reason names the fault and, if there is one, the remedy.
	Reason string
	// Err is the cause, nil if there is none: io.ErrUnexpectedEOF for a
	// truncated file, ErrNewerVersion for a file of the future.
	Err error
}

// Error implements error.
func (e *FormatError) Error() string {
	if e.Offset < 0 {
		return "bad checkpoint: " + e.Reason
	}
	return fmt.Sprintf("bad checkpoint: byte %d: %s", e.Offset, e.Reason)
}

// Unwrap returns Err.
func (e *FormatError) Unwrap() error { return e.Err }

// content returns a FormatError without an offset.
func content(format string, args ...any) *FormatError {
	return &FormatError{Offset: -1, Reason: fmt.Sprintf(format, args...)}
}
