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
	// ManifestFile holds the Manifest. CellsFile holds one Record a line.
	ManifestFile = "sweep.json"
	CellsFile    = "cells.jsonl"
)

// Where the learning rates of hand-designed rules are tuned.
const (
	// TuneBase tunes each rule once, on the base task and horizon. TuneCell tunes it in every cell. TuneBoth does both and
	// makes two rules of each.
	TuneBase = "base"
	TuneCell = "cell"
	TuneBoth = "both"
)

// ReachRule is the hand-designed rule against which speed-ups are measured.
const ReachRule = "adam"

// StepsAxis is the key of the axis whose values are horizons T.
const StepsAxis = "steps"

// TaskAxis is the key of the axis whose values are whole tasks.
const TaskAxis = "task"

// An Axis is a setting and the values that it takes in the sweep, in canonical text.
type Axis struct {
	Key    string   `json:"key"`
	Values []string `json:"values"`
}

// A Manifest is a sweep's resolved configuration. The manifest and the records are enough to compute the
// results, without the optimizers and the data.
type Manifest struct {
	Version string `json:"version"`
	// Task is the base task: its canonical name, or only the name of the task if the sweep does not run it.
	Task     string `json:"task"`
	Axes     []Axis `json:"axes"`
	Steps    int    `json:"steps"`
	Runs     int    `json:"runs"`
	Seed     uint64 `json:"seed"`
	Tune     string `json:"tune"`
	TuneRuns int    `json:"tune_runs"`
	Grid     int    `json:"grid"`
	Reach    int    `json:"reach"`
	// TuneLearned says that each learned rule is there once more, with a tuned factor on its updates.
	TuneLearned bool   `json:"tune_learned,omitempty"`
	Rules       []Rule `json:"rules"`
	Cells       []Cell `json:"cells"`
}

// A Rule is an optimizer of a sweep.
type Rule struct {
	// Name is the name that is shown; it is unique among a sweep's rules.
	Name string `json:"name"`
	// Kind is compare.Learned or compare.Baseline.
	Kind string `json:"kind"`
	// Source is a learned rule's file or pretrained:NAME. Digest is the SHA-256 of its
	// parameters and configuration.
	Source string `json:"source,omitempty"`
	Digest string `json:"digest,omitempty"`
	// KLGuard is the radius of the KL guard that bounds a learned rule's steps, 0 for none.
	KLGuard float64 `json:"kl_guard,omitempty"`
	// Baseline is a hand-designed rule's name in package baselines. Tuned is TuneBase or TuneCell, or "" if nothing of the
	// rule is tuned: a learned rule as it was trained. LearningRate is the tuned learning rate, and Multiplier
	// the tuned factor on a learned rule's updates: they are set in a Record and nil in a Manifest.
	Baseline     string   `json:"baseline,omitempty"`
	Tuned        string   `json:"tuned,omitempty"`
	LearningRate *float64 `json:"learning_rate,omitempty"`
	Multiplier   *float64 `json:"multiplier,omitempty"`
}

// A Cell is one combination of the axes' values.
type Cell struct {
	// Values holds the value of every axis by the axis' key.
	Values map[string]string `json:"values"`
	// Task is the canonical name of the cell's task. Steps is the horizon T.
	Task  string `json:"task"`
	Steps int    `json:"steps"`
	// Keys are the keys of the cell's records, one for each of Manifest.Rules.
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

// Validate reports the first contradiction in a manifest: a rule of unknown kind, two rules of one name, or a cell without
// exactly one key a rule.
func (m *Manifest) Validate() error {
	names := map[string]bool{}
	for _, r := range m.Rules {
		if r.Kind != compare.Learned && r.Kind != compare.Baseline || names[r.Name] {
			return fmt.Errorf("rule %q of kind %q: the kind is unknown, or the rule is there twice", r.Name, r.Kind)
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

// Write writes the manifest into a sweep's folder; it replaces an older one.
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

// Missing counts the sweep's records that are not among the given ones.
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

// Name returns the cell's values in the order of the axes, as "units=20 layers=2"; without axes it returns the cell's task.
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

// Place returns a record as the record of rule k in a cell of this sweep. The rule's name and the cell's values come from the
// manifest: they may have changed since the record was made. ok is false if the record has another number of instances than
// the sweep.
func (m *Manifest) Place(r Record, c *Cell, k int) (_ Record, ok bool) {
	if r.Runs != m.Runs {
		return r, false
	}
	rate, multiplier := r.Rule.LearningRate, r.Rule.Multiplier
	r.Rule, r.Cell = m.Rules[k], c.Values
	r.Rule.LearningRate, r.Rule.Multiplier = rate, multiplier
	return r, true
}
