package recipe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"learnedopt/internal/nearest"
	"learnedopt/tasks"
)

// MaxSize is the largest JSON text of a recipe, in bytes.
const MaxSize = 1 << 16

var (
	_ json.Marshaler   = Recipe{}
	_ json.Unmarshaler = (*Recipe)(nil)
)

// Parse reads a recipe from JSON and validates it. It is strict. An unknown key is an error that names the nearest key.
// Also errors are: a duplicate key, null, a missing "defaults", text after the object, more than MaxSize bytes, and a
// recipe that Validate refuses.
func Parse(data []byte) (Recipe, error) {
	var r Recipe
	if err := r.UnmarshalJSON(data); err != nil {
		return Recipe{}, err
	}
	if err := r.Validate(); err != nil {
		return Recipe{}, err
	}
	return r, nil
}

// Load is Parse of a file.
func Load(path string) (Recipe, error) {
	f, err := os.Open(path)
	if err != nil {
		return Recipe{}, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return Recipe{}, err
	}
	r, err := Parse(data)
	if err != nil {
		return Recipe{}, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// Format returns r as JSON for Parse, one option per line: all options that are set, and the version of the defaults. It
// returns an error if r is not valid.
func (r Recipe) Format() ([]byte, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString("{")
	for i, key := range r.selfContained().set() {
		if i > 0 {
			b.WriteString(",")
		}
		value, err := json.Marshal(key.value)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "\n  %q: %s", key.name, value)
	}
	b.WriteString("\n}\n")
	return b.Bytes(), nil
}

// MarshalJSON implements json.Marshaler. It is Format on one line, and does not validate r.
func (r Recipe) MarshalJSON() ([]byte, error) {
	type plain Recipe // without this method
	return json.Marshal(plain(r.selfContained()))
}

// selfContained returns r with the values that a text must always contain: the version of the defaults, and the task's name
// if the task has options.
func (r Recipe) selfContained() Recipe {
	if r.Defaults == 0 {
		r.Defaults = Latest
	}
	if r.Task != (tasks.Spec{}) && r.Task.Task() == "" {
		r.Task = r.WithDefaults().Task
	}
	return r
}

// A keyed is a key and a value of the JSON object.
type keyed struct {
	name  string
	value any
}

// set returns the fields that are set, in their order.
func (r Recipe) set() (keys []keyed) {
	v := reflect.ValueOf(r)
	for i := range v.NumField() {
		if field := v.Field(i); !field.IsZero() {
			keys = append(keys, keyed{keyOf(v.Type().Field(i)), field.Interface()})
		}
	}
	return keys
}

func keyOf(field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	return name
}

// UnmarshalJSON implements json.Unmarshaler. It is as strict as Parse about keys and types, but does not validate values.
// After an error r is unchanged.
func (r *Recipe) UnmarshalJSON(data []byte) error {
	if len(data) > MaxSize {
		return fmt.Errorf("recipe: more than %d bytes of JSON", MaxSize)
	}
	var (
		read   Recipe
		fields = reflect.ValueOf(&read).Elem()
		index  = map[string]int{}
		keys   []string
		seen   = map[string]bool{}
	)
	for i := range fields.NumField() {
		key := keyOf(fields.Type().Field(i))
		index[key] = i
		keys = append(keys, key)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.New(`recipe: the text is no JSON object, as {"defaults": 2, "meta_steps": 2000}`)
	}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return fmt.Errorf("recipe: %w", err)
		}
		key, _ := token.(string) // a key of an object is always a string
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return fmt.Errorf("recipe: %s: %w", key, err)
		}
		i, known := index[key]
		switch {
		case !known:
			return fmt.Errorf("recipe: no key %q%s `metaopt meta-train --print-recipe` shows the keys", key, nearest.DidYouMean(key, keys))
		case seen[key]:
			return fmt.Errorf("recipe: the key %q is there twice", key)
		case string(value) == "null":
			return fmt.Errorf("recipe: %s is null; leave it out for its default", key)
		}
		seen[key] = true
		if err := json.Unmarshal(value, fields.Field(i).Addr().Interface()); err != nil {
			return fmt.Errorf("recipe: %s: %w", key, plainer(err))
		}
		// If zero stands for the default, the text must not say zero: it would not mean zero.
		if fields.Field(i).IsZero() && (fields.Field(i).Kind() == reflect.String || rowOf(strings.ReplaceAll(key, "_", "-")) != nil) {
			return fmt.Errorf("recipe: %s cannot be %s; leave it out for its default", key, value)
		}
	}
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("recipe: the object does not end: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("recipe: there is something after the object")
	}
	switch {
	case !seen["defaults"]:
		return fmt.Errorf(`recipe: it does not say for which version of the defaults it was written; add "defaults": %d for the latest one`, Latest)
	case read.Defaults < 1 || read.Defaults > Latest:
		return fmt.Errorf("recipe: it was written for version %d of the defaults, this program knows 1 to %d; a newer version of it may know more", read.Defaults, Latest)
	}
	*r = read
	return nil
}

// plainer rewrites an error of encoding/json without Go's names of types.
func plainer(err error) error {
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) {
		return err
	}
	want := "text"
	switch wrong.Type.Kind() {
	case reflect.Bool:
		want = "true or false"
	case reflect.Int:
		want = "a whole number"
	case reflect.Uint64:
		want = "a whole number of at least 0, below 2^64"
	case reflect.Float64:
		want = "a number"
	case reflect.Slice:
		want = "a list of whole numbers"
	}
	return fmt.Errorf("it must be %s, not %s", want, wrong.Value)
}
