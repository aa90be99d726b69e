package sweep

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// format is the version of what a record's key stands for: to be raised when the same definition
// gives other numbers.
const format = 1

// A definition is what a record's numbers depend on. Names that are only shown do not enter.
type definition struct {
	Format int    `json:"format"`
	Task   string `json:"task"`
	Steps  int    `json:"steps"`
	Runs   int    `json:"runs"`
	Seed   uint64 `json:"seed"`
	// Of a learned rule.
	Digest string `json:"digest,omitempty"`
	// Of a hand-designed one; Reach is how many times T it runs.
	Baseline string `json:"baseline,omitempty"`
	Tuned    string `json:"tuned,omitempty"`
	Tuning   string `json:"tuning,omitempty"` // key
	Reach    int    `json:"reach,omitempty"`
}

// A Tuning is a line of tuning.jsonl: the learning rate of one rule on one task.
type Tuning struct {
	Key string `json:"key"`
	tuningDefinition
	// LearningRate is 0 if every one diverged.
	LearningRate float64 `json:"learning_rate"`
	AtEdge       bool    `json:"at_edge,omitempty"`
}

type tuningDefinition struct {
	Format int    `json:"format"`
	Rule   string `json:"rule"`
	Task   string `json:"task"`
	Steps  int    `json:"steps"`
	Runs   int    `json:"runs"`
	Grid   int    `json:"grid"` // learning rates a decade
	Seed   uint64 `json:"seed"`
}

// keyOf is the first 16 digits of the SHA-256 of a definition's JSON.
func keyOf(definition any) string {
	data, err := json.Marshal(definition)
	if err != nil {
		panic(fmt.Sprintf("sweep: %v", err)) // of plain fields: cannot be
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])[:16]
}
