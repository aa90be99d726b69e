package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// count is a flag's whole number of at least min.
type count struct {
	p   *int
	min int
}

var _ pflag.Value = count{}

func (c count) String() string {
	if c.p == nil {
		return ""
	}
	return strconv.Itoa(*c.p)
}

func (c count) Set(s string) error {
	v, err := strconv.Atoi(s)
	if err != nil || v < c.min {
		return fmt.Errorf("it must be a whole number of at least %d", c.min)
	}
	*c.p = v
	return nil
}

func (c count) Type() string { return "N" }

// factor is a flag's positive number, infinite only if infinite says so.
type factor struct {
	p        *float64
	infinite bool
}

var _ pflag.Value = factor{}

func (f factor) String() string {
	if f.p == nil {
		return ""
	}
	return strconv.FormatFloat(*f.p, 'g', -1, 64)
}

func (f factor) Set(s string) error {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v > 0) || math.IsInf(v, 0) && !f.infinite {
		return fmt.Errorf("it must be a positive number")
	}
	*f.p = v
	return nil
}

func (f factor) Type() string { return "F" }

// text is a flag's text. kind is what help calls it: NAME, FILE.
type text struct {
	p    *string
	kind string
}

var _ pflag.Value = text{}

func (t text) String() string {
	if t.p == nil {
		return ""
	}
	return *t.p
}

func (t text) Set(s string) error {
	if s == "" {
		return fmt.Errorf("it must not be empty")
	}
	*t.p = s
	return nil
}

func (t text) Type() string { return t.kind }

// seed is a flag's seed.
type seed struct{ p *uint64 }

var _ pflag.Value = seed{}

func (s seed) String() string {
	if s.p == nil {
		return ""
	}
	return strconv.FormatUint(*s.p, 10)
}

func (s seed) Set(text string) error {
	v, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return fmt.Errorf("it must be a whole number of at least 0, below 2^64")
	}
	*s.p = v
	return nil
}

func (s seed) Type() string { return "S" }

// span is a flag's positive time.
type span struct{ p *time.Duration }

var _ pflag.Value = span{}

func (s span) String() string {
	if s.p == nil {
		return ""
	}
	return s.p.String()
}

func (s span) Set(text string) error {
	v, err := time.ParseDuration(text)
	if err != nil || v <= 0 {
		return fmt.Errorf("it must be a positive time, as 90s or 10m")
	}
	*s.p = v
	return nil
}

func (s span) Type() string { return "T" }

// choice is a flag's text, one of a few.
type choice struct {
	p     *string
	names []string
}

var _ pflag.Value = choice{}

func (c choice) String() string {
	if c.p == nil {
		return ""
	}
	return *c.p
}

func (c choice) Set(s string) error {
	for _, name := range c.names {
		if s == name {
			*c.p = s
			return nil
		}
	}
	return fmt.Errorf("it must be %s", oneOf(c.names))
}

func (c choice) Type() string { return "NAME" }

// oneOf is "a", "a or b", "a, b or c".
func oneOf(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// wrapped joins words by commas, in lines of at most so many characters and an indent each.
func wrapped(words []string, width int, indent string) string {
	var b strings.Builder
	line := 0
	for i, word := range words {
		if i > 0 {
			b.WriteByte(',')
			if line += 2; line+len(word) > width {
				b.WriteString("\n" + indent)
				line = 0
			} else {
				b.WriteByte(' ')
			}
		}
		b.WriteString(word)
		line += len(word)
	}
	return b.String()
}

// complete offers fixed values for a flag in the shell.
func complete(cmd *cobra.Command, flag string, values ...string) {
	err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic("metaopt: " + err.Error())
	}
}

// exactArgs wants as many arguments as it has names.
func exactArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		if len(names) == 0 {
			return usagef("%s takes no argument, not %q; see %[1]s --help", cmd.CommandPath(), args[0])
		}
		return usagef("%s needs %s, not %d arguments; see %[1]s --help", cmd.CommandPath(), strings.Join(names, " and "), len(args))
	}
}

// completeFiles offers files of the given extensions, without dot, as arguments.
func completeFiles(extensions ...string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return extensions, cobra.ShellCompDirectiveFilterFileExt
	}
}
