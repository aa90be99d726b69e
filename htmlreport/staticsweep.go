package htmlreport

import (
	"slices"
	"strings"

	"learnedopt/report"
	"learnedopt/report/comparison"
	"learnedopt/sweep/results"
)

// Bounds on the pictures of a sweep in a page without scripts: the cells of a heat map, and the curves of all small panels.
const (
	maxHeatCells   = 100
	maxPanelCurves = 200
)

// sweepPictures draws the heat maps and the learning curves that metaopt sweep draws. There are none of a sweep without sweep.json, of one
// whose cells are not all combinations of its axes, or of more cells than maxHeatCells.
func sweepPictures(s *Sweep) (all []picture) {
	m := drawable(s.manifest)
	if m == nil {
		return nil
	}
	records := map[string]results.Record{}
	for _, c := range s.Cells {
		for _, r := range c.records {
			records[r.Key] = r
		}
	}
	pictures, err := comparison.DrawSweep(m.Results(records))
	if err != nil {
		return nil
	}
	for _, p := range pictures {
		switch {
		case strings.HasPrefix(p.Name, comparison.HeatPrefix):
			all = addPicture(all, "Heat map: "+strings.TrimPrefix(p.Name, comparison.HeatPrefix), p.Plot)
		case strings.HasPrefix(p.Name, comparison.CurvesPrefix) && m.Total() <= maxPanelCurves:
			all = addPicture(all, "Learning curves: "+strings.TrimPrefix(p.Name, comparison.CurvesPrefix), p.Plot)
		}
	}
	return all
}

// drawable returns a copy of a manifest with names that fit into a page, or nil if its cells are too many to be drawn or are not
// all combinations of the axes' values.
func drawable(m *results.Manifest) *results.Manifest {
	if m == nil || len(m.Cells) > maxHeatCells {
		return nil
	}
	twin := *m
	twin.Axes, twin.Rules, twin.Cells = nil, slices.Clone(m.Rules), nil
	combinations := 1
	for _, a := range m.Axes {
		own := results.Axis{Key: clean(a.Key, maxName)}
		for _, v := range a.Values {
			own.Values = append(own.Values, clean(v, maxName))
		}
		if combinations *= len(own.Values); combinations > maxHeatCells {
			return nil
		}
		twin.Axes = append(twin.Axes, own)
	}
	if combinations != len(m.Cells) {
		return nil
	}
	for i := range twin.Rules {
		twin.Rules[i].Name = clean(twin.Rules[i].Name, maxName)
	}
	seen := map[string]bool{}
	for _, c := range m.Cells {
		values, where := map[string]string{}, ""
		for _, a := range twin.Axes {
			v, ok := c.Values[a.Key]
			if v = clean(v, maxName); !ok || !slices.Contains(a.Values, v) {
				return nil
			}
			values[a.Key] = v
			where += v + "\n"
		}
		if seen[where] {
			return nil
		}
		seen[where] = true
		c.Values = values
		twin.Cells = append(twin.Cells, c)
	}
	if twin.Validate() != nil { // two names that are the same once they are cleaned
		return nil
	}
	return &twin
}

// addPicture appends a picture, unless it cannot be encoded.
func addPicture(all []picture, title string, plot *report.Plot) []picture {
	source, err := embedded(plot)
	if err != nil {
		return all
	}
	return append(all, picture{Title: title, Source: source})
}
