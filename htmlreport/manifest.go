package htmlreport

import (
	"fmt"
	"strings"

	"learnedopt/sweep/results"
)

// A manifest is the content of sweep.json, prepared for a page.
type manifest struct {
	*results.Manifest // nil if sweep.json does not exist or cannot be read; rules and cells then come from the records
	settings          []Setting
	// places holds, by a record's key, the cells and rules that the record belongs to.
	places map[string][]place
}

// A place is a rule in a cell, by the indices of both.
type place struct{ cell, rule int }

// readManifest reads the text of a sweep.json; nil means that there is no such file.
func readManifest(data []byte) (m manifest, err error) {
	if data == nil {
		return m, nil
	}
	parsed, err := results.ParseManifest(data)
	if err != nil {
		return m, err
	}
	values := 0
	for _, a := range parsed.Axes {
		values = max(values, len(a.Values))
	}
	for _, bound := range []struct {
		what    string
		n, most int
	}{
		{"cells", len(parsed.Cells), maxCells}, {"rules", len(parsed.Rules), maxRules}, {"axes", len(parsed.Axes), maxAxes},
		{"values of an axis", values, maxValues},
	} {
		if bound.n > bound.most {
			return m, fmt.Errorf("%d %s; a page has at most %d", bound.n, bound.what, bound.most)
		}
	}
	m.Manifest, m.places = parsed, map[string][]place{}
	for i, c := range parsed.Cells {
		for k, key := range c.Keys {
			m.places[key] = append(m.places[key], place{i, k})
		}
	}
	for _, s := range flatten(data) {
		if !strings.HasPrefix(s.Name, "cells.") {
			m.settings = append(m.settings, s)
		}
	}
	return m, nil
}

// axes returns the manifest's axes for a page.
func (m manifest) axes() []Axis {
	axes := []Axis{}
	if m.Manifest == nil {
		return axes
	}
	for _, a := range m.Axes {
		values := []string{}
		for _, v := range a.Values {
			values = append(values, clean(v, maxName))
		}
		axes = append(axes, Axis{clean(a.Key, maxName), values})
	}
	return axes
}
