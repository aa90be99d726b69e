package tasks

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"path/filepath"
	"unicode/utf8"
)

// A TextError says where and why a text file cannot be read.
type TextError struct {
	// Name is the file's name.
	Name string
	// Line counts from 1; 0 means the whole file.
	Line int
	// Reason says what was found and what was expected.
	Reason string
}

// Error implements error.
func (e *TextError) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("tasks: %s: line %d: %s", e.Name, e.Line, e.Reason)
	}
	return fmt.Sprintf("tasks: %s: %s", e.Name, e.Reason)
}

const (
	textExtension = ".txt"
	// window is the number of characters that a CharRNN reads from h = 0 on.
	window = 32
	// maxHeldOut bounds the characters that validate, and those that test.
	maxHeldOut = 100_000
	// Bounds of a text. The size holds before it is read.
	maxTextBytes  = 128 << 20
	maxCharacters = 1 << 12
)

// A Text is a text in three splits, one after the other: see LoadText. It is immutable and safe for concurrent use.
type Text struct {
	name       string // of the file, without its folder and extension
	sum        string
	characters string
	splits     [splits][]uint16 // indices in characters
}

// LoadText returns the text in a file whose name ends with .txt. It must be UTF-8, with 2 to 4,096 different characters, and at least 330
// characters long. A character is a Unicode code point. A byte-order mark at the beginning does not count, and the end of a line is one character on all systems.
//
// Test is the last tenth of the text, but no more than 100,000 characters, Valid as many before them, and Train all before
// those. The vocabulary is that of the whole text.
//
// Each file is read once in a process. A malformed file is a *TextError.
func LoadText(path string) (*Text, error) {
	if filepath.Ext(path) != textExtension {
		return nil, fmt.Errorf("tasks: %s: the name of a text ends with %s", path, textExtension)
	}
	whole, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("tasks: %s: %w", path, err)
	}
	return texts.get(loadKey{folder: whole}, func() (*Text, error) {
		name, err := ownName(path, textExtension)
		if err != nil {
			return nil, err
		}
		t, err := readFile(path, readText)
		if err == nil {
			t.name = name
		}
		return t, err
	})
}

// texts holds the texts that have been read.
var texts cache[Text]

// readText reads a text to its end. path is used in errors only. A malformed text is a *TextError; any other error comes from r.
func readText(path string, r io.Reader) (*Text, error) {
	fail := func(line int, format string, args ...any) error {
		return &TextError{filepath.Base(path), line, fmt.Sprintf(format, args...)}
	}
	data, err := io.ReadAll(io.LimitReader(r, maxTextBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("tasks: %s: %w", path, err)
	case len(data) > maxTextBytes:
		return nil, fail(0, "more than %d bytes", maxTextBytes)
	}
	data = bytes.ReplaceAll(bytes.TrimPrefix(data, []byte("\ufeff")), []byte("\r\n"), []byte("\n"))
	sum := sha256.Sum256(data)
	codes := make([]uint16, utf8.MaxRune+1) // 1 for every character of the text, then its index in characters
	n, different := 0, 0
	for i := 0; i < len(data); n++ {
		c, size := utf8.DecodeRune(data[i:])
		if c == utf8.RuneError && size == 1 {
			line := bytes.Count(data[:i], []byte("\n")) + 1
			return nil, fail(line, "byte %d of the line is not UTF-8; convert the file to UTF-8", i-bytes.LastIndexByte(data[:i], '\n'))
		}
		if codes[c] == 0 {
			codes[c] = 1
			different++
		}
		i += size
	}
	heldOut := min(n/10, maxHeldOut)
	switch {
	case heldOut <= window:
		return nil, fail(0, "%d characters, want at least %d: a tenth validates, a tenth tests, and the network reads %d and predicts one more", n, 10*(window+1), window)
	case different < 2 || different > maxCharacters:
		return nil, fail(0, "%d different characters, want 2 to %d", different, maxCharacters)
	}
	t := &Text{sum: hex.EncodeToString(sum[:])[:sumDigits]}
	characters := make([]rune, 0, different)
	for c, there := range codes {
		if there == 1 {
			codes[c] = uint16(len(characters))
			characters = append(characters, rune(c))
		}
	}
	t.characters = string(characters)
	all := make([]uint16, 0, n)
	for _, c := range string(data) {
		all = append(all, codes[c])
	}
	train, valid := n-2*heldOut, n-heldOut
	t.splits = [splits][]uint16{Train: all[:train:train], Valid: all[train:valid:valid], Test: all[valid:]}
	return t, nil
}

// Name returns the file's name and a checksum of the text, as poems@0123456789abcdef.
func (t *Text) Name() string { return t.name + "@" + t.sum }

// Characters returns the V different characters of the text, in the order of their code points.
func (t *Text) Characters() string { return t.characters }

// Len returns the number of characters in a split.
func (t *Text) Len(s Split) int {
	if s < 0 || s >= splits {
		panic(errSplit)
	}
	return len(t.splits[s])
}
