package checkpoints

import "fmt"

// Metadata returns everything in f except its tensors, for formats that keep it as text: a
// map of config, kind and provenance, as in a file's payload. Values are nil,
// bool, uint64, int64 (negative numbers only), float32, float64, string, []byte,
// []any and map[string]any.
func (f *File) Metadata() (map[string]any, error) {
	config, err := f.config()
	if err != nil {
		return nil, fmt.Errorf("checkpoints: metadata: %w", err)
	}
	provenance, err := toTree(f.Provenance)
	if err != nil {
		return nil, fmt.Errorf("checkpoints: metadata: %w", err)
	}
	return map[string]any{"config": config, "kind": f.Kind, "provenance": provenance}, nil
}

// SetMetadata is the inverse of Metadata. It is as strict as Read: m must have exactly these three
// keys, and the provenance exactly its own. f keeps its tensors. If m is invalid the error is
// a *FormatError and f is not changed.
func (f *File) SetMetadata(m map[string]any) error {
	g := File{Tensors: f.Tensors}
	seen := 0
	for _, key := range []string{"config", "kind", "provenance"} {
		value, ok := m[key]
		if !ok {
			return fmt.Errorf("checkpoints: metadata: %w", content("%s is missing", key))
		}
		seen++
		if err := g.set(key, value); err != nil {
			return fmt.Errorf("checkpoints: metadata: %w", err)
		}
	}
	if seen != len(m) {
		return fmt.Errorf("checkpoints: metadata: %w", content("%d keys, want config, kind and provenance alone", len(m)))
	}
	*f = g
	return nil
}

// set sets one of the three parts from a value of a map.
func (f *File) set(key string, value any) error {
	if key == "kind" {
		text, ok := value.(string)
		if !ok {
			return content("kind is %T, want a string", value)
		}
		if wrong := checkText("kind", text, 1, maxKind); wrong != "" {
			return content("%s", wrong)
		}
		f.Kind = text
		return nil
	}
	tree, err := toTree(value)
	if err != nil {
		return content("%s: %v", key, err)
	}
	part, ok := tree.(map[string]any)
	if !ok {
		return content("%s is %T, want a map", key, value)
	}
	if key == "config" {
		f.Config = configBytes(part)
		return nil
	}
	if err := decodeStrict(key, part, &f.Provenance); err != nil {
		return err
	}
	if wrong := f.Provenance.check(); wrong != "" {
		return content("%s", wrong)
	}
	return nil
}
