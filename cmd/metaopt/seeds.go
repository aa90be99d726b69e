package main

import (
	"context"
	"errors"

	"learnedopt/compare"
	"learnedopt/metaopt"
	"learnedopt/metatrain"
	"learnedopt/optimizer"
)

// seedResult is what one of several seeds gave, in log.jsonl and result.json.
type seedResult struct {
	Seed   uint64 `json:"seed"`
	Chosen bool   `json:"chosen"`
	// Select is the score that seeds are compared by; nil if there is no network or
	// no comparison.
	Select *compare.RuleScore `json:"select,omitempty"`
	outcome
}

// selectEvent is the line of log.jsonl that follows the last seed's.
type selectEvent struct {
	Event string       `json:"event"`
	Runs  int          `json:"runs"`
	Seeds []seedResult `json:"seeds"`
}

// seedProgress is what the training has of its seeds.
type seedProgress struct {
	now     int  // index of the seed that is trained from
	started bool // and logged
	// Of the seeds before:
	results  []seedResult
	found    []*metaopt.Optimizer // nil where a seed has none
	failure  error                // the last of one that diverged
	finished int                  // that did not
}

// trainOnce trains from the seed of the record and logs it.
func (t *training) trainOnce(ctx context.Context) (*metaopt.Optimizer, error) {
	t.ctx = ctx
	if !t.progress.started {
		t.log.add(newStartEvent(t.record))
		t.progress.started = true
	}
	o, err := t.train(ctx)
	t.log.add(endEvent{"end", t.outcome})
	return o, err
}

// trainAll trains from every seed, and keeps the network that does best on instances that
// nothing else uses. A seed that diverges takes part with the best that it had. If all of
// them do, or on any other error, the training ends with the network of the best
// validation so far.
func (t *training) trainAll(ctx context.Context) (*metaopt.Optimizer, error) {
	n := t.flags.plan.seeds
	if n < 2 {
		return t.trainOnce(ctx)
	}
	base, p := t.record, &t.progress
	base.Seed = t.flags.cfg.Seed
	for {
		// The seed of an interrupted training goes on.
		if err := t.reseed(base.Seed + uint64(p.now)); err != nil {
			return nil, err
		}
		t.note("seed %d, %d of %d", t.record.Seed, p.now+1, n)
		o, err := t.trainOnce(ctx)
		results, found := append(p.results, seedResult{Seed: t.record.Seed, outcome: t.outcome}), append(p.found, o)
		var diverged *metatrain.MetaDivergedError
		switch {
		case err == nil:
			p.finished++
		case !errors.As(err, &diverged):
			return t.bestValidated(results, found), err
		default:
			p.failure = err
			t.note("seed %d: %v", t.record.Seed, err)
		}
		if p.results, p.found = results, found; len(found) == n {
			break
		}
		p.now, p.started = p.now+1, false
	}
	t.log.seed = nil
	base.BestOf = n
	t.record = base
	if p.finished == 0 {
		return t.bestValidated(p.results, p.found), p.failure
	}
	chosen, err := t.choose(ctx, p.results, p.found)
	if err != nil {
		return t.bestValidated(p.results, p.found), err
	}
	o := p.found[chosen]
	// A training's own limit, since every seed may have ended elsewhere.
	o.Provenance.Command = base.command(t.flags.name, base.MetaSteps)
	t.outcome, t.seeds = p.results[chosen].outcome, p.results
	return o, nil
}

// reseed prepares the training from another seed, or from the one that is under way.
func (t *training) reseed(seed uint64) (err error) {
	t.log.seed = &seed
	if t.progress.started {
		return nil
	}
	t.setSeed(seed)
	t.trainer, err = metatrain.NewTrainer(t.cfg)
	return err
}

// setSeed puts another seed everywhere, before there is anything of it.
func (t *training) setSeed(seed uint64) {
	t.cfg.Seed, t.record.Seed = seed, seed
	t.outcome = outcome{validated: -1}
	t.saveNow = true
}

// choose compares the networks, one at least, fills in their scores and returns the index
// of the best.
func (t *training) choose(ctx context.Context, results []seedResult, found []*metaopt.Optimizer) (int, error) {
	var (
		rules []optimizer.Rule
		from  []int
	)
	for k, o := range found {
		if o != nil {
			rules, from = append(rules, o.Network), append(from, k)
		}
	}
	cfg := compare.SelectConfig{
		Family: t.cfg.Valid, Runs: max(defaultRuns, t.cfg.ValidRuns), Horizons: t.record.selectHorizons(),
		Selection: t.cfg.Selection, Seed: t.record.Seed,
	}
	t.note("choosing among %d networks on %d instances", len(rules), cfg.Runs)
	m := t.app.meter(int64(len(rules)*cfg.Runs), "choosing").of("runs")
	cfg.Progress = m.progress
	best, scores, err := compare.Select(ctx, cfg, rules)
	m.close()
	if err != nil {
		return 0, err
	}
	for i, k := range from {
		results[k].Select = &scores[i]
		results[k].Chosen = i == best
		t.note("seed %d: loss %s", results[k].Seed, loss(scores[i].Loss()))
	}
	t.log.add(selectEvent{"select", cfg.Runs, results})
	return from[best], nil
}

// selectHorizons are those that seeds are compared at: all that validation or a
// curriculum has, or the episodes'.
func (r trainRecord) selectHorizons() []int {
	switch {
	case len(r.ValidSteps) > 0:
		return r.ValidSteps
	case len(r.Horizons) > 0:
		return r.Horizons
	}
	return []int{r.Steps}
}

// bestValidated is what an unfinished training keeps: the network with the lowest validation
// loss, with the command that trains its seed alone.
func (t *training) bestValidated(results []seedResult, found []*metaopt.Optimizer) *metaopt.Optimizer {
	best := lowest(results, found)
	if best < 0 {
		return nil
	}
	t.outcome = results[best].outcome
	return found[best]
}

// lowest is the index of the network with the lowest validation loss, -1 if there is none.
func lowest(results []seedResult, found []*metaopt.Optimizer) int {
	best := -1
	for k, o := range found {
		if o != nil && (best < 0 || results[k].ValidLoss < results[best].ValidLoss) {
			best = k
		}
	}
	return best
}
