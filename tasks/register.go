package tasks

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"learnedopt/internal/nearest"
	"learnedopt/optimizer"
)

// A Definition is a task of a program's own. After Register, its name and options are as good as those of the library's
// tasks: in texts and Specs, in recipes, files and sweeps, and, with package command, as flags.
type Definition struct {
	// Name is the task's name: lower-case letters, digits and dashes, with a letter first, as "pendulum".
	Name string
	// Options are the options of OptionTable that the task reads, each with its default, as {"dims": "3", "batch": "32"}.
	// The values reach New in the fields of its argument.
	Options map[string]string
	// Numbers are options that the task adds. Their values reach New by Options.Number.
	Numbers []Number
	// New makes the family of one value for each option; those that are not set have their defaults. It is called often,
	// to check values too: it must be fast, and must return an error for values that do not go together. It must accept all
	// values of a number between two that it accepts. It need not care for the family's name: Name and the options are the name.
	New func(o Options) (optimizer.Family, error)
}

// A Number is an option that a Definition adds. Its values are finite numbers.
type Number struct {
	// Key is the option's name: lower-case letters, digits and dashes, with a letter first. "mass" has the flag --mass. Two
	// tasks may both add a key, with the same Help.
	Key string
	// Help says in one line what the number is, with its unit if it has one: "mass of the bob in kg".
	Help    string
	Default float64
}

var (
	ownTaskName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,63}$`)
	// The library's tasks and options come first in catalog and table.
	libraryTasks, libraryOptions = len(catalog), len(table)
)

// firstOwn is the first bit of a kind that Register gives away; the last one is the highest bit.
const firstOwn = kindOfTask(1) << 32

// Register adds a task to those that Names returns. It must be called before all other functions of this package and of those
// that build on it, at the beginning of main, and not at the same time as any of them. A program that reads a file, a recipe
// or a sweep that names the task has to register it too.
func Register(d Definition) error {
	if err := d.validate(); err != nil {
		return fmt.Errorf("tasks: own task %q: %w", d.Name, err)
	}
	bit := firstOwn << (len(catalog) - libraryTasks)
	for key, value := range d.Options {
		row := &table[mustOption(key)]
		row.defaults = append(slices.Clone(row.defaults), defaultOf{bit, value})
	}
	for _, n := range d.Numbers {
		i := slices.IndexFunc(table, func(o Option) bool { return o.Key == n.Key })
		if i < 0 {
			i = len(table)
			table = append(table, Option{Key: n.Key, help: n.Help + ", or a list", kind: numberOf(n.Key)})
		}
		table[i].defaults = append(table[i].defaults, defaultOf{bit, formatScale(n.Default + 0)})
	}
	naming = orderOfNames()
	taskKinds = append(taskKinds, nameOfKind{bit, d.Name})
	catalog = append(catalog, task{name: d.Name, kind: bit, small: func(o Options) smallFamily {
		o = o.withDefaults(bit)
		f, err := d.New(o)
		switch {
		case err != nil:
			err = fmt.Errorf("tasks: the task %s: %w", d.Name, err)
		case f == nil:
			err = fmt.Errorf("tasks: the task %s: New returned no family and no error", d.Name)
		}
		o.LossScale, o.GradientNoise = 0, 0 // the family around this one names them
		return ownFamily{f, o.lists().words(d.Name, bit), err}
	}})
	return nil
}

// mustOption returns the row of an option that is known to exist.
func mustOption(key string) int {
	i, err := optionOf(key)
	if err != nil {
		panic(err)
	}
	return i
}

// validate reports the first mistake, before anything is changed.
func (d Definition) validate() error {
	switch {
	case !ownTaskName.MatchString(d.Name):
		return errors.New("a name has up to 64 lower-case letters, digits and dashes, with a letter first")
	case slices.Contains(Names(), d.Name):
		return errors.New("there is a task of this name; take another one")
	case firstOwn<<(len(catalog)-libraryTasks) == 0:
		return fmt.Errorf("a program has at most %d tasks of its own", len(catalog)-libraryTasks)
	case d.New == nil:
		return errors.New("New is nil: there is no family")
	}
	set := make(lists, len(table))
	for _, key := range slices.Sorted(maps.Keys(d.Options)) {
		i, err := optionOf(key)
		if err != nil || i >= libraryOptions {
			return fmt.Errorf("option %q is none of the library's%s A number of its own belongs in Numbers", key, nearest.DidYouMean(key, optionKeys()[:libraryOptions]))
		}
		if table[i].defaults[0].of == losses {
			return fmt.Errorf("option %s: every task has it; leave it out", key)
		}
		value, err := table[i].parse(d.Options[key])
		if err != nil {
			return fmt.Errorf("option %s: default %q: %w", key, d.Options[key], err)
		}
		if value != d.Options[key] {
			return fmt.Errorf("option %s: default %q: write it as %q", key, d.Options[key], value)
		}
		set[i] = []string{value}
	}
	for k, n := range d.Numbers {
		i := slices.IndexFunc(table, func(o Option) bool { return o.Key == n.Key })
		switch {
		case !ownTaskName.MatchString(n.Key) || n.Key == nameKey || n.Key == dataDirKey:
			return fmt.Errorf("number %q: a key has lower-case letters, digits and dashes, with a letter first, and is neither %s nor %s", n.Key, nameKey, dataDirKey)
		case slices.ContainsFunc(d.Numbers[:k], func(m Number) bool { return m.Key == n.Key }):
			return fmt.Errorf("number %s is there twice", n.Key)
		case i >= 0 && i < libraryOptions:
			return fmt.Errorf("number %s: the library's tasks have an option of this name; read it by Options, or take another name", n.Key)
		case i >= 0 && table[i].help != n.Help+", or a list":
			return fmt.Errorf("number %s: another task has it with the help %q; two tasks share a key only with the same help", n.Key, strings.TrimSuffix(table[i].help, ", or a list"))
		case strings.TrimSpace(n.Help) == "" || strings.ContainsAny(n.Help, "\n`"):
			return fmt.Errorf("number %s: Help must be one line that says what it is", n.Key)
		case math.IsNaN(n.Default) || math.IsInf(n.Default, 0):
			return fmt.Errorf("number %s: the default %v is not finite", n.Key, n.Default)
		}
	}
	o := set.at(0)
	for _, n := range d.Numbers {
		o = o.WithNumber(n.Key, n.Default)
	}
	if f, err := d.New(o); err != nil {
		return fmt.Errorf("with its defaults: %w", err)
	} else if f == nil {
		return errors.New("with its defaults: New returned no family and no error")
	}
	return nil
}

