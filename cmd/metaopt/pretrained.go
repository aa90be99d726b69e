package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"learnedopt/metaopt"
)

// pretrainedPrefix stands before the name of an optimizer that ships with the
// program, wherever a .mopt file can be named.
const pretrainedPrefix = "pretrained:"

// loadPretrained loads pretrained:NAME; ok is false if path is none.
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

// card returns the model card of pretrained:NAME, "" if path is a file's.
func card(path string) (string, error) {
	name, ok := strings.CutPrefix(path, pretrainedPrefix)
	if !ok {
		return "", nil
	}
	return metaopt.ModelCard(name)
}

// completeOptimizers offers .mopt files and what ships with the program.
func completeOptimizers(_ *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if !strings.HasPrefix(pretrainedPrefix, begun) && !strings.HasPrefix(begun, pretrainedPrefix) {
		return []cobra.Completion{"mopt"}, cobra.ShellCompDirectiveFilterFileExt
	}
	// The shell lists files or what it is given, not both.
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
			directive |= cobra.ShellCompDirectiveNoSpace // what is in the folder may follow
		case filepath.Ext(name) == ".mopt":
			offers = append(offers, name)
		}
	}
	return offers, directive
}
