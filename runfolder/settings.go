package runfolder

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"learnedopt/baselines"
	"learnedopt/versus"
)

// Settings say how a training is saved, watched and compared. They do not change the trained optimizer. A saved state
// contains them.
type Settings struct {
	// SaveEvery is the longest time between two saved states.
	SaveEvery time.Duration `json:"save_every"`
	// TensorBoard is the folder of event files; "" means none.
	TensorBoard string `json:"tensorboard"`
	// Runs is the number of instances of the final comparison. TuneRuns is the number of instances on which learning
	// rates are tuned.
	Runs     int `json:"runs"`
	TuneRuns int `json:"tune_runs"`
	// Rules are the hand-designed rules to compare with. The single name "none" means none.
	Rules []string `json:"rules"`
	// Executor, if set, makes the executors that compute meta-gradients. A saved state does not contain it. Default: this
	// process computes them.
	Executor MakeExecutor `json:"-"`
}

// DefaultSettings returns the default settings; a comparison has those of package versus.
func DefaultSettings() Settings {
	return Settings{SaveEvery: time.Minute, Runs: versus.DefaultRuns, TuneRuns: versus.DefaultTuneRuns, Rules: versus.DefaultRules()}
}

// Validate returns an error if a setting is missing or a rule is unknown.
func (s Settings) Validate() error {
	if s.SaveEvery <= 0 || s.Runs < 1 || s.TuneRuns < 1 || len(s.Rules) == 0 {
		return fmt.Errorf("runfolder: incomplete settings %+v: each must be set", s)
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

// parseSettings reads the flags in states older than recipes, such as --runs=20. Any other flag is an error.
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