// numberOf is the kind of an option that a Definition adds.
func numberOf(key string) kind {
	return kind{
		placeholder: "F",
		parse: func(text string) (string, error) {
			x, err := strconv.ParseFloat(text, 64)
			if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
				return "", errors.New("it must be a finite number")
			}
			return formatScale(x + 0), nil // x + 0 turns -0 into 0
		},
		get: func(o *Options) string { return o.number(key) },
		set: func(o *Options, value string) {
			x, _ := strconv.ParseFloat(value, 64) // cannot fail: the value was parsed before
			*o = o.WithNumber(key, x)
		},
	}
}

// Number returns the value of an option that a Definition adds. It is 0 if the option is not set, which it always is in
// Definition.New.
func (o Options) Number(key string) float64 {
	x, _ := strconv.ParseFloat(o.number(key), 64) // "" gives 0
	return x
}

// number returns a value's text, "" if it is not set.
func (o Options) number(key string) string {
	for word := range strings.FieldsSeq(o.numbers) {
		if name, value, _ := strings.Cut(word, "="); name == key {
			return value
		}
	}
	return ""
}

// WithNumber returns o with an option set that a Definition adds. New refuses a key that no task has, and a value that is not
// finite.
func (o Options) WithNumber(key string, x float64) Options {
	words := slices.DeleteFunc(strings.Fields(o.numbers), func(word string) bool { return strings.HasPrefix(word, key+"=") })
	words = append(words, key+"="+formatScale(x+0))
	slices.Sort(words)
	o.numbers = strings.Join(words, " ")
	return o
}

// validateNumbers returns an error if a number has a key that no task has added, or a value that is not finite.
func (o Options) validateNumbers() error {
	for word := range strings.FieldsSeq(o.numbers) {
		key, value, _ := strings.Cut(word, "=")
		i, err := optionOf(key)
		if err == nil && i < libraryOptions {
			err = fmt.Errorf("tasks: %s: it is a field of Options", key)
		}
		if err == nil {
			_, err = table[i].parse(value)
			if err != nil {
				err = fmt.Errorf("tasks: %s %s: %w", key, value, err)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// An ownFamily has the canonical name of a registered task, or the error that its values were refused with.
type ownFamily struct {
	optimizer.Family
	name string
	err  error
}

var _ smallFamily = ownFamily{}

// Name implements optimizer.Family.
func (f ownFamily) Name() string { return f.name }

// Validate returns the error of Definition.New.
func (f ownFamily) Validate() error { return f.err }

// Sample implements optimizer.Family.
func (f ownFamily) Sample(rng *rand.Rand) (optimizer.Problem, error) {
	if f.err != nil {
		return nil, f.err
	}
	return f.Family.Sample(rng)
}
