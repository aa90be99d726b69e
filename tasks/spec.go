package tasks

import (
	"errors"
	"fmt"
	"iter"
	"math/bits"
	"slices"
	"strings"

	"learnedopt/optimizer"
)

// A Spec says which family New or a Mixture is, without its data: the name of a task and the
// values of options that are set, several values of one option making a mixture. It is a plain
// value: two Specs are == if they have the same task and set the same options to the same values
// in the same order. Two different ones may still say the same family, as one sets an option to
// its default where the other does not; then their texts are equal:
//
//	a.String() == b.String()
//
// A Spec comes from Parse, from JSON or from With, which take any value that an option can have. What
// a task does not read, or not in such a combination, is an error of Validate; Parse and JSON
// validate. The zero Spec has no task.
type Spec struct {
	task string
	set  string // "units=8,16 activation=relu": the options that are set, in the order of the table
}

// Parse returns the Spec of a text, "mnist units=8,16 activation=relu": a task and options in any
// order, each with a value or several joined by commas. It is the inverse of Name for every family
// that New and Spec.Family return,
//
//	Parse(family.Name()).String() == family.Name(),
//
// except that options that the name has are set, if only to their defaults. A text that no
// family can be made of, data aside, is an error.
func Parse(text string) (Spec, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return Spec{}, errNoTask
	}
	s, err := Spec{}.WithTask(words[0])
	if err != nil {
		return Spec{}, err
	}
	all := make(lists, len(table))
	for _, word := range words[1:] {
		key, values, ok := strings.Cut(word, "=")
		if !ok {
			return Spec{}, fmt.Errorf("tasks: %q is no option with a value; write KEY=V or KEY=V,V, as units=8,16", word)
		}
		if err := all.add(key, strings.Split(values, ",")); err != nil {
			return Spec{}, err
		}
	}
	s = all.spec(s.task)
	if err := s.Validate(); err != nil {
		return Spec{}, err
	}
	return s, nil
}

var errNoTask = errors.New("tasks: no task is named; the tasks are " + strings.Join(Names(), ", "))

// MustParse is Parse of a text that is known to be right; it panics if it is not.
func MustParse(text string) Spec {
	s, err := Parse(text)
	if err != nil {
		panic(err)
	}
	return s
}

// Classifies says whether the task is one of classifiers: networks on labelled images.
func (s Spec) Classifies() bool { return readerOf(s.task)&classifiers != 0 }

// Task returns the name of the task, "" if there is none.
func (s Spec) Task() string { return s.task }

// Values returns the values that an option is set to, in canonical text; nil if it is not set.
func (s Spec) Values(key string) []string {
	i, err := optionOf(key)
	if err != nil {
		return nil
	}
	return s.lists()[i]
}

// All yields the options of the canonical name with their values, in their order: those that are
// set and those that the name always has.
func (s Spec) All() iter.Seq2[string, []string] {
	return s.lists().named(readerOf(s.task))
}

// String returns the canonical name, Name of the family that the Spec says: the same text for
// every way to say it.
func (s Spec) String() string { return s.lists().words(s.task, readerOf(s.task)) }

// Args returns s as flags of the command metaopt: --task mnist --units 8,16.
func (s Spec) Args() []string {
	args := []string{"--task", s.Task()}
	for key, values := range s.All() {
		args = append(args, "--"+key, strings.Join(values, ","))
	}
	return args
}

// WithTask returns the Spec of another task with the same options.
func (s Spec) WithTask(name string) (Spec, error) {
	if _, err := taskOf(name); err != nil {
		return Spec{}, err
	}
	s.task = name
	return s, nil
}

// With returns the Spec with an option set to one value or to several, in place of those that it
// had; without values the option is not set. A key or a value that there is not is an error.
func (s Spec) With(key string, values ...string) (Spec, error) {
	i, err := optionOf(key)
	if err != nil {
		return Spec{}, err
	}
	all := s.lists()
	all[i] = nil
	if len(values) > 0 {
		if err := all.add(key, values); err != nil {
			return Spec{}, err
		}
	}
	return all.spec(s.task), nil
}

