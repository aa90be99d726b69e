package runfolder

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"learnedopt/baselines"
)

// Settings are how a training is kept, watched and compared, which changes nothing of the optimizer. A saved
// state has them.
type Settings struct {
	// SaveEvery is the longest time between two states that are saved.
	SaveEvery time.Duration `json:"save_every"`
	// TensorBoard is the folder of event files, "" for none.
	TensorBoard string `json:"tensorboard"`
	// Runs and TuneRuns are numbers of instances: of the final comparison, and that learning rates are tuned on.
	Runs     int `json:"runs"`
	TuneRuns int `json:"tune_runs"`
	// Rules are the hand-designed rules to compare with; "none" alone is none.
	Rules []string `json:"rules"`
}

// DefaultSettings returns the settings where nothing else is asked for.
func DefaultSettings() Settings {
	return Settings{SaveEvery: time.Minute, Runs: 20, TuneRuns: 10, Rules: []string{"sgd", "nesterov", "rmsprop", "adam"}}
}

// Validate says what is wrong with s.
func (s Settings) Validate() error {
	if s.SaveEvery <= 0 || s.Runs < 1 || s.TuneRuns < 1 || len(s.Rules) == 0 {
		return fmt.Errorf("runfolder: settings %+v are not those of a run: each must be set", s)
	}
	if len(s.Rules) == 1 && s.Rules[0] == "none" {
		return nil
	}
	for _, name := range s.Rules {
		if !slices.Contains(baselines.Names(), name) {
			return fmt.Errorf("runfolder: --rules: there is no rule %q; there are %s", name, strings.Join(baselines.Names(), ", "))
		}
	}
	return nil
}

// parseSettings reads the flags of states that are older than recipes, as --runs=20. Other flags are an error: they
// say nothing of a training.
func parseSettings(flags []string) (s Settings, dataDir string, err error) {
	s = DefaultSettings()
	var rules []string
	for _, flag := range flags {
		name, text, ok := strings.Cut(flag, "=")
		if !ok {
			return s, "", fmt.Errorf("runfolder: it has %q, which is no flag of a training", flag)
		}
		switch name {
		case "--runs":
			s.Runs, err = strconv.Atoi(text)
		case "--tune-runs":
			s.TuneRuns, err = strconv.Atoi(text)
		case "--save-every":
			s.SaveEvery, err = time.ParseDuration(text)
		case "--rules":
			rules = append(rules, text)
		case "--data-dir":
			dataDir = text
		case "--tensorboard":
			s.TensorBoard = text
		default:
			err = errors.New("it is no flag of a training")
		}
		if err != nil {
			return s, "", fmt.Errorf("runfolder: %s: %w", flag, err)
		}
	}
	if rules != nil {
		s.Rules = rules
	}
	return s, dataDir, nil
}
