package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"syscall"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"learnedopt/internal/nearest"
)

// Exit codes.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// app holds what the commands share.
type app struct {
	stdout, stderr io.Writer
	// quiet silences everything on stderr except errors.
	quiet bool
	// started says that a command's flags and arguments were accepted.
	started bool
}

// run executes a command line and returns the exit code. Results go to stdout. Progress, notes and errors go to stderr; an
// error is one line.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	out := &resultWriter{w: stdout}
	a := &app{stdout: out, stderr: stderr}
	root := newRoot(a)
	root.SetArgs(append([]string{}, args...)) // nil would be os.Args
	err := root.ExecuteContext(ctx)
	if err == nil && out.err != nil && !errors.Is(out.err, syscall.EPIPE) {
		err = fmt.Errorf("writing the results: %w; give standard output room, or send it elsewhere", out.err)
	}
	if err == nil {
		return exitOK
	}
	var (
		usage       *usageError
		interrupted *interruptedError
	)
	code := exitFailure
	switch {
	case !a.started || errors.As(err, &usage):
		code = exitUsage
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		code = exitInterrupted
		if !errors.As(err, &interrupted) {
			err = &interruptedError{"interrupted; nothing was written"}
		}
	}
	line := oneLine(err)
	if strings.HasPrefix(line, "metaopt ") { // the line begins with a command's name
		line = paint(stderr, red, "metaopt") + line[len("metaopt"):]
	} else {
		line = paint(stderr, red, "metaopt:") + " " + line
	}
	fmt.Fprintln(stderr, line)
	return code
}

// note prints a line on stderr, unless quiet is set.
func (a *app) note(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintln(a.stderr, printable(fmt.Sprintf(format, args...)))
	}
}

// printable removes control characters, except newlines and tabs. Names of rules and tasks come from files, which may come
// from strangers, and must not control the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// resultWriter writes only printable text. It remembers the first error, so that printing code need not check errors.
type resultWriter struct {
	w   io.Writer
	err error
}

// Write implements io.Writer.
func (r *resultWriter) Write(p []byte) (int, error) {
	if r.err == nil {
		_, r.err = io.WriteString(r.w, printable(string(p)))
	}
	return len(p), nil
}

// A usageError is a mistake in the command line.
type usageError struct{ err error }

// Error implements error.
func (e *usageError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// asUsage marks an error as the command line's fault.
func asUsage(err error) error {
	if err == nil {
		return nil
	}
	return &usageError{err}
}

// packagePrefix matches the package name at the beginning of an error of this module.
var packagePrefix = regexp.MustCompile(`(^|: |\n)(?:(?:metaopt|metatrain|compare|reproduce|recipe|tasks|tasks/fetch|lstm|baselines|checkpoints|optimizer|report|htmlreport|runfolder|sweep|distributed|embedded): )+`)

// An interruptedError says what an interrupted command leaves behind.
type interruptedError struct{ text string }

// Error implements error.
func (e *interruptedError) Error() string { return e.text }

// Unwrap makes the error a context.Canceled.
func (e *interruptedError) Unwrap() error { return context.Canceled }

// oneLine returns an error's text on one line, without the names of packages.
func oneLine(err error) string {
	text := printable(packagePrefix.ReplaceAllString(err.Error(), "$1"))
	var b strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "":
			continue
		case strings.HasSuffix(b.String(), ":"):
			b.WriteString(" ")
		case b.Len() > 0:
			b.WriteString("; ")
		}
		b.WriteString(line)
	}
	return b.String()
}

// flagError returns the usage error for a flag that could not be parsed.
func flagError(cmd *cobra.Command, err error) error {
	var (
		invalid *pflag.InvalidValueError
		unknown *pflag.NotExistError
	)
	switch {
	case errors.As(err, &invalid):
		err = fmt.Errorf("--%s %q: %s", invalid.GetFlag().Name, invalid.GetValue(), invalid.Unwrap())
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "":
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
		if hint := nearest.DidYouMean("--"+unknown.GetSpecifiedName(), names); hint != "." {
			return usagef("%w%s See %s --help", err, hint, cmd.CommandPath())
		}
	}
	return usagef("%w; see %s --help", err, cmd.CommandPath())
}
