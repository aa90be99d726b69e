package htmlreport

import (
	"fmt"
	"strings"

	"learnedopt/sweep/results"
)

// A manifest is what sweep.json says.
type manifest struct {
	*results.Manifest // nil: there is none, or it cannot be read; then records speak for themselves
	settings          []Setting
	// places says by a record's key which cells it is in, as which rules.
	places map[string][]place
}

// A place is a rule in a cell, by their indices.
type place struct{ cell, rule int }

// readManifest reads a sweep.json; nil is none.
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

// axes are those of the manifest, for a page.
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
