package sweep

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// format is the version of a record's definition. Raise it when the same definition gives other
// numbers than before.
const format = 1

// A definition holds everything that a record's numbers depend on. Names that are only shown are not part of it.
type definition struct {
	Format int    `json:"format"`
	Task   string `json:"task"`
	Steps  int    `json:"steps"`
	Runs   int    `json:"runs"`
	Seed   uint64 `json:"seed"`
	// Digest is set for a learned rule.
	Digest string `json:"digest,omitempty"`
	// KLGuard is the radius of a learned rule's KL guard, 0 for none.
	KLGuard float64 `json:"kl_guard,omitempty"`
	// The other fields are set for a rule that is tuned. A hand-designed one runs for Reach·T steps.
	Baseline string `json:"baseline,omitempty"`
	Tuned    string `json:"tuned,omitempty"`
	Tuning   string `json:"tuning,omitempty"` // key of its Tuning
	Reach    int    `json:"reach,omitempty"`
}

// A Tuning is a line of tuning.jsonl: the learning rate of one rule on one task, or the factor on a learned rule's updates.
type Tuning struct {
	Key string `json:"key"`
	tuningDefinition
	// LearningRate is 0 if the rule diverged at every learning rate. It is the factor if the rule is learned.
	LearningRate float64 `json:"learning_rate"`
	AtEdge       bool    `json:"at_edge,omitempty"`
}

type tuningDefinition struct {
	Format int    `json:"format"`
	Rule   string `json:"rule"` // name of package baselines, or learnedRule
	Task   string `json:"task"`
	Steps  int    `json:"steps"`
	Runs   int    `json:"runs"`
	Grid   int    `json:"grid"` // learning rates a decade
	Seed   uint64 `json:"seed"`
	Digest string `json:"digest,omitempty"` // a learned rule's
}

// learnedRule stands for a learned rule's name, on which its tuning does not depend.
const learnedRule = "learned"

// keyOf is the first 16 digits of the SHA-256 of a definition's JSON.
func keyOf(definition any) string {
	data, err := json.Marshal(definition)
	if err != nil {
		panic(fmt.Sprintf("sweep: %v", err)) // cannot happen: all fields are plain
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])[:16]
}
