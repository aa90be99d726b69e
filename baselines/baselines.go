// Package baselines holds the hand-designed update rules with which learned
// optimizers are compared, and the tuning of their learning rates.
//
// Each rule computes the updates of torch.optim, in float32 and in the same
// order of operations. Every operation is rounded separately, so the bits are
// the same on every architecture. Fields in which 0 would be a meaningful setting
// must be set: the learning rate, momentum and RMSProp's smoothing. Other fields have
// torch.optim's defaults. Every State implements encoding.BinaryMarshaler and
// encoding.BinaryUnmarshaler: a run that is saved and resumed continues bit for
// bit. Update does not allocate.
//
//	rule := baselines.Adam{LearningRate: 0.01}
//	tuned, err := baselines.TuneAll(ctx, []string{"sgd", "adam"}, baselines.TuneConfig{Family: family, Steps: 100})
//
// If a squared gradient overflows float32 (|g| above 1.8e19), RMSProp, Adam and
// AdaGrad update that coordinate by zero from then on, as in PyTorch.
package baselines

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"learnedopt/internal/nearest"
	"learnedopt/optimizer"
)

// A validator is a rule that can check its fields.
type validator interface {
	optimizer.Rule
	Validate() error
}

// Names returns the names that New understands, in the order of publication.
func Names() []string {
	return []string{"sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam"}
}

// DefaultLearningRate returns torch.optim's default learning rate for the named rule: 0.01 for
// adagrad and rmsprop, 0.001 for the others (for sgd since PyTorch 2). It returns 0 for a name
// that New does not understand.
func DefaultLearningRate(name string) float64 {
	switch name {
	case "adagrad", "rmsprop":
		return 0.01
	case "sgd", "momentum", "nesterov", "adam":
		return 0.001
	}
	return 0
}

// CheckName returns an error, with a suggestion, if New does not understand the name.
func CheckName(name string) error {
	if slices.Contains(Names(), name) {
		return nil
	}
	return fmt.Errorf("baselines: unknown rule %q; did you mean %q? the rules are %s",
		name, nearest.Name(name, Names()), strings.Join(Names(), ", "))
}

// New returns the rule of the given name with the given learning rate. Rules with momentum get 0.9; all other
// fields have torch.optim's defaults. It is an error if the name is unknown or the learning rate is not positive.
func New(name string, learningRate float64) (optimizer.Rule, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	var rule validator
	switch name {
	case "sgd":
		rule = SGD{LearningRate: learningRate}
	case "momentum":
		rule = Momentum{LearningRate: learningRate, Momentum: 0.9}
	case "nesterov":
		rule = Nesterov{LearningRate: learningRate, Momentum: 0.9}
	case "adagrad":
		rule = AdaGrad{LearningRate: learningRate}
	case "rmsprop":
		rule = RMSProp{LearningRate: learningRate, Alpha: 0.99}
	case "adam":
		rule = Adam{LearningRate: learningRate}
	}
	if err := rule.Validate(); err != nil {
		return nil, err
	}
	return rule, nil
}

// or returns value, or the fallback if value is zero.
func or(value, fallback float64) float64 {
	if value == 0 {
		return fallback
	}
	return value
}

// sqrt is correctly rounded: rounding a square root first to float64 and then to
// float32 gives the same result as rounding once.
func sqrt(x float32) float32 { return float32(math.Sqrt(float64(x))) }
