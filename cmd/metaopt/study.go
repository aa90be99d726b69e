package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"learnedopt/baselines"
	"learnedopt/compare"
	"learnedopt/internal/durable"
	"learnedopt/metaopt"
)

// A store keeps computed results in files. So a long reproduction can be interrupted and continued, and the hand-designed
// rules are not tuned again for another learned rule. A file is used only for exactly the same question.
type store struct {
	*app
	dir string
	// fresh says to ignore existing files and compute everything again.
	fresh bool
}

// A question holds everything on which the answer in a store's file depends.
type question struct {
	// What is "tuning" of a Rule, or "evaluation" of the rules in Rule.
	What string `json:"what"`
	Rule string `json:"rule"`
	Task string `json:"task"`
	// Optimizer is the SHA-256 of the learned rule's file.
	Optimizer string `json:"optimizer,omitempty"`
	Steps     int    `json:"steps"`
	Runs      int    `json:"runs"`
	Grid      int    `json:"grid,omitempty"`
	Seed      uint64 `json:"seed"`
}

type answered[T any] struct {
	Question question `json:"question"`
	Answer   T        `json:"answer"`
}

// ask returns the answer in the store's file of this name, if the file holds the same question. Otherwise it computes the
// answer and stores it.
func ask[T any](s *store, name string, q question, compute func() (T, error)) (T, error) {
	path := filepath.Join(s.dir, name+".json")
	if data, err := os.ReadFile(path); err == nil && !s.fresh {
		var kept answered[T]
		if err := json.Unmarshal(data, &kept); err != nil {
			s.note("%s is damaged and is computed again: %v", path, err)
		} else if kept.Question == q {
			return kept.Answer, nil
		}
	}
	answer, err := compute()
	if err != nil {
		return answer, err
	}
	data, err := json.Marshal(answered[T]{q, answer})
	if err != nil {
		return answer, fmt.Errorf("%s: %w", path, err)
	}
	return answer, durable.Replace(path, append(data, '\n'))
}

// An entrant is a learned optimizer in a reproduction.
type entrant struct {
	name, path string
	optimizer  *metaopt.Optimizer
	hash       string
}

// newEntrant reads a file, or pretrained:NAME.
func newEntrant(path string) (entrant, error) {
	o, err := load(path)
	if err != nil {
		return entrant{}, err
	}
	h := sha256.New()
	if err := metaopt.Write(h, o); err != nil {
		return entrant{}, err
	}
	return entrant{name: o.Name(), path: path, optimizer: o, hash: hex.EncodeToString(h.Sum(nil))}, nil
}

// file returns the beginning of the names of v's files.
func (v versus) file() string {
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '.' {
			return r
		}
		return '-'
	}, v.family.Name())
	return fmt.Sprintf("%s-steps-%d", plain, v.steps)
}

// compare does the same as versus.run for the entrants. Each tuning and each evaluation is a question of its own, answered
// from the store if possible.
func (s *store) compare(ctx context.Context, v versus, entrants []entrant) (result, error) {
	var res result
	about := question{Task: v.family.Name(), Steps: v.steps, Seed: v.seed}
	var tunedTo []string
	for _, rule := range v.rules {
		q := about
		q.What, q.Rule, q.Runs, q.Grid = "tuning", rule, v.tuneRuns, cmp.Or(v.grid, defaultGrid)
		tuned, err := ask(s, v.file()+"-tuning-"+rule, q, func() (baselines.Tuned, error) {
			one := v
			one.rules = []string{rule}
			tuned, err := one.tune(ctx, s.app)
			if err != nil {
				return baselines.Tuned{}, err
			}
			return tuned[0], nil
		})
		if err != nil {
			return res, err
		}
		res.tuned = append(res.tuned, tuned)
		tunedTo = append(tunedTo, fmt.Sprintf("%s %v", rule, tuned.LearningRate))
	}
	about.What, about.Runs = "evaluation", v.runs
	res.comparison = &compare.Comparison{Task: about.Task, Steps: v.steps, Runs: v.runs, Seed: v.seed}
	for _, e := range entrants {
		q := about
		q.Optimizer = e.hash
		c, err := ask(s, v.file()+"-learned-"+e.hash[:12], q, func() (*compare.Comparison, error) {
			return v.evaluate(ctx, s.app, []compare.Contender{{Name: e.name, Kind: compare.Learned, Rule: e.optimizer.Network}})
		})
		if err != nil {
			return res, err
		}
		c.Rules[0].Name = e.name // the file's name may have changed since
		res.comparison.Rules = append(res.comparison.Rules, c.Rules...)
	}
	if contenders := contendersOf(res.tuned); len(contenders) > 0 {
		q := about
		q.Rule = strings.Join(tunedTo, ", ")
		c, err := ask(s, v.file()+"-hand-designed", q, func() (*compare.Comparison, error) {
			return v.evaluate(ctx, s.app, contenders)
		})
		if err != nil {
			return res, err
		}
		res.comparison.Rules = append(res.comparison.Rules, c.Rules...)
	}
	res.comparison.Pair()
	return res, nil
}
