package metaopt

import (
	"bytes"
	"embed"
	"fmt"
	"slices"
	"strings"

	"learnedopt/internal/nearest"
)

// pretrained holds NAME.mopt and the model card NAME.md of every optimizer that ships
// with the library.
//
//go:embed pretrained/*.mopt pretrained/*.md
var pretrained embed.FS

// Pretrained returns the optimizer of this name that is part of the library: no file
// is needed. One that carries no name of its own carries this one. An unknown name is
// an *UnknownPretrainedError.
//
// Nothing is read before the call; each call reads the optimizer anew.
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
		panic("metaopt: " + err.Error()) // the folder is in the program
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".mopt"); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names) // of files, "a-b.mopt" is before "a.mopt"
	return names
}

// ModelCard returns the Markdown text that says of a pretrained optimizer what it was
// trained on, for how long and by which command, how it does, and where it fails. An
// unknown name is an *UnknownPretrainedError.
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

// An UnknownPretrainedError says that no optimizer of a name ships with the library.
type UnknownPretrainedError struct{ Name string }

// Error implements error; it lists the names.
func (e *UnknownPretrainedError) Error() string {
	names := PretrainedNames()
	return fmt.Sprintf("metaopt: no pretrained optimizer %q, did you mean %q? There are %s",
		e.Name, nearest.Name(e.Name, names), strings.Join(names, ", "))
}
