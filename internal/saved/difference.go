package saved

import (
	"fmt"
	"strings"
	"unicode"
)

// Difference says how a definition differs from the saved one; it returns "" if they are equal. It names the first three
// different settings with both values.
func Difference(saved, now string) string {
	if saved == now {
		return ""
	}
	order, was := settings(saved)
	more, is := settings(now)
	var all []string
	for _, path := range append(order, more...) {
		a, before := was[path]
		b, after := is[path]
		delete(was, path) // so that each path is named once
		delete(is, path)
		switch {
		case before && after && a != b:
			all = append(all, fmt.Sprintf("%s was %s and is %s", printable(path), printable(a), printable(b)))
		case before && !after:
			all = append(all, fmt.Sprintf("%s was %s and is not set", printable(path), printable(a)))
		case !before && after:
			all = append(all, fmt.Sprintf("%s was not set and is %s", printable(path), printable(b)))
		}
	}
	const named = 3
	switch {
	case len(all) == 0:
		return "the order of the settings is another"
	case len(all) > named:
		return fmt.Sprintf("%s, and %d more differences", strings.Join(all[:named], ", "), len(all)-named)
	}
	return strings.Join(all, ", ")
}

// settings returns the paths of a definition, in order, and the values by path.
func settings(definition string) (order []string, values map[string]string) {
	values = map[string]string{}
	for line := range strings.Lines(definition) {
		path, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " = ")
		if before, ok := values[path]; ok {
			values[path] = before + ", " + value
			continue
		}
		order = append(order, path)
		values[path] = value
	}
	return order, values
}

// printable makes a text from a file safe for a message: short, and without characters that control a
// terminal.
func printable(s string) string {
	const longest = 200
	if len(s) > longest {
		s = s[:longest] + "…"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}
