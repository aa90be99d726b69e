package tasks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"learnedopt/internal/nearest"
)

// nameKey is the key of the task's name in a Spec's JSON. No option has this key.
const nameKey = "name"

var (
	_ json.Marshaler   = Spec{}
	_ json.Unmarshaler = (*Spec)(nil)
)

// MarshalJSON writes the task and the options that are set, each as a list:
//
//	{"name":"mnist","units":[8,16],"activation":["relu"]}
//	{"name":["mnist","cifar10"],"image-size":[14]}
//
// The name is a text, and a list of texts if there are several tasks.
// An invalid Spec is an error.
func (s Spec) MarshalJSON() ([]byte, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	var b strings.Builder
	name := `"` + strings.ReplaceAll(s.task, ",", `","`) + `"`
	if strings.Contains(s.task, ",") {
		name = "[" + name + "]"
	}
	fmt.Fprintf(&b, "{%q:%s", nameKey, name)
	for i, values := range s.lists() {
		if values == nil {
			continue
		}
		if !table[i].number() {
			for k, v := range values {
				values[k] = `"` + v + `"`
			}
		}
		fmt.Fprintf(&b, ",%q:[%s]", table[i].Key, strings.Join(values, ","))
	}
	b.WriteByte('}')
	return []byte(b.String()), nil
}

// UnmarshalJSON reads the JSON that MarshalJSON writes, with keys in any order. It is strict. An unknown key
// is an error that names the nearest known one. A key that is there twice, a value that
// the option cannot have, and an invalid Spec are errors too. After an error s is unchanged.
func (s *Spec) UnmarshalJSON(data []byte) error {
	if !json.Valid(data) {
		return errors.New("tasks: the text of a task is not valid JSON")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return errors.New(`tasks: a task is a JSON object, as {"name":"mnist","units":[8,16]}`)
	}
	var (
		read = Spec{}
		all  = make(lists, len(table))
	)
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return fmt.Errorf("tasks: %w", err)
		}
		key, _ := token.(string) // always a string: the text is a valid object
		var value any
		if err := dec.Decode(&value); err != nil {
			return fmt.Errorf("tasks: %w", err)
		}
		if key != nameKey {
			if err := all.addJSON(key, value); err != nil {
				return err
			}
			continue
		}
		if read.task != "" {
			return fmt.Errorf("tasks: %s is there twice", nameKey)
		}
		names, err := namesIn(value)
		if err != nil {
			return err
		}
		if read, err = read.WithTask(names); err != nil {
			return err
		}
	}
	read = all.spec(read.task)
	if err := read.Validate(); err != nil {
		return err
	}
	*s = read
	return nil
}

// namesIn returns the names of tasks in a decoded JSON text or list of texts, joined by commas.
func namesIn(value any) (string, error) {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	} else if len(list) < 2 {
		return "", fmt.Errorf("tasks: a list in %s has two tasks or more; write one as %[1]q: \"mnist\"", nameKey)
	}
	var names []string
	for _, v := range list {
		name, ok := v.(string)
		if !ok || strings.Contains(name, ",") {
			return "", fmt.Errorf("tasks: the %s of a task is text, as %[1]q: \"mnist\", or a list as %[1]q: [\"mnist\",\"cifar10\"]", nameKey)
		}
		names = append(names, name)
	}
	return strings.Join(names, ","), nil
}

// addJSON sets an option to a decoded JSON list, of numbers or of strings as the option wants.
func (l lists) addJSON(key string, value any) error {
	keys := append([]string{nameKey}, optionKeys()...)
	i, err := optionOf(key)
	if err != nil {
		return fmt.Errorf("tasks: a task has no key %q%s The keys are %s", key, nearest.DidYouMean(key, keys), strings.Join(keys, ", "))
	}
	list, ok := value.([]any)
	if !ok {
		return fmt.Errorf("tasks: %s must be a list, even of one value: %[1]q: [%s]", key, exampleJSON(table[i]))
	}
	var values []string
	for _, v := range list {
		number, isNumber := v.(json.Number)
		name, isName := v.(string)
		switch {
		case isNumber && table[i].number():
			values = append(values, number.String())
		case isName && !table[i].number():
			values = append(values, name)
		default:
			return fmt.Errorf("tasks: %s has a value of another kind; write it as %[1]q: [%s]", key, exampleJSON(table[i]))
		}
	}
	return l.add(key, values)
}

// exampleJSON returns a valid value of the option in JSON.
func exampleJSON(o Option) string {
	if o.number() {
		return "1" // valid for every option of numbers
	}
	return `"` + o.example + `"`
}
