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

// A Spec describes a family, or a mixture of families, without its data: the name of a task and the
// values of the options that are set. Several values of one option make a mixture. A Spec is a plain
// value. A mixture may also be over several tasks that are classifiers; a task is then the data set. Two Specs are == if they have the same task and set the same options to the same values
// in the same order. Two different Specs may describe the same family, for example if only one of them sets
// an option to its default; then their texts are equal:
//
//	a.String() == b.String()
//
// A Spec comes from Parse, from JSON or from With, which accept every value that an option can have.
// Validate returns an error if the task does not read an option or cannot combine its values; Parse and
// JSON call it. The zero Spec has no task.
type Spec struct {
	task string // one name, or several joined by commas
	set  string // "units=8,16 activation=relu": the options that are set, in the order of the table
}

// Parse returns the Spec of a text such as "mnist units=8,16 activation=relu": a task, or several joined by
// commas, and options in any order, each with one value or several joined by commas. It is the inverse of Name for every family
// that New and Spec.Family return,
//
//	Parse(family.Name()).String() == family.Name(),
//
// except that the Spec sets every option that the name has, even to its default. A text that describes no
// family is an error; the data are not looked at.
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

// MustParse is Parse for a text that is known to be valid; it panics if it is not.
func MustParse(text string) Spec {
	s, err := Parse(text)
	if err != nil {
		panic(err)
	}
	return s
}

// Classifies reports whether the task trains networks on data: classifiers of images or of a table's rows, a regression, or networks that
// predict characters.
func (s Spec) Classifies() bool { return readerOf(s)&(networks|textTasks) != 0 }

// Task returns the name of the task, "" if there is none. If there are several, it returns their names joined by commas.
func (s Spec) Task() string { return s.task }

// tasks returns the tasks in their order, one as often as it is named.
func (s Spec) tasks() ([]task, error) {
	var all []task
	for _, name := range strings.Split(s.task, ",") {
		t, err := taskOf(name)
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

// Values returns the values that an option is set to, in canonical text; nil if it is not set.
func (s Spec) Values(key string) []string {
	i, err := optionOf(key)
	if err != nil {
		return nil
	}
	return s.lists()[i]
}

// All yields the options of the canonical name with their values, in the order of the name: the options that are
// set to other values than their defaults, and the options that the name always has.
func (s Spec) All() iter.Seq2[string, []string] {
	return s.lists().named(readerOf(s))
}

// String returns the canonical name, which is the Name of the family. All Specs of one family have the same
// text.
func (s Spec) String() string { return s.lists().words(s.task, readerOf(s)) }

// Args returns s as flags of the command metaopt: --task mnist --units 8,16.
func (s Spec) Args() []string {
	args := []string{"--task", s.Task()}
	for key, values := range s.All() {
		args = append(args, "--"+key, strings.Join(values, ","))
	}
	return args
}

// WithTask returns the Spec of another task, or of several tasks joined by commas, with the same options.
func (s Spec) WithTask(name string) (Spec, error) {
	s.task = name
	if _, err := s.tasks(); err != nil {
		return Spec{}, err
	}
	return s, nil
}

// With returns the Spec with an option set to one or several values, in place of its old values. Without values
// the option is unset. An unknown key or an invalid value is an error.
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

// Overlay returns the Spec with its task and options replaced by those that over sets. Channels replace units and layers, and units
// or layers replace channels.
func (s Spec) Overlay(over Spec) Spec {
	all, set := s.lists(), over.lists()
	for i, row := range table {
		_, perceptron := row.readBy(perceptrons)
		if perceptron && set[channelsRow] != nil {
			all[i] = nil
		}
		if perceptron && set[i] != nil {
			all[channelsRow] = nil
		}
	}
	for i, values := range set {
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
		return fmt.Errorf("tasks: %s has no value; give it at least one, or leave it out", key)
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

// spec returns the Spec of a task with these options.
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

// combinations returns the number of ways to choose one value for each option that is set; ok is false if
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

// at returns combination number i, from 0. The last option of the table changes fastest.
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

// extremes keeps the least and the greatest of each list of numbers, and each name once. If a task accepts two
// values of an option, it accepts all values between them. A task that accepts all combinations
// of extremes therefore accepts all combinations.
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

// combinations returns the number of combinations of a task and of values of the options; ok is false if it is 2^64 or more.
func (s Spec) combinations() (n uint64, ok bool) {
	n, ok = s.lists().combinations()
	beyond, n := bits.Mul64(n, uint64(1+strings.Count(s.task, ",")))
	return n, ok && beyond == 0
}

// Validate reports the first mistake in the Spec: no task, several tasks that are not all classifiers, an option that a task does
// not read (an *OptionError), or a combination of values that is out of the task's bounds. If Validate returns nil
// and the task's data can be read, Family succeeds.
func (s Spec) Validate() error {
	of, err := s.tasks()
	if err != nil {
		return err
	}
	if _, ok := s.combinations(); !ok {
		return errors.New("tasks: a mixture of 2^64 combinations or more; shorten the lists")
	}
	all := s.lists()
	// The number of combinations of extremes does not grow with the lists.
	few := all.extremes()
	n, _ := few.combinations()
	for k, t := range of {
		if len(of) > 1 && t.kind&classifiers == 0 {
			return fmt.Errorf("tasks: %s in a list of tasks: only classifiers can be mixed, on several data sets; take one task, or leave it out", t.name)
		}
		if slices.ContainsFunc(of[:k], func(u task) bool { return u.name == t.name }) {
			continue
		}
		if err := t.reads(all, ""); err != nil {
			return err
		}
		for i := range n {
			if err := t.check(few.at(i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Family returns the family that the Spec describes. If every option has one value it is the family that New returns;
// else it is a *Mixture of all combinations of a task and of values. dataDir is the folder of data sets in files; "" means the folder
// that the function DataDir returns. A dataDir for a task that reads no files is an error.
func (s Spec) Family(dataDir string) (optimizer.Family, error) {
	of, err := s.tasks()
	if err != nil {
		return nil, err
	}
	// One task that reads files is enough.
	if !slices.ContainsFunc(of, func(t task) bool { return t.files }) {
		if err := of[0].reads(s.lists(), dataDir); err != nil {
			return nil, err
		}
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
