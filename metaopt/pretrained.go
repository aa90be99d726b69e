package metaopt

import (
	"bytes"
	"embed"
	"fmt"
	"slices"
	"strings"

	"learnedopt/internal/nearest"
)

// pretrained holds the file NAME.mopt and the model card NAME.md of every optimizer that comes
// with the library.
//
//go:embed pretrained/*.mopt pretrained/*.md
var pretrained embed.FS

// Pretrained returns the optimizer of this name that comes with the library; no file
// is needed. If its provenance has no name, Pretrained sets this one. An unknown name is
// an *UnknownPretrainedError.
//
// Each call reads the optimizer anew, and nothing is read before the first call.
func Pretrained(name string) (*Optimizer, error) {
	data, err := pretrainedFile(name, ".mopt")
	if err != nil {
		return nil, err
	}
	o, err := Read(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("metaopt: pretrained %s: %w", name, err)
	}
	if o.Provenance.Name == "" {
		o.Provenance.Name = name
	}
	return o, nil
}

// PretrainedNames returns the names that Pretrained knows, sorted.
func PretrainedNames() []string {
	entries, err := pretrained.ReadDir("pretrained")
	if err != nil {
		panic("metaopt: " + err.Error()) // cannot happen: the folder is embedded in the program
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".mopt"); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names) // ReadDir sorts file names, which puts "a-b.mopt" before "a.mopt"
	return names
}

// ModelCard returns the model card of a pretrained optimizer, in Markdown. It says what the
// optimizer was trained on, for how long and by which command, how well it does, and where it
// fails. An unknown name is an *UnknownPretrainedError.
func ModelCard(name string) (string, error) {
	data, err := pretrainedFile(name, ".md")
	return string(data), err
}

func pretrainedFile(name, extension string) ([]byte, error) {
	data, err := pretrained.ReadFile("pretrained/" + name + extension)
	if err != nil {
		return nil, &UnknownPretrainedError{name}
	}
	return data, nil
}

// An UnknownPretrainedError says that no optimizer with this name comes with the library.
type UnknownPretrainedError struct{ Name string }

// Error implements error. The text lists the known names.
func (e *UnknownPretrainedError) Error() string {
	names := PretrainedNames()
	return fmt.Sprintf("metaopt: no pretrained optimizer %q%s There are %s",
		e.Name, nearest.DidYouMean(e.Name, names), strings.Join(names, ", "))
}
