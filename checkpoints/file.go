package checkpoints

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
)

// A File is the content of one .mopt file.
type File struct {
	// Kind tells a reader how to interpret the rest, for example
	// "lstm-optimizer". It has 1 to 64 bytes.
	Kind string
	// Config is the maker's own configuration: a map with string keys, in the canonical msgpack that
	// EncodeConfig makes. It is nil if the map is empty.
	Config []byte
	// Provenance says where the tensors come from.
	Provenance Provenance
	// Tensors are in the maker's order, which the file keeps. Names are unique.
	Tensors []Tensor
}

// A Provenance says how a learned rule was made. Every field may be zero;
// counts must not be negative, and floats must be finite.
type Provenance struct {
	Name             string  `msgpack:"name"`               // the rule's display name
	Task             string  `msgpack:"task"`               // the family it was meta-trained on
	Seed             uint64  `msgpack:"seed"`               // the seed of the meta-training
	MetaSteps        int     `msgpack:"meta_steps"`         // meta-steps done
	Steps            int     `msgpack:"steps"`              // inner steps in a run: the horizon of the training
	Unroll           int     `msgpack:"unroll"`             // inner steps in a meta-step
	MetaLearningRate float64 `msgpack:"meta_learning_rate"` // the meta-optimizer's learning rate at the start
	ValidLoss        float64 `msgpack:"valid_loss"`         // validation loss; 0 if never measured
	Version          string  `msgpack:"version"`            // the version of the module that wrote the file
	Command          string  `msgpack:"command"`            // the command line that made the file
	Source           string  `msgpack:"source"`             // where an imported rule was published
	Recipe           string  `msgpack:"recipe,omitempty"`   // the meta-training as JSON (package recipe); "" in older files
}

// A Tensor is a named array of finite numbers in C order (the last index runs
// fastest): float32 in Data, float64 in Data64 or uint8 in Bytes. Exactly one of the
// three is set. Bytes may hold any data, such as a saved state or other files.
//
// The number of elements is the product of Shape. Every dimension is at
// least 1, and an empty Shape means a scalar.
type Tensor struct {
	Name   string // 1 to 256 bytes
	Shape  []int
	Data   []float32
	Data64 []float64
	Bytes  []byte
}

// EncodeConfig sets f.Config to v, a struct or a map with string keys, encoded
// by msgpack's rules: field names or `msgpack:"name"` tags. Map keys are
// sorted and numbers take their shortest form, so equal values give equal
// bytes. A NaN, a time or any other value that is not plain data is an error.
func (f *File) EncodeConfig(v any) error {
	tree, err := toTree(v)
	if err != nil {
		return fmt.Errorf("checkpoints: encode config: %w", err)
	}
	m, ok := tree.(map[string]any)
	if !ok {
		return fmt.Errorf("checkpoints: encode config: %w", content("%T is not a struct or a map", v))
	}
	f.Config = configBytes(m)
	return nil
}

// DecodeConfig decodes f.Config strictly into v, a non-nil pointer. It is an error if v lacks a
// key, if only v has a key (unless its tag says omitempty), if a
// number does not fit, or if a nil stands for a value that cannot be nil.
// A float32 field accepts only whole numbers and float32s; use float64 fields for a config that
// other languages write. v is overwritten as a whole, and only on
// success.
func (f *File) DecodeConfig(v any) error {
	tree, err := f.config()
	if err != nil {
		return fmt.Errorf("checkpoints: decode config: %w", err)
	}
	if err := decodeStrict("config", tree, v); err != nil {
		return fmt.Errorf("checkpoints: decode config: %w", err)
	}
	return nil
}

// config parses f.Config.
func (f *File) config() (map[string]any, error) {
	if len(f.Config) == 0 {
		return map[string]any{}, nil
	}
	tree, err := parse(f.Config)
	if err != nil {
		return nil, err
	}
	m, ok := tree.(map[string]any)
	if !ok {
		return nil, content("config is not a map")
	}
	return m, nil
}

func configBytes(m map[string]any) []byte {
	if len(m) == 0 {
		return nil
	}
	var b bytes.Buffer
	writeTree(&b, m)
	return b.Bytes()
}

// Expect returns an error unless the tensors have exactly these names, in any
// order.
func (f *File) Expect(names ...string) error {
	for _, name := range names {
		if f.find(name) == nil {
			return fmt.Errorf("checkpoints: %w", content("tensor %q is missing", name))
		}
	}
	for i := range f.Tensors {
		if !slices.Contains(names, f.Tensors[i].Name) {
			return fmt.Errorf("checkpoints: %w", content("tensor %q is not known", f.Tensors[i].Name))
		}
	}
	return nil
}

// Float32 returns the data of the float32 tensor of this name and shape; the data
// alias f. A missing tensor, or one of another type or shape, is an error.
func (f *File) Float32(name string, shape ...int) ([]float32, error) {
	t, err := f.lookup(name, "float32", shape)
	if err != nil {
		return nil, err
	}
	return t.Data, nil
}

// Uint8 returns the data of the uint8 tensor of this name, which must have one dimension; the data
// alias f. A missing tensor, or one of another type or shape, is an error.
func (f *File) Uint8(name string) ([]byte, error) {
	n := 0
	if t := f.find(name); t != nil {
		n = len(t.Bytes)
	}
	t, err := f.lookup(name, "uint8", []int{n})
	if err != nil {
		return nil, err
	}
	return t.Bytes, nil
}

// Float64 is Float32 for float64 tensors.
func (f *File) Float64(name string, shape ...int) ([]float64, error) {
	t, err := f.lookup(name, "float64", shape)
	if err != nil {
		return nil, err
	}
	return t.Data64, nil
}

func (f *File) lookup(name, dtype string, shape []int) (*Tensor, error) {
	t := f.find(name)
	switch {
	case t == nil:
		return nil, fmt.Errorf("checkpoints: %w", content("tensor %q is missing", name))
	case t.dtype() != dtype || !slices.Equal(t.Shape, shape):
		return nil, fmt.Errorf("checkpoints: %w",
			content("tensor %q is %s%v, want %s%v", name, t.dtype(), t.Shape, dtype, shape))
	}
	return t, nil
}

func (f *File) find(name string) *Tensor {
	for i := range f.Tensors {
		if f.Tensors[i].Name == name {
			return &f.Tensors[i]
		}
	}
	return nil
}

func (t *Tensor) dtype() string {
	switch {
	case t.Data64 != nil:
		return "float64"
	case t.Bytes != nil:
		return "uint8"
	}
	return "float32"
}

// pointee returns the value that v points to.
func pointee(v any) reflect.Value {
	rv := reflect.ValueOf(v)
	if rv.Kind() != reflect.Pointer || rv.IsNil() {
		panic(errTarget)
	}
	return rv.Elem()
}
