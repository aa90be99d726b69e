package compare

import (
	"strings"
	"testing"

	"learnedopt/baselines"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
)

// Starting an invalid rule panics in a goroutine. So every function that takes rules validates them first.
func TestInvalidRulesAreErrors(t *testing.T) {
	for word, rule := range map[string]optimizer.Rule{
		"no rule":         nil,
		"learning rate":   baselines.Adam{LearningRate: -1},
		"a rule to guard": metaopt.Guarded{},
		"sgd":             metaopt.Guarded{Rule: baselines.SGD{LearningRate: -1}},
		"rmsprop":         metaopt.Guarded{Rule: baselines.SGD{LearningRate: 0.1}, Guard: metaopt.Guard{Fallback: baselines.RMSProp{LearningRate: -1}}},
	} {
		good := Contender{Name: "good", Kind: Baseline, Rule: baselines.SGD{LearningRate: 0.1}}
		_, err := Evaluate(t.Context(), EvalConfig{Family: dishes{}, Steps: 2, Runs: 2, Contenders: []Contender{good, {Name: "poor one", Rule: rule}}})
		if err == nil || !strings.Contains(err.Error(), word) || !strings.Contains(err.Error(), "poor one") {
			t.Errorf("Evaluate: error %v, want one that says %q of the poor one", err, word)
		}
		_, _, err = Select(t.Context(), SelectConfig{Family: dishes{}, Runs: 2, Horizons: []int{2}}, []optimizer.Rule{good.Rule, rule})
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("Select: error %v, want one that says %q", err, word)
		}
	}
}

// A validation with a missing field returns an error.
func TestAValidationThatLacksSomethingSaysSo(t *testing.T) {
	whole := Validation{Family: dishes{}, Instance: Streams(1, "valid"), Runs: 2, Horizons: []int{2}, Selection: SelectMean}
	if _, _, err := whole.Score(t.Context(), baselines.SGD{LearningRate: 0.1}); err != nil {
		t.Fatal(err)
	}
	for word, change := range map[string]func(*Validation){
		"needs a family":  func(v *Validation) { v.Family = nil },
		"random sources":  func(v *Validation) { v.Instance = nil },
		"needs a family ": func(v *Validation) { v.Runs = 0 },
		"horizons":        func(v *Validation) { v.Horizons = nil },
		"ascend":          func(v *Validation) { v.Horizons = []int{2, 2} },
		"selection":       func(v *Validation) { v.Selection = "" },
	} {
		v := whole
		change(&v)
		if _, _, err := v.Score(t.Context(), baselines.SGD{LearningRate: 0.1}); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("error %v, want one that says %q", err, word)
		}
	}
}
