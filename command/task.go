package command

import (
	"errors"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"learnedopt/optimizer"
	"learnedopt/tasks"
)

// taskFlags are a task's name and options as flags.
type taskFlags struct {
	name    string
	options tasks.Spec // the options that are set, without a task
	dataDir string
	data    string // the user's own data
}

// dataUsage is the help of the flag --data.
const dataUsage = "data of the tasks images, table, regression and char-rnn: a folder of IDX files, a CSV file, or a text file"

// add adds the flags to cmd; name is the default task.
func (t *taskFlags) add(cmd *cobra.Command, name, usage string) {
	t.name = name
	fs := cmd.Flags()
	fs.Var(textFlag{&t.name, "NAME"}, "task", usage+": "+oneOf(tasks.Names())+"; or several classifiers joined by commas, of which each instance draws one")
	complete(cmd, "task", tasks.Names()...)
	for _, o := range tasks.OptionTable() {
		fs.Var(optionFlag{&t.options, o}, o.Key, o.Usage())
		if values := o.Values(); values != nil {
			complete(cmd, o.Key, values...)
		}
	}
	fs.Var(textFlag{&t.data, "FILE"}, "data", dataUsage)
	fs.Var(textFlag{&t.dataDir, "DIR"}, "data-dir", "folder of the data sets; else $"+tasks.DataDirEnv+", else the user's cache folder")
}

// An optionFlag is a flag for an option of a task. Several values, joined by commas, make a mixture.
type optionFlag struct {
	spec   *tasks.Spec
	option tasks.Option
}

var _ pflag.Value = optionFlag{}

func (f optionFlag) String() string { return strings.Join(f.spec.Values(f.option.Key), ",") }

func (f optionFlag) Set(s string) error {
	values := strings.Split(s, ",")
	for _, v := range values {
		if _, err := f.option.Parse(v); err != nil {
			return err
		}
	}
	spec, err := f.spec.With(f.option.Key, values...)
	if err == nil {
		*f.spec = spec
	}
	return err
}

func (f optionFlag) Type() string {
	return f.option.Placeholder() + "[," + f.option.Placeholder() + "]"
}

// spec is the task that the flags name.
func (t *taskFlags) spec() (tasks.Spec, error) {
	s, err := t.options.WithTask(t.name)
	if err != nil {
		return s, asUsage(err)
	}
	return t.withData(s)
}

// withData returns s on the data of the flag --data, if it is set, and sets the folder that holds them.
func (t *taskFlags) withData(s tasks.Spec) (tasks.Spec, error) {
	if t.data == "" {
		return s, nil
	}
	s, dir, err := s.WithData(t.data)
	if err == nil {
		t.dataDir = dir
	}
	return s, taskError(err)
}

// family returns the task that the flags name.
func (t *taskFlags) family() (optimizer.Family, error) {
	s, err := t.spec()
	if err != nil {
		return nil, err
	}
	return newFamily(s, t.dataDir)
}

// familyOf returns the task of a canonical name in a file. Options that are set override the file's options. The name must be
// exactly a task of this program.
func (t *taskFlags) familyOf(canonical string) (optimizer.Family, error) {
	s, err := tasks.Parse(canonical)
	if err != nil {
		return nil, usagef("%q is not a task of this program: %w", canonical, err)
	}
	if s.String() != canonical {
		return nil, usagef("the task %q is not the %q that this program knows", canonical, s)
	}
	if s, err = t.withData(s.Overlay(t.options)); err != nil {
		return nil, err
	}
	return newFamily(s, t.dataDir)
}

// newFamily is Spec.Family with errors that name flags. Missing or broken data are a failure. All other errors are mistakes
// in the command line.
func newFamily(s tasks.Spec, dataDir string) (optimizer.Family, error) {
	family, err := s.Family(dataDir)
	return family, taskError(err)
}

// taskError turns an error of package tasks into an error of the command line.
func taskError(err error) error {
	if err == nil {
		return nil
	}
	var (
		format *tasks.FormatError
		path   *fs.PathError
		option *tasks.OptionError
		table  *tasks.TableError
		text   *tasks.TextError
		other  *tasks.OtherDataError
	)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.As(err, &format) || errors.As(err, &path) || errors.As(err, &table) || errors.As(err, &text) || errors.As(err, &other):
		return err
	case errors.As(err, &option):
		return usagef("--%s does not apply to the task %s; its options are --%s", option.Option, option.Task, strings.Join(option.Options, ", --"))
	}
	return asUsage(err)
}
