package runfolder

import (
	"learnedopt/metatrain"
	"learnedopt/recipe"
)

// MakeExecutor returns the executor of a training, given its recipe with defaults, what the recipe needs from this machine, with
// the optimizer of Init, and its configuration. A run with several seeds calls it once for each, with the seed in cfg.
type MakeExecutor func(r recipe.Recipe, local recipe.Local, cfg metatrain.TrainConfig) (metatrain.Executor, error)

// newTrainer returns the trainer of the present seed.
func (r *Run) newTrainer() (*metatrain.Trainer, error) {
	cfg := r.cfg
	if r.settings.Executor != nil {
		var err error
		if cfg.Executor, err = r.settings.Executor(r.recipe, r.local, cfg); err != nil {
			return nil, err
		}
	}
	return metatrain.NewTrainer(cfg)
}
