package recipe

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"learnedopt/tasks"
)

// program is the beginning of a command line.
var program = []string{"metaopt", "meta-train"}

// Args returns the flags of metaopt meta-train that describe r, with the version of the defaults. The flags are explicit,
// so that a reader need not look up defaults: an option is left out only if its value is the default in every version, and
// the table in defaults.go does not ask for it.
func (r Recipe) Args() (args []string) {
	r = r.WithDefaults()
	for _, o := range options() {
		text := o.text(&r)
		if d := rowOf(o.Name); d != nil && !d.explicit && text == d.of(1, r.Task.Classifies()) && text == r.defaultOf(o.Name) {
			continue
		}
		switch {
		case text == "":
		case !o.Bool():
			args = append(args, "--"+o.Name, text)
		case text == "true":
			args = append(args, "--"+o.Name)
		default:
			args = append(args, "--"+o.Name+"="+text)
		}
	}
	return args
}

// Command returns program and Args as one command line, quoted for a shell.
func (r Recipe) Command() string {
	args := append(slices.Clone(program), r.Args()...)
	for i, arg := range args {
		args[i] = Quote(arg)
	}
	return strings.Join(args, " ")
}

// A Setting is an option's name and its value as text, as in a flag.
type Setting struct{ Name, Text string }

// With returns r with options set. A set option removes the options that it excludes: a limit of time removes the limit of
// meta-steps, and a number of steps removes a curriculum; and the other way round. If one call sets both, both stay, and Validate
// refuses the result. If the task's name changes, the options of the old task are removed. With returns an error if there
// is no option of a name, or if a value is not allowed.
func (r Recipe) With(settings ...Setting) (Recipe, error) {
	names := map[string]bool{}
	for _, s := range settings {
		names[s.Name] = true
		if s.Name == "task" && s.Text != r.Task.Task() {
			r.Task = tasks.Spec{}
		}
	}
	// If two options exclude each other, the one that is set now replaces the other.
	if names["meta-steps"] && !names["time"] {
		r.Time = 0
	}
	if names["time"] && !names["meta-steps"] {
		r.MetaSteps = 0
	}
	if names["horizons"] && !names["steps"] {
		r.Steps = 0
	}
	if names["steps"] && !names["horizons"] {
		r.Horizons, r.StagePatience = nil, 0
	}
	for _, s := range settings {
		o, err := Lookup(s.Name)
		if err != nil {
			return Recipe{}, err
		}
		if err := o.set(&r, s.Text); err != nil {
			return Recipe{}, fmt.Errorf("recipe: --%s %q: %w", s.Name, s.Text, err)
		}
	}
	return r, nil
}

// ParseArgs reads flags as Args writes them, --name value or --name=value. rest holds all words that are not options of a
// recipe, in their order. Flags without a version of the defaults mean version 1, because such a command line is older than
// version 2.
func ParseArgs(args []string) (r Recipe, rest []string, err error) {
	var settings []Setting
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		name, text, joined := strings.Cut(strings.TrimPrefix(word, "--"), "=")
		o, unknown := Lookup(name)
		if !strings.HasPrefix(word, "--") || unknown != nil {
			rest = append(rest, word)
			continue
		}
		switch {
		case joined:
		case o.Bool():
			text = "true"
		case len(args) == 0:
			return Recipe{}, nil, fmt.Errorf("recipe: --%s has no value", name)
		default:
			text, args = args[0], args[1:]
		}
		settings = append(settings, Setting{name, text})
	}
	if r, err = (Recipe{Defaults: 1}).With(settings...); err != nil {
		return Recipe{}, nil, err
	}
	return r, rest, nil
}

// ParseCommand reads a command line as Command writes it. The line may come from a stranger. It is an error if it is a
// command of another program, or if it contains anything that is not an option of a recipe.
func ParseCommand(line string) (Recipe, error) {
	args, err := Split(line)
	if err != nil || len(args) < len(program) || !slices.Equal(args[:len(program)], program) {
		return Recipe{}, fmt.Errorf("recipe: not a command of metaopt meta-train: %q", line)
	}
	r, rest, err := ParseArgs(args[len(program):])
	if err != nil {
		return Recipe{}, err
	}
	if len(rest) > 0 {
		return Recipe{}, fmt.Errorf("recipe: the command has %q, which is no option of a recipe of this version", rest[0])
	}
	return r, nil
}

// Quote quotes an argument for a shell, if it needs quotes.
func Quote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_+=./:,@", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// Split splits a command line into arguments. It undoes Quote.
func Split(line string) ([]string, error) {
	var (
		args   []string
		arg    strings.Builder
		inside bool // inside an argument
	)
	for rest := line; rest != ""; {
		switch c := rest[0]; {
		case c == '\'':
			text, after, ok := strings.Cut(rest[1:], "'")
			if !ok {
				return nil, errors.New("recipe: a quote is not closed")
			}
			arg.WriteString(text)
			rest, inside = after, true
		case c == '\\' && len(rest) > 1:
			arg.WriteByte(rest[1])
			rest, inside = rest[2:], true
		case c == ' ':
			if inside {
				args = append(args, arg.String())
				arg.Reset()
			}
			rest, inside = rest[1:], false
		default:
			arg.WriteByte(c)
			rest, inside = rest[1:], true
		}
	}
	if inside {
		args = append(args, arg.String())
	}
	return args, nil
}
