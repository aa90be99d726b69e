package command

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"learnedopt/metaopt"
	"learnedopt/recipe"
)

// recipeFlags are the options of a recipe as flags. settings holds the flags that were set, in their order.
type recipeFlags struct {
	settings []recipe.Setting
	file     string
	data     string // the user's own data, and the folder that holds them
	dataDir  string
}

// add adds flags for the wanted options; nil means all options. version is the version of the defaults that help shows.
func (f *recipeFlags) add(cmd *cobra.Command, version int, wanted []string) {
	fs := cmd.Flags()
	for _, o := range recipe.Options() {
		if wanted != nil && !slices.Contains(wanted, o.Name) {
			continue
		}
		flag := fs.VarPF(&recipeFlag{Option: o, to: f, shown: o.Default(version)}, o.Name, "", o.Usage(version))
		if o.Bool() {
			flag.NoOptDefVal = "true"
		}
		switch o.Name {
		case "inputs":
			complete(cmd, o.Name, "logsign", "rnnprop", "raw", "logsign+rnnprop", "logsign+rnnprop+clock")
		case "init":
			if err := cmd.RegisterFlagCompletionFunc(o.Name, completeOptimizers); err != nil {
				panic("metaopt: " + err.Error())
			}
		default:
			if values := o.Values(); values != nil {
				complete(cmd, o.Name, values...)
			}
		}
	}
}

// recipe returns the recipe of the flags. If there is a file, the flags that are set override the file's recipe.
func (f *recipeFlags) recipe() (recipe.Recipe, error) {
	var r recipe.Recipe
	if f.file != "" {
		var err error
		if r, err = loadRecipe(f.file); err != nil {
			return r, err
		}
	}
	r, err := r.With(f.settings...)
	if err == nil && f.data != "" {
		r.Task, f.dataDir, err = r.Task.WithData(f.data)
	}
	if err == nil {
		err = r.Validate()
	}
	return r, taskError(err)
}

// loadRecipe reads a recipe from a JSON file, or from the file of an optimizer.
func loadRecipe(path string) (recipe.Recipe, error) {
	if filepath.Ext(path) != ".mopt" && !strings.HasPrefix(path, recipe.PretrainedPrefix) {
		r, err := recipe.Load(path)
		if file := (*fs.PathError)(nil); err != nil && !errors.As(err, &file) {
			err = asUsage(err)
		}
		return r, err
	}
	o, err := load(path)
	if err != nil {
		return recipe.Recipe{}, err
	}
	r, err := recipe.Of(o.Provenance)
	if err != nil {
		return recipe.Recipe{}, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// recipeFlag is an option as a flag.
type recipeFlag struct {
	recipe.Option
	to    *recipeFlags
	shown string // the default, or the value if it was set
}

var _ pflag.Value = (*recipeFlag)(nil)

// String implements pflag.Value.
func (o *recipeFlag) String() string { return o.shown }

// Set implements pflag.Value.
func (o *recipeFlag) Set(text string) error {
	if err := o.Option.Set(&recipe.Recipe{}, text); err != nil {
		return errors.New(oneLine(err))
	}
	o.to.settings = append(o.to.settings, recipe.Setting{Name: o.Name, Text: text})
	o.shown = text
	return nil
}

// Type implements pflag.Value.
func (o *recipeFlag) Type() string { return o.Placeholder() }

// loadInit loads the optimizer named by Recipe.Init, with remedies in its errors. For "" it returns nil.
func loadInit(name string) (*metaopt.Optimizer, error) {
	if name == "" {
		return nil, nil
	}
	return load(name)
}
