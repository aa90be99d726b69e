// Package baselines holds the hand-designed update rules with which learned
// optimizers are compared, and the tuning of their learning rates.
//
// SGD, Momentum, Nesterov, AdaGrad, RMSProp and Adam compute the updates of torch.optim, in float32 and in the
// same order of operations. NAdamW, ScheduleFree, SOAP, Muon and Prodigy are the rules with which people train today; they are
// pinned to their authors' code. New also makes the rules of package curvature, for problems that offer it. Every operation is rounded separately, so the bits are
// the same on every architecture, except those of SOAP, Muon and the rules with curvature. Fields in which 0 would be a meaningful setting
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

	"learnedopt/curvature"
	"learnedopt/internal/nearest"
	"learnedopt/optimizer"
)

// A validator is a rule that can check its fields.
type validator interface {
	optimizer.Rule
	Validate() error
}

// modern are the rules that torch.optim does not have in this form.
var modern = []string{"nadamw", "prodigy", "schedule-free", "soap", "muon"}

// withCurvature are the rules of package curvature.
var withCurvature = []string{"natural-gradient", "kfac", "trust-region"}

// Names returns the names that New understands: rules that read gradients in the order of publication, then those of package
// curvature, which run only on problems that offer it.
func Names() []string {
	return slices.Concat([]string{"sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam"}, modern, withCurvature)
}

// DefaultLearningRate returns the default learning rate of the named rule. It is torch.optim's: 0.01 for
// adagrad and rmsprop, 0.001 for the others (for sgd since PyTorch 2). For the rules that torch.optim does
// not have, it is their authors': 0.001 for nadamw, 1 for prodigy, 0.0025 for schedule-free, 0.003 for soap, 0.02 for muon. For the rules of
// package curvature it is 0.1 for natural-gradient and kfac; trust-region has its radius in place of a learning rate, 0.01.
// It returns 0 for a name that New does not understand.
func DefaultLearningRate(name string) float64 {
	switch name {
	case "adagrad", "rmsprop":
		return 0.01
	case "sgd", "momentum", "nesterov", "adam", "nadamw":
		return 0.001
	case "prodigy":
		return 1
	case "schedule-free":
		return 0.0025
	case "soap":
		return 0.003
	case "muon":
		return 0.02
	case "natural-gradient", "kfac":
		return 0.1
	case "trust-region":
		return 0.01
	}
	return 0
}

// Untuned says whether the named rule finds its step size by itself, so that there is no learning rate to tune: prodigy.
// Tuning leaves it at its default.
func Untuned(name string) bool { return name == "prodigy" }

// CheckName returns an error, with a suggestion, if New does not understand the name.
func CheckName(name string) error {
	if slices.Contains(Names(), name) {
		return nil
	}
	return fmt.Errorf("baselines: unknown rule %q%s The rules are %s",
		name, nearest.DidYouMean(name, Names()), strings.Join(Names(), ", "))
}

// New returns the rule of the given name with the given learning rate, or radius. Rules with momentum get 0.9, and kfac
// a cosine; all other fields have their defaults. It is an error if the name is unknown or the learning rate is not positive.
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
	case "nadamw":
		rule = NAdamW{LearningRate: learningRate}
	case "prodigy":
		if learningRate == 0 {
			return nil, unset(name, "learning rate", "would not move", "it to 1, the default")
		}
		rule = Prodigy{LearningRate: learningRate}
	case "schedule-free":
		rule = ScheduleFree{LearningRate: learningRate}
	case "soap":
		rule = SOAP{LearningRate: learningRate}
	case "muon":
		rule = Muon{LearningRate: learningRate}
	case "natural-gradient":
		rule = curvature.NaturalGradient{LearningRate: learningRate}
	case "kfac":
		rule = curvature.KFAC{LearningRate: learningRate, Cosine: true}
	case "trust-region":
		rule = curvature.TrustRegion{Radius: learningRate}
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

// orAdams returns the betas, or Adam's defaults for the zero pair.
func orAdams(betas [2]float64) [2]float64 {
	if betas == [2]float64{} {
		return [2]float64{0.9, 0.999}
	}
	return betas
}

// sqrt is correctly rounded: rounding a square root first to float64 and then to
// float32 gives the same result as rounding once.
func sqrt(x float32) float32 { return float32(math.Sqrt(float64(x))) }
