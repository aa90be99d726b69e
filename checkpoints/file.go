package checkpoints

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
)

// A File is the content of one .mopt file.
type File struct {
	// Kind says what the reader should make of the rest, as
	// "lstm-optimizer": 1 to 64 bytes.
	Kind string
	// Config is the maker's own configuration in the canonical msgpack that
	// EncodeConfig makes: a map with string keys; nil if it is empty.
	Config []byte
	// Provenance says where the tensors come from.
	Provenance Provenance
	// Tensors are in the maker's order, which the file keeps. Names are unique.
	Tensors []Tensor
}

// A Provenance says how a learned rule came to be. Every field may be zero;
// counts are not negative and floats are finite.
type Provenance struct {
	Name             string  `msgpack:"name"`               // the rule's display name
	Task             string  `msgpack:"task"`               // the family it was meta-trained on
	Seed             uint64  `msgpack:"seed"`               // of the meta-training
	MetaSteps        int     `msgpack:"meta_steps"`         // meta-steps done
	Steps            int     `msgpack:"steps"`              // inner steps a run: the horizon trained for
	Unroll           int     `msgpack:"unroll"`             // inner steps a meta-step
	MetaLearningRate float64 `msgpack:"meta_learning_rate"` // the meta-optimizer's, at the start
	ValidLoss        float64 `msgpack:"valid_loss"`         // validation loss; 0 if never measured
	Version          string  `msgpack:"version"`            // of the module that wrote the file
	Command          string  `msgpack:"command"`            // the command line that made it
	Source           string  `msgpack:"source"`             // where an imported rule was published
	Recipe           string  `msgpack:"recipe,omitempty"`   // the meta-training as JSON (package recipe); "" in files that are older
}

// A Tensor is a named array of finite numbers in C order (the last index runs
// fastest): float32 in Data, float64 in Data64 or uint8 in Bytes, exactly one of the
// three. Bytes may be anything: a saved state, other files.
//
// The length is the product of Shape; every dimension is at
// least 1, and an empty Shape is a scalar.
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
// bytes. A NaN, a time and anything else that is not plain data is an error.
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

// DecodeConfig decodes f.Config into v, a non-nil pointer, strictly: a key
// that v lacks, a key that only v has (unless its tag says omitempty), a
// number that does not fit and a nil for something that cannot be nil are
// errors. A float32 takes whole numbers and float32s only, so a config that
// other languages write has float64s. v is overwritten as a whole, and only on
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

// Expect returns an error unless the tensors' names are exactly these, in any
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

// Float32 returns the data of the float32 tensor of this name and shape; it
// aliases f. A tensor that is missing or of another type or shape is an error.
func (f *File) Float32(name string, shape ...int) ([]float32, error) {
	t, err := f.lookup(name, "float32", shape)
	if err != nil {
		return nil, err
	}
	return t.Data, nil
}

// Uint8 returns the data of the uint8 tensor of this name, which has one dimension; it
// aliases f. A tensor that is missing or of another type or shape is an error.
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

// pointee returns what v points to.
func pointee(v any) reflect.Value {
	rv := reflect.ValueOf(v)
	if rv.Kind() != reflect.Pointer || rv.IsNil() {
		panic(errTarget)
	}
	return rv.Elem()
}
