package results

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"learnedopt/compare"
	"learnedopt/internal/durable"
)

// The files of a sweep's folder.
const (
	// ManifestFile holds the Manifest, CellsFile a Record a line.
	ManifestFile = "sweep.json"
	CellsFile    = "cells.jsonl"
)

// On what the learning rates of hand-designed rules are tuned.
const (
	// TuneBase is once, on the base task and horizon; TuneCell in every cell; TuneBoth makes
	// two rules of each.
	TuneBase = "base"
	TuneCell = "cell"
	TuneBoth = "both"
)

// ReachRule is the hand-designed rule that speed-ups are measured by.
const ReachRule = "adam"

// StepsAxis is the key of the axis that is the horizon T.
const StepsAxis = "steps"

// An Axis is a setting and the values that it takes, in canonical text.
type Axis struct {
	Key    string   `json:"key"`
	Values []string `json:"values"`
}

// A Manifest is a sweep's resolved configuration: with it and the records the results can be
// told without the optimizers and the data.
type Manifest struct {
	Version string `json:"version"`
	// Task is the base task: its canonical name, or its plain one if the sweep does not need it.
	Task     string `json:"task"`
	Axes     []Axis `json:"axes"`
	Steps    int    `json:"steps"`
	Runs     int    `json:"runs"`
	Seed     uint64 `json:"seed"`
	Tune     string `json:"tune"`
	TuneRuns int    `json:"tune_runs"`
	Grid     int    `json:"grid"`
	Reach    int    `json:"reach"`
	Rules    []Rule `json:"rules"`
	Cells    []Cell `json:"cells"`
}

// A Rule is an optimizer of a sweep.
type Rule struct {
	// Name is shown; it is unique among a sweep's rules.
	Name string `json:"name"`
	// Kind is compare.Learned or compare.Baseline.
	Kind string `json:"kind"`
	// Source is a learned rule's file or pretrained:NAME, Digest the SHA-256 of its
	// parameters and configuration.
	Source string `json:"source,omitempty"`
	Digest string `json:"digest,omitempty"`
	// Baseline is a hand-designed rule's plain name, Tuned TuneBase or TuneCell, LearningRate what it
	// was tuned to: nil before that.
	Baseline     string   `json:"baseline,omitempty"`
	Tuned        string   `json:"tuned,omitempty"`
	LearningRate *float64 `json:"learning_rate,omitempty"`
}

// A Cell is one combination of the axes' values.
type Cell struct {
	// Values has the value of every axis by its key.
	Values map[string]string `json:"values"`
	// Task is the canonical name, Steps the horizon T.
	Task  string `json:"task"`
	Steps int    `json:"steps"`
	// Keys are those of the records, one for each of Manifest.Rules.
	Keys []string `json:"keys"`
}

// ParseManifest reads the text of a manifest. A manifest that contradicts itself is an error.
func ParseManifest(data []byte) (*Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, err
	}
	if err := m.Validate(); err != nil {
		return nil, err
	}
	return &m, nil
}

// Validate says in what a manifest contradicts itself.
func (m *Manifest) Validate() error {
	names := map[string]bool{}
	for _, r := range m.Rules {
		if r.Kind != compare.Learned && r.Kind != compare.Baseline || names[r.Name] {
			return fmt.Errorf("rule %q of kind %q, which is none or there twice", r.Name, r.Kind)
		}
		names[r.Name] = true
	}
	for _, cell := range m.Cells {
		if len(cell.Keys) != len(m.Rules) {
			return fmt.Errorf("a cell has %d keys for %d rules", len(cell.Keys), len(m.Rules))
		}
	}
	return nil
}

// Write writes the manifest into a sweep's folder, in place of an older one.
func (m *Manifest) Write(dir string) error {
	data, err := json.MarshalIndent(m, "", "  ")
	if err == nil {
		err = durable.Replace(filepath.Join(dir, ManifestFile), append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	return nil
}

// ReadManifest reads the manifest of a sweep's folder.
func ReadManifest(dir string) (*Manifest, error) {
	path := filepath.Join(dir, ManifestFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	m, err := ParseManifest(data)
	if err != nil {
		return nil, fmt.Errorf("sweep: %s: %w; run the same metaopt sweep again, which writes it anew", path, err)
	}
	return m, nil
}

// Total counts the sweep's records.
func (m *Manifest) Total() int { return len(m.Cells) * len(m.Rules) }

// Missing counts the sweep's records that are not among some.
func (m *Manifest) Missing(records map[string]Record) int {
	missing := 0
	for _, cell := range m.Cells {
		for _, key := range cell.Keys {
			if r, ok := records[key]; !ok || r.Runs != m.Runs {
				missing++
			}
		}
	}
	return missing
}

// Name is the cell's values in the order of the axes: "units=20 layers=2".
func (m *Manifest) Name(c Cell) string {
	text := ""
	for _, a := range m.Axes {
		if text != "" {
			text += " "
		}
		text += a.Key + "=" + c.Values[a.Key]
	}
	if text == "" {
		return c.Task
	}
	return text
}

// Place returns a record as the sweep's, of rule k in a cell: what is shown, the rule's name and the cell's
// values, may be called otherwise than when the record was made. ok is false if the record is of another number of instances than
// the sweep's.
func (m *Manifest) Place(r Record, c *Cell, k int) (_ Record, ok bool) {
	if r.Runs != m.Runs {
		return r, false
	}
	rate := r.Rule.LearningRate
	r.Rule, r.Cell = m.Rules[k], c.Values
	r.Rule.LearningRate = rate
	return r, true
}
