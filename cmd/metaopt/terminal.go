package main

import (
	"io"
	"os"

	"golang.org/x/term"
)

// terminal returns the terminal that w is, nil if it is a file, a pipe, or a terminal that says it can
// do no more than print lines (TERM=dumb).
func terminal(w io.Writer) *os.File {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return f
}

// The colours in use, as parameters of ECMA-48's SGR.
const (
	red    = "31"
	yellow = "33"
)

// paint returns text in a colour if w is a terminal and the user has not asked for none:
// NO_COLOR, set to anything (no-color.org).
func paint(w io.Writer, colour, text string) string {
	if terminal(w) == nil || os.Getenv("NO_COLOR") != "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}
