package command

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"learnedopt/baselines"
	"learnedopt/metaopt"
)

// load is metaopt.Load with remedies in its errors, or metaopt.Pretrained for pretrained:NAME. A run folder stands for its
// optimizer.
func load(path string) (*metaopt.Optimizer, error) {
	if o, ok, err := loadPretrained(path); ok {
		return o, err
	}
	if exists(filepath.Join(path, optimizerFile)) {
		path = filepath.Join(path, optimizerFile)
	}
	o, err := metaopt.Load(path)
	rule, _, _ := strings.Cut(path, ":")
	switch {
	case err == nil:
		return o, nil
	case errors.Is(err, fs.ErrNotExist) && slices.Contains(metaopt.PretrainedNames(), path):
		return nil, fmt.Errorf("there is no file %s; the optimizer that comes with the program is %s%[1]s", path, pretrainedPrefix)
	case errors.Is(err, fs.ErrNotExist) && slices.Contains(baselines.Names(), rule):
		return nil, fmt.Errorf("there is no file %s; name a hand-designed rule with --rules=%s, or as the guard's with --guard=%s", path, rule, path)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no file %s; make one with metaopt meta-train", path)
	case isFolder(path):
		return nil, fmt.Errorf("%s is a folder without %s; name a .mopt file or the folder of a finished meta-training (of a sweep metaopt report makes a page)", path, optimizerFile)
	case strings.HasSuffix(path, ".l2l"):
		return nil, fmt.Errorf("%s is not a .mopt file; convert it with metaopt import %[1]s", path)
	}
	text := err.Error()
	if !strings.Contains(text, path) {
		err = fmt.Errorf("%s: %w", path, err)
	}
	if !strings.Contains(text, ";") && !strings.Contains(text, "again") { // a semicolon introduces the remedy
		err = fmt.Errorf("%w; name an intact one, or make one with metaopt meta-train", err)
	}
	return nil, err
}

// distinctNames names each optimizer as its file does. Optimizers with the same name, or with a name in taken, are named by
// the end of their path, as much of it as is needed to tell them apart.
func distinctNames(paths []string, optimizers []*metaopt.Optimizer, taken []string) []string {
	names := make([]string, len(optimizers))
	for i, o := range optimizers {
		names[i] = o.Name()
	}
	clash := func(i int) bool {
		return slices.Contains(taken, names[i]) ||
			slices.Contains(names[:i], names[i]) || slices.Contains(names[i+1:], names[i])
	}
	for length := 1; ; length++ {
		var clashing []int
		for i := range names {
			if clash(i) {
				clashing = append(clashing, i)
			}
		}
		if len(clashing) == 0 {
			return names
		}
		more := false
		for _, i := range clashing {
			parts := strings.Split(filepath.ToSlash(filepath.Clean(paths[i])), "/")
			more = more || length <= len(parts)
			names[i] = strings.TrimSuffix(strings.Join(parts[max(0, len(parts)-length):], "/"), ".mopt")
		}
		if !more { // the whole path is still the name of a rule
			for _, i := range clashing {
				names[i] += ".mopt"
			}
			return names
		}
	}
}
