package htmlreport

import (
	"bytes"
	"cmp"
	"encoding/json"
	"strconv"
	"strings"
)

// A manifest is what sweep.json says.
type manifest struct {
	axes     []Axis
	settings []Setting
	planned  int
	// places says by a record's key which cells and rules it is of; nil if the file lists none. Then
	// records speak for themselves.
	places map[string][]place
}

type place struct {
	cell map[string]string
	rule recordRule
}

// readManifest reads a sweep.json; nil is none.
func readManifest(data []byte) (m manifest, err error) {
	if data == nil {
		return m, nil
	}
	var doc struct {
		Axes  json.RawMessage `json:"axes"`
		Rules []recordRule    `json:"rules"`
		Cells []struct {
			Values map[string]string `json:"values"`
			Keys   []string          `json:"keys"` // in the order of Rules
		} `json:"cells"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return m, err
	}
	for _, s := range flatten(data) {
		if !strings.HasPrefix(s.Name, "cells.") {
			m.settings = append(m.settings, s)
		}
	}
	if doc.Axes != nil {
		m.axes = decodeAxes(doc.Axes)
	}
	if len(doc.Cells) > 0 {
		m.planned, m.places = len(doc.Cells), map[string][]place{}
		for _, c := range doc.Cells[:min(len(doc.Cells), maxCells)] {
			for k, key := range c.Keys[:min(len(c.Keys), len(doc.Rules))] {
				m.places[key] = append(m.places[key], place{c.Values, doc.Rules[k]})
			}
		}
		return m, nil
	}
	m.planned = min(len(m.axes), 1)
	for _, a := range m.axes {
		if m.planned *= len(a.Values); m.planned > maxCells {
			m.planned = 0
		}
	}
	return m, nil
}

// decodeAxes reads axes in order: a list of objects with a key (or name) and values, or an object of lists.
func decodeAxes(data json.RawMessage) []Axis {
	var list []struct {
		Name   string            `json:"name"`
		Key    string            `json:"key"`
		Values []json.RawMessage `json:"values"`
	}
	var axes []Axis
	if json.Unmarshal(data, &list) == nil {
		for _, a := range list {
			axes = append(axes, newAxis(cmp.Or(a.Key, a.Name), a.Values))
		}
	} else {
		dec := json.NewDecoder(bytes.NewReader(data))
		if token, err := dec.Token(); err != nil || token != json.Delim('{') {
			return nil
		}
		for dec.More() {
			key, err := dec.Token()
			if err != nil {
				return nil
			}
			var values []json.RawMessage
			if dec.Decode(&values) != nil {
				return nil
			}
			name, _ := key.(string)
			axes = append(axes, newAxis(name, values))
		}
	}
	return axes[:min(len(axes), maxAxes)]
}

func newAxis(name string, values []json.RawMessage) Axis {
	a := Axis{Name: clean(name, maxName)}
	for _, v := range values[:min(len(values), maxValues)] {
		text := string(v)
		if s, err := strconv.Unquote(text); err == nil {
			text = s
		}
		a.Values = append(a.Values, clean(text, maxName))
	}
	return a
}
