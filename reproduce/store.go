package reproduce

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
	"learnedopt/versus"
)

// A store keeps computed results in files. So a long reproduction can be interrupted and continued, and the hand-designed
// rules are not tuned again for another learned rule. A file is used only for exactly the same question.
type store struct {
	listener Listener
	dir      string
	// fresh answers everything anew.
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
			tell(s.listener, Damaged{path, err})
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

// newEntrant hashes an optimizer.
func newEntrant(o Optimizer) (entrant, error) {
	h := sha256.New()
	if err := metaopt.Write(h, o.Optimizer); err != nil {
		return entrant{}, err
	}
	return entrant{name: o.Name, path: o.Path, optimizer: o.Optimizer, hash: hex.EncodeToString(h.Sum(nil))}, nil
}

// fileOf is the beginning of the names of v's files.
func fileOf(v versus.Config) string {
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '.' {
			return r
		}
		return '-'
	}, v.Family.Name())
	return fmt.Sprintf("%s-steps-%d", plain, v.Steps)
}

// compare does what versus.Config.Run does for the entrants, each tuning and each
// evaluation by itself and from the store if it is there.
func (s *store) compare(ctx context.Context, v versus.Config, entrants []entrant) (versus.Result, error) {
	var res versus.Result
	about := question{Task: v.Family.Name(), Steps: v.Steps, Seed: v.Seed}
	var tunedTo []string
	for _, rule := range v.Rules {
		q := about
		q.What, q.Rule, q.Runs, q.Grid = "tuning", rule, v.TuneRuns, cmp.Or(v.Grid, versus.DefaultGrid)
		tuned, err := ask(s, fileOf(v)+"-tuning-"+rule, q, func() (baselines.Tuned, error) {
			one := v
			one.Rules = []string{rule}
			tuned, err := one.Tune(ctx, forward{s.listener})
			if err != nil {
				return baselines.Tuned{}, err
			}
			return tuned[0], nil
		})
		if err != nil {
			return res, err
		}
		res.Tuned = append(res.Tuned, tuned)
		tunedTo = append(tunedTo, fmt.Sprintf("%s %v", rule, tuned.LearningRate))
	}
	about.What, about.Runs = "evaluation", v.Runs
	res.Comparison = &compare.Comparison{Task: about.Task, Steps: v.Steps, Runs: v.Runs, Seed: v.Seed}
	for _, e := range entrants {
		q := about
		q.Optimizer = e.hash
		c, err := ask(s, fileOf(v)+"-learned-"+e.hash[:12], q, func() (*compare.Comparison, error) {
			return v.Evaluate(ctx, []compare.Contender{{Name: e.name, Kind: compare.Learned, Rule: e.optimizer.Network}}, forward{s.listener})
		})
		if err != nil {
			return res, err
		}
		c.Rules[0].Name = e.name // a file may be called otherwise today
		res.Comparison.Rules = append(res.Comparison.Rules, c.Rules...)
	}
	if contenders := versus.Contenders(res.Tuned); len(contenders) > 0 {
		q := about
		q.Rule = strings.Join(tunedTo, ", ")
		c, err := ask(s, fileOf(v)+"-hand-designed", q, func() (*compare.Comparison, error) {
			return v.Evaluate(ctx, contenders, forward{s.listener})
		})
		if err != nil {
			return res, err
		}
		res.Comparison.Rules = append(res.Comparison.Rules, c.Rules...)
	}
	res.Comparison.Pair()
	return res, nil
}
