package runfolder

import (
	"context"
	"errors"

	"learnedopt/compare"
	"learnedopt/metaopt"
	"learnedopt/metatrain"
	"learnedopt/optimizer"
)

// A SeedResult is the result of one of several seeds, as written to log.jsonl and result.json.
type SeedResult struct {
	Seed   uint64 `json:"seed"`
	Chosen bool   `json:"chosen"`
	// Select is the score by which seeds are compared; nil if the seed has no network, or if there was no
	// comparison.
	Select *compare.RuleScore `json:"select,omitempty"`
	Outcome
}

// selectEvent is the line of log.jsonl after the lines of the last seed.
type selectEvent struct {
	Event string       `json:"event"`
	Runs  int          `json:"runs"`
	Seeds []SeedResult `json:"seeds"`
}

// seedProgress says which seeds are done, and holds their results.
type seedProgress struct {
	now     int  // index of the present seed
	started bool // whether its start event was logged
	// Results of the seeds before it:
	results  []SeedResult
	found    []*metaopt.Optimizer // nil for a seed without a network
	failure  error                // the last error of a diverged seed
	finished int                  // number of seeds that did not diverge
}

// trainOnce trains from the record's seed and logs the training.
func (r *Run) trainOnce(ctx context.Context) (*metaopt.Optimizer, error) {
	r.ctx = ctx
	if !r.progress.started {
		r.log.add(newStartEvent(r.record))
		r.progress.started = true
	}
	o, err := r.train(ctx)
	r.log.add(endEvent{"end", r.outcome})
	return o, err
}

// trainAll trains from every seed. It keeps the network that does best on instances that nothing else uses. A diverged seed
// takes part with its best network before. If all seeds diverge, or on any other error, the training ends with the network
// of the best validation so far.
func (r *Run) trainAll(ctx context.Context) (*metaopt.Optimizer, error) {
	n := r.recipe.Seeds
	if n < 2 {
		return r.trainOnce(ctx)
	}
	p := &r.progress
	for {
		// In a resumed run, this continues the interrupted seed.
		if err := r.reseed(r.recipe.Seed + uint64(p.now)); err != nil {
			return nil, err
		}
		o, err := r.trainOnce(ctx)
		results, found := append(p.results, SeedResult{Seed: r.record.Seed, Outcome: r.outcome}), append(p.found, o)
		var diverged *metatrain.MetaDivergedError
		switch {
		case err == nil:
			p.finished++
		case !errors.As(err, &diverged):
			return r.bestValidated(results, found), err
		default:
			p.failure = err
			r.tell(SeedDiverged{r.record.Seed, err})
		}
		if p.results, p.found = results, found; len(found) == n {
			break
		}
		p.now, p.started = p.now+1, false
	}
	r.log.seed = nil
	r.record = recordTraining(r.recipe, r.cfg)
	r.record.BestOf = n
	if p.finished == 0 {
		return r.bestValidated(p.results, p.found), p.failure
	}
	chosen, err := r.choose(ctx, p.results, p.found)
	if err != nil {
		return r.bestValidated(p.results, p.found), err
	}
	o := p.found[chosen]
	r.outcome, r.seeds = p.results[chosen].Outcome, p.results
	// The recipe's own limit of meta-steps, because each seed may have ended at a different meta-step.
	return o, r.sign(o, r.recipe, r.recipe.MetaSteps)
}

// reseed prepares the training from a new seed, or from the resumed one.
func (r *Run) reseed(seed uint64) (err error) {
	r.log.seed = &seed
	if r.progress.started {
		return nil
	}
	r.setSeed(seed)
	r.trainer, err = r.newTrainer()
	return err
}

// setSeed switches to a new seed, of which nothing was trained yet.
func (r *Run) setSeed(seed uint64) {
	r.cfg.Seed, r.record.Seed = seed, seed
	r.outcome = Outcome{validated: -1}
	r.saveNow = true
}

// selectRuns is the least number of instances on which seeds are compared.
const selectRuns = 20

// choose compares the networks, of which there must be at least one. It fills in their scores and returns the index of the
// best.
func (r *Run) choose(ctx context.Context, results []SeedResult, found []*metaopt.Optimizer) (int, error) {
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
		Family: r.cfg.Valid, Runs: max(selectRuns, r.cfg.ValidRuns), Horizons: r.record.selectHorizons(),
		Selection: r.cfg.Selection, Seed: r.record.Seed,
	}
	r.tell(Choosing{Networks: len(rules), Runs: cfg.Runs})
	cfg.Progress = func(done, total int) { r.tell(ChoosingRun{done, total}) }
	best, scores, err := compare.Select(ctx, cfg, rules)
	r.tell(ChoosingEnded{})
	if err != nil {
		return 0, err
	}
	for i, k := range from {
		results[k].Select = &scores[i]
		results[k].Chosen = i == best
		r.tell(SeedScored{results[k].Seed, scores[i].Loss()})
	}
	r.log.add(selectEvent{"select", cfg.Runs, results})
	return from[best], nil
}

// selectHorizons returns the horizons at which seeds are compared: all horizons of validation, else of the curriculum, else
// the episodes' horizon.
func (c Record) selectHorizons() []int {
	switch {
	case len(c.ValidSteps) > 0:
		return c.ValidSteps
	case len(c.Horizons) > 0:
		return c.Horizons
	}
	return []int{c.Steps}
}

// bestValidated returns the network that an unfinished training keeps: the one with the lowest validation loss. Its command
// trains only its seed.
func (r *Run) bestValidated(results []SeedResult, found []*metaopt.Optimizer) *metaopt.Optimizer {
	best := lowest(results, found)
	if best < 0 {
		return nil
	}
	r.outcome = results[best].Outcome
	return found[best]
}

// lowest returns the index of the network with the lowest validation loss, or -1 if there is none.
func lowest(results []SeedResult, found []*metaopt.Optimizer) int {
	best := -1
	for k, o := range found {
		if o != nil && (best < 0 || results[k].ValidLoss < results[best].ValidLoss) {
			best = k
		}
	}
	return best
}
