package runfolder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"learnedopt/compare"
	"learnedopt/internal/durable"
	"learnedopt/internal/lock"
	"learnedopt/metaopt"
	"learnedopt/metatrain"
	"learnedopt/recipe"
)

// Train meta-trains by a configuration of the caller's own, and keeps the training in the folder dir: every event in the log,
// and the best network of all validations, from the first one on. metaopt report and the dashboard show it, also while it
// runs. cfg.OnEvent and cfg.AtRest are called too.
//
// The folder must not hold a run; "" makes a new one in the folder runs. The result is that of metatrain.Trainer.Train: the
// best network so far also together with an error, nil if there is none. A training without a recipe cannot be resumed from
// its folder; register its task (tasks.Register) and use New for one that can.
func Train(ctx context.Context, dir string, cfg metatrain.TrainConfig) (*metaopt.Optimizer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.WithDefaults()
	dir, held, err := makeFolder(dir, folderName.Replace(fmt.Sprintf("own-seed%d", cfg.Seed)))
	if err != nil {
		return nil, err
	}
	o, err := trainIn(ctx, dir, cfg)
	return o, errors.Join(err, held.Release())
}

// trainIn is Train in a locked folder.
func trainIn(ctx context.Context, dir string, cfg metatrain.TrainConfig) (*metaopt.Optimizer, error) {
	log, err := openLog(dir, 0)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, OptimizerFile)
	out, keep := Outcome{validated: -1}, false
	onEvent, atRest := cfg.OnEvent, cfg.AtRest
	cfg.OnEvent = func(e metatrain.Event) {
		log.add(e)
		out.observe(e)
		keep = keep || e.Best
		if onEvent != nil {
			onEvent(e)
		}
	}
	cfg.AtRest = func(t *metatrain.Trainer) error {
		if err := log.failed(); err != nil {
			return err
		}
		if keep {
			if err := metaopt.Save(path, t.Best()); err != nil {
				return err
			}
			keep = false
		}
		if atRest != nil {
			return atRest(t)
		}
		return nil
	}
	trainer, err := metatrain.NewTrainer(cfg)
	if err != nil {
		return nil, errors.Join(err, log.close())
	}
	log.add(newStartEvent(recordConfig(cfg)))
	o, err := trainer.Train(ctx)
	out.ended(ctx, cfg, trainer, err)
	if o != nil {
		if len(cfg.Horizons) > 0 {
			out.KeptSteps = o.Provenance.Steps
		}
		err = errors.Join(err, metaopt.Save(path, o))
	}
	log.add(endEvent{"end", out})
	return o, errors.Join(err, log.close())
}

// WriteComparison writes a comparison into the folder dir as result.json, which metaopt report and the dashboard show. The
// folder is made if there is none; if it holds a training, that of Train for example, the page shows both. A result.json that is there
// is replaced, unless it holds more than a comparison.
func WriteComparison(dir string, c *compare.Comparison) (err error) {
	if c == nil {
		return errors.New("runfolder: no comparison to write")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("runfolder: %w", err)
	}
	held, err := lock.Take(dir)
	if err != nil {
		return fmt.Errorf("runfolder: %w", err)
	}
	defer func() { err = errors.Join(err, held.Release()) }()
	path := filepath.Join(dir, ResultFile)
	if err := onlyComparison(path); err != nil {
		return err
	}
	data, err := json.MarshalIndent(map[string]any{"comparison": c}, "", "  ")
	if err != nil {
		return fmt.Errorf("runfolder: %w", err)
	}
	if err := durable.Replace(path, append(data, '\n')); err != nil {
		return fmt.Errorf("runfolder: %w", err)
	}
	return nil
}

// onlyComparison returns an error if a result.json would lose something by being replaced.
func onlyComparison(path string) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("runfolder: %w", err)
	}
	var has map[string]json.RawMessage
	if json.Unmarshal(data, &has) != nil {
		return fmt.Errorf("runfolder: %s is not the result of a comparison; choose another folder", path)
	}
	delete(has, "comparison")
	for key := range has {
		return fmt.Errorf("runfolder: %s has the result of metaopt meta-train (%s), which would be lost; choose another folder", path, key)
	}
	return nil
}

// recordConfig returns the record of a training without a recipe.
func recordConfig(cfg metatrain.TrainConfig) Record {
	r := Record{
		Task: cfg.Valid.Name(), Seed: cfg.Seed, Network: RecordNetwork(shapeOf(cfg)), Start: Start(cfg.Init.WithDefaults()),
		Steps: cfg.Steps, Unroll: cfg.Unroll, MetaSteps: cfg.MetaSteps, Seconds: cfg.Time.Seconds(),
		MetaLearningRate: cfg.MetaLearningRate, WarmUp: cfg.WarmUp, FinalFraction: cfg.FinalFraction, DecaySteps: cfg.DecaySteps,
		ValidSteps: cfg.ValidSteps, Selection: cfg.Selection, Horizons: cfg.Horizons, StagePatience: cfg.StagePatience, RandomSteps: cfg.RandomSteps,
		MetaBatch: cfg.Batch, Clip: compare.Number(cfg.Clip),
		ValidEvery: cfg.ValidEvery, ValidRuns: cfg.ValidRuns, Patience: cfg.Patience, SkipLimit: cfg.SkipLimit,
	}
	if cfg.OnNonFinite != metatrain.SkipNonFinite {
		r.OnNonFinite = cfg.OnNonFinite
	}
	var objective metatrain.Objective
	switch e := cfg.Estimator.(type) {
	case metatrain.TruncatedBackprop:
		objective = r.backprop(e)
	case *metatrain.TruncatedBackprop:
		objective = r.backprop(*e)
	case metatrain.ES:
		r.Estimator, r.Perturbation, r.Pairs, objective = recipe.ES, e.Perturbation, e.Pairs, e.Objective
	case metatrain.PES:
		r.Estimator, r.Perturbation, r.Pairs, objective = recipe.PES, e.Perturbation, e.Pairs, e.Objective
	default:
		r.Estimator = fmt.Sprintf("%T", e)
		return r
	}
	if objective == nil {
		objective = metatrain.Sum{}
	}
	r.Objective = strings.ToLower(reflect.TypeOf(objective).Name()) // those of the library have the names of recipes
	return r
}

func (r *Record) backprop(e metatrain.TruncatedBackprop) metatrain.Objective {
	r.Estimator, r.SecondDerivatives, r.AdjointClip, r.AdjointCoordinates = recipe.Backprop, e.SecondDerivatives, e.AdjointClip, e.Coordinates
	return e.Objective
}
