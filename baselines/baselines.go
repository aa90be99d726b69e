// Package baselines holds the hand-designed update rules that learned
// optimizers are compared with, and the tuning of their learning rates.
//
// Each rule computes what torch.optim computes, in float32 and in the same
// order of operations; every operation is rounded on its own, so the bits are
// the same on every architecture. The zero value of a rule has torch.optim's
// defaults. Every State implements encoding.BinaryMarshaler and
// encoding.BinaryUnmarshaler: a run that is saved and resumed continues bit for
// bit. Update does not allocate.
//
//	rule := baselines.Adam{LearningRate: 0.01}
//	tuned, err := baselines.TuneAll(ctx, []string{"sgd", "adam"}, baselines.TuneConfig{Family: family, Steps: 100})
//
// As in PyTorch a squared gradient that overflows float32 (|g| above 1.8e19)
// makes RMSProp, Adam and AdaGrad update that coordinate by zero from then on.
package baselines

import (
	"fmt"
	"math"
	"strings"

	"learnedopt/internal/nearest"
	"learnedopt/optimizer"
)

// A validator is a rule that can say what is wrong with its fields.
type validator interface {
	optimizer.Rule
	Validate() error
}

// Names returns the names that New understands, in the order of publication.
func Names() []string {
	return []string{"sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam"}
}

// New returns the rule of the given name with the given learning rate and the
// defaults otherwise; learning rate 0 means the rule's default.
func New(name string, learningRate float64) (optimizer.Rule, error) {
	var rule validator
	switch name {
	case "sgd":
		rule = SGD{LearningRate: learningRate}
	case "momentum":
		rule = Momentum{LearningRate: learningRate}
	case "nesterov":
		rule = Nesterov{LearningRate: learningRate}
	case "adagrad":
		rule = AdaGrad{LearningRate: learningRate}
	case "rmsprop":
		rule = RMSProp{LearningRate: learningRate}
	case "adam":
		rule = Adam{LearningRate: learningRate}
	default:
		return nil, fmt.Errorf("baselines: unknown rule %q; did you mean %q? the rules are %s",
			name, nearest.Name(name, Names()), strings.Join(Names(), ", "))
	}
	if err := rule.Validate(); err != nil {
		return nil, err
	}
	return rule, nil
}

// or returns value, or the default where value is zero.
func or(value, fallback float64) float64 {
	if value == 0 {
		return fallback
	}
	return value
}

// sqrt is correctly rounded: the double rounding of a square root from float64
// to float32 is innocuous.
func sqrt(x float32) float32 { return float32(math.Sqrt(float64(x))) }
