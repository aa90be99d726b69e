package command

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// countFlag is a flag for a whole number of at least min.
type countFlag struct {
	p   *int
	min int
}

var _ pflag.Value = countFlag{}

func (c countFlag) String() string {
	if c.p == nil {
		return ""
	}
	return strconv.Itoa(*c.p)
}

func (c countFlag) Set(s string) error {
	v, err := strconv.Atoi(s)
	if err != nil || v < c.min {
		return fmt.Errorf("it must be a whole number of at least %d", c.min)
	}
	*c.p = v
	return nil
}

func (c countFlag) Type() string { return "N" }

// factorFlag is a flag for a positive number. +Inf is allowed only if infinite is set.
type factorFlag struct {
	p        *float64
	infinite bool
}

var _ pflag.Value = factorFlag{}

func (f factorFlag) String() string {
	if f.p == nil {
		return ""
	}
	return strconv.FormatFloat(*f.p, 'g', -1, 64)
}

func (f factorFlag) Set(s string) error {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v > 0) || math.IsInf(v, 0) && !f.infinite {
		return fmt.Errorf("it must be a positive number")
	}
	*f.p = v
	return nil
}

func (f factorFlag) Type() string { return "F" }

// textFlag is a flag for a text. kind is the name of the value in help: NAME, FILE.
type textFlag struct {
	p    *string
	kind string
}

var _ pflag.Value = textFlag{}

func (t textFlag) String() string {
	if t.p == nil {
		return ""
	}
	return *t.p
}

func (t textFlag) Set(s string) error {
	if s == "" {
		return fmt.Errorf("it must not be empty")
	}
	*t.p = s
	return nil
}

func (t textFlag) Type() string { return t.kind }

// seedFlag is a flag for a seed.
type seedFlag struct{ p *uint64 }

var _ pflag.Value = seedFlag{}

func (s seedFlag) String() string {
	if s.p == nil {
		return ""
	}
	return strconv.FormatUint(*s.p, 10)
}

func (s seedFlag) Set(text string) error {
	v, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return fmt.Errorf("it must be a whole number of at least 0, below 2^64")
	}
	*s.p = v
	return nil
}

func (s seedFlag) Type() string { return "S" }

// spanFlag is a flag for a positive time.
type spanFlag struct{ p *time.Duration }

var _ pflag.Value = spanFlag{}

func (s spanFlag) String() string {
	if s.p == nil {
		return ""
	}
	return s.p.String()
}

func (s spanFlag) Set(text string) error {
	v, err := time.ParseDuration(text)
	if err != nil || v <= 0 {
		return fmt.Errorf("it must be a positive time, as 90s or 10m")
	}
	*s.p = v
	return nil
}

func (s spanFlag) Type() string { return "T" }

// choiceFlag is a flag for one of a few texts.
type choiceFlag struct {
	p     *string
	names []string
}

var _ pflag.Value = choiceFlag{}

func (c choiceFlag) String() string {
	if c.p == nil {
		return ""
	}
	return *c.p
}

func (c choiceFlag) Set(s string) error {
	for _, name := range c.names {
		if s == name {
			*c.p = s
			return nil
		}
	}
	return fmt.Errorf("it must be %s", oneOf(c.names))
}

func (c choiceFlag) Type() string { return "NAME" }

// oneOf is "a", "a or b", "a, b or c".
func oneOf(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// wrapped joins words by commas, in lines of at most width characters that begin with indent.
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

// exactArgs requires one argument for each name.
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

// completeFiles offers files with the given extensions (without the dot) as arguments.
func completeFiles(extensions ...string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return extensions, cobra.ShellCompDirectiveFilterFileExt
	}
}