// Overlay returns the Spec with everything that over sets, the task included, in place of its own.
func (s Spec) Overlay(over Spec) Spec {
	all := s.lists()
	for i, values := range over.lists() {
		if values != nil {
			all[i] = values
		}
	}
	if over.task != "" {
		s.task = over.task
	}
	return all.spec(s.task)
}

// add sets an option that is not set yet.
func (l lists) add(key string, values []string) error {
	i, err := optionOf(key)
	if err != nil {
		return err
	}
	if l[i] != nil {
		return fmt.Errorf("tasks: %s is there twice; give it all its values at once", key)
	}
	if len(values) == 0 {
		return fmt.Errorf("tasks: %s has no value; name one at least, or leave it out", key)
	}
	for _, text := range values {
		value, err := table[i].parse(text)
		if err != nil {
			return fmt.Errorf("tasks: %s %q: %w", key, text, err)
		}
		l[i] = append(l[i], value)
	}
	return nil
}

// spec is the Spec of a task with these options.
func (l lists) spec(task string) Spec {
	var words []string
	for i, values := range l {
		if values != nil {
			words = append(words, table[i].Key+"="+strings.Join(values, ","))
		}
	}
	return Spec{task, strings.Join(words, " ")}
}

// lists is the inverse of lists.spec.
func (s Spec) lists() lists {
	all := make(lists, len(table))
	for word := range strings.FieldsSeq(s.set) {
		key, values, _ := strings.Cut(word, "=")
		i := slices.IndexFunc(table, func(o Option) bool { return o.Key == key })
		all[i] = strings.Split(values, ",")
	}
	return all
}

// combinations is the number of combinations of a value of each option that is set, ok false if
// it is 2^64 or more.
func (l lists) combinations() (n uint64, ok bool) {
	n = 1
	for _, values := range l {
		if values == nil {
			continue
		}
		var beyond uint64
		if beyond, n = bits.Mul64(n, uint64(len(values))); beyond > 0 {
			return 0, false
		}
	}
	return n, true
}

// at returns a combination. The last option of the table goes through its values fastest.
func (l lists) at(combination uint64) Options {
	var o Options
	for i, values := range slices.Backward(l) {
		if n := uint64(len(values)); n > 0 {
			table[i].set(&o, values[combination%n])
			combination /= n
		}
	}
	return o
}

// extremes keeps the least and the greatest of a list of numbers, and each name once. Whatever
// Options a task takes, it takes numbers between them, so a task that takes all combinations
// of extremes takes all combinations.
func (l lists) extremes() lists {
	all := make(lists, len(l))
	for i, values := range l {
		if values == nil {
			continue
		}
		if !table[i].number() {
			all[i] = slices.Compact(slices.Sorted(slices.Values(values)))
			continue
		}
		all[i] = slices.Compact([]string{slices.MinFunc(values, compareNumbers), slices.MaxFunc(values, compareNumbers)})
	}
	return all
}

// Validate says what is wrong with the Spec: no task, an option that the task does not read
// (an *OptionError), or a combination of values that is out of the task's bounds. What Validate
// passes, Family makes, if the task's data are there.
func (s Spec) Validate() error {
	t, err := taskOf(s.task)
	if err != nil {
		return err
	}
	all := s.lists()
	if err := t.reads(all, ""); err != nil {
		return err
	}
	if _, ok := all.combinations(); !ok {
		return errors.New("tasks: a mixture of 2^64 combinations or more; shorten the lists")
	}
	// Their number does not grow with the lists.
	few := all.extremes()
	n, _ := few.combinations()
	for i := range n {
		if err := t.check(few.at(i)); err != nil {
			return err
		}
	}
	return nil
}

// Family returns the family that the Spec says: what New returns if every option has one value,
// else a *Mixture of all combinations of one value each. dataDir is the folder of the data sets
// that are read from files, looked up by DataDir if it is ""; it is an error to name one for a
// task that reads none.
func (s Spec) Family(dataDir string) (optimizer.Family, error) {
	t, err := taskOf(s.task)
	if err != nil {
		return nil, err
	}
	if err := t.reads(s.lists(), dataDir); err != nil {
		return nil, err
	}
	families, err := Families(dataDir, s)
	return first(families), err
}

func first(families []optimizer.Family) optimizer.Family {
	if len(families) == 0 {
		return nil
	}
	return families[0]
}
