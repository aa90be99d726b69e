package command

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"learnedopt/metaopt"
)

// pretrainedPrefix begins the name of an optimizer that ships with the program. Such a name can replace the path of a .mopt
// file everywhere.
const pretrainedPrefix = "pretrained:"

// loadPretrained loads pretrained:NAME. ok is false if path does not begin with pretrained:.
func loadPretrained(path string) (o *metaopt.Optimizer, ok bool, err error) {
	name, ok := strings.CutPrefix(path, pretrainedPrefix)
	if !ok {
		return nil, false, nil
	}
	o, err = metaopt.Pretrained(name)
	var unknown *metaopt.UnknownPretrainedError
	if errors.As(err, &unknown) {
		err = asUsage(err)
	}
	return o, true, err
}

// card returns the model card of pretrained:NAME, or "" if path is the path of a file.
func card(path string) (string, error) {
	name, ok := strings.CutPrefix(path, pretrainedPrefix)
	if !ok {
		return "", nil
	}
	return metaopt.ModelCard(name)
}

// completeOptimizers offers .mopt files and the optimizers that ship with the program.
func completeOptimizers(_ *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if !strings.HasPrefix(pretrainedPrefix, begun) && !strings.HasPrefix(begun, pretrainedPrefix) {
		return []cobra.Completion{"mopt"}, cobra.ShellCompDirectiveFilterFileExt
	}
	// The shell lists either files or given names, not both. So this function lists the files itself.
	var offers []cobra.Completion
	for _, name := range metaopt.PretrainedNames() {
		if name = pretrainedPrefix + name; strings.HasPrefix(name, begun) {
			offers = append(offers, name)
		}
	}
	directive := cobra.ShellCompDirectiveNoFileComp
	entries, err := os.ReadDir(".")
	if err != nil {
		entries = nil
	}
	for _, e := range entries {
		name := e.Name()
		switch {
		case !strings.HasPrefix(name, begun) || strings.HasPrefix(name, "."):
		case e.IsDir():
			offers = append(offers, name+string(filepath.Separator))
			directive |= cobra.ShellCompDirectiveNoSpace // the user may type on, for a file in the folder
		case filepath.Ext(name) == ".mopt":
			offers = append(offers, name)
		}
	}
	return offers, directive
}
