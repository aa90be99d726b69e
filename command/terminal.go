package command

import (
	"io"
	"os"

	"golang.org/x/term"
)

// terminal returns w as a terminal. It returns nil if w is a file or a pipe, or if the terminal can only print lines
// (TERM=dumb).
func terminal(w io.Writer) *os.File {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return f
}

// The colours that paint uses, as parameters of SGR in ECMA-48.
const (
	red    = "31"
	yellow = "33"
)

// paint returns text in a colour. It returns plain text if w is no terminal, or if NO_COLOR is set to anything
// (no-color.org).
func paint(w io.Writer, colour, text string) string {
	if terminal(w) == nil || os.Getenv("NO_COLOR") != "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}
