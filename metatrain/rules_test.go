package metatrain_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"learnedopt/baselines"
	"learnedopt/lstm"
	"learnedopt/metaopt"
	"learnedopt/metatrain"
	"learnedopt/optimizer"
	"learnedopt/rules"
)

// A teacher and a reference may need the parameters, as weight decay does. Their losses then equal the losses of the
// rule's own run.
func TestRulesThatAskForParameters(t *testing.T) {
	rule := rules.WeightDecay{Rule: baselines.Adam{LearningRate: 0.05}, Decay: 0.5}
	out, err := optimizer.Run(t.Context(), rule, &quartic{seed: 3, n: 7}, 8)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := optimizer.Run(t.Context(), rule.Rule, &quartic{seed: 3, n: 7}, 8)
	if err != nil || slices.Equal(plain.Losses, out.Losses) {
		t.Fatal("without decay all is the same: no test", err)
	}
	net, err := lstm.Init{}.Random(lstm.Config{Hidden: 4, Inputs: lstm.Raw}, newRand(1))
	if err != nil {
		t.Fatal(err)
	}
	ep := metatrain.NewEpisode(net, &quartic{seed: 3, n: 7})
	dphi := make([]float64, len(net.Params()))
	im := metatrain.Imitation{Teacher: rule, Probability: 1}
	for window := range 2 {
		w, err := im.Estimate(t.Context(), dphi, ep, 4)
		if err != nil || w.Diverged != nil || !slices.Equal(w.Losses, out.Losses[4*window:][:5]) {
			t.Errorf("the teacher visits %v (%v, %v), want %v", w.Losses, err, w.Diverged, out.Losses[4*window:][:5])
		}
	}
	ep = metatrain.NewEpisode(net, &quartic{seed: 3, n: 7})
	if losses, err := ep.Reference(t.Context(), rule, 8); err != nil || !slices.Equal(losses, out.Losses) {
		t.Errorf("the reference is %v (%v), want %v", losses, err, out.Losses)
	}
}

// listening is gradient descent that checks what it is told of each step of a bowl's run, and fails at step fails.
type listening struct {
	t     *testing.T
	fails int
}

func (listening) Needs() optimizer.Needs { return optimizer.Needs{Theta: true, Loss: true} }
func (l listening) Start(optimizer.Layout) optimizer.State {
	return &listeningState{l, 0}
}

type listeningState struct {
	listening
	steps int
}

var errListening = errors.New("no update")

func (s *listeningState) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	if s.steps == s.fails {
		return 0, errListening
	}
	b, grad := bowl{y: listeningTo}, make([]float32, len(p.Theta))
	loss, _ := b.LossGrad(p.Theta, grad)
	if p.Loss != loss || !slices.Equal(grad, p.Grad) || p.Step != s.steps {
		s.t.Errorf("step %d: told of step %d, loss %v, want %v", s.steps, p.Step, p.Loss, loss)
	}
	s.steps++
	for i, g := range grad {
		dst[i] = -g / 4
	}
	return 0, nil
}

var listeningTo = []float32{1, 2, 3}

// Teachers and references are told the parameters, the loss and the step, and an error of theirs comes back.
func TestRulesAreToldTheStep(t *testing.T) {
	for fails := -1; fails < 6; fails++ {
		rule := listening{t, fails}
		var errs [2]error
		im := metatrain.Imitation{Teacher: rule, Probability: 1}
		ep := metatrain.NewEpisode(zeroNet(t), &bowl{y: listeningTo})
		for range 2 {
			if errs[0] == nil {
				_, errs[0] = im.Estimate(t.Context(), make([]float64, 2), ep, 3)
			}
		}
		_, errs[1] = metatrain.NewEpisode(zeroNet(t), &bowl{y: listeningTo}).Reference(t.Context(), rule, 6)
		for i, err := range errs {
			if fails < 0 && err != nil || fails >= 0 && !errors.Is(err, errListening) {
				t.Errorf("a rule that fails at step %d, as teacher or as reference (%d): error %v", fails, i, err)
			}
		}
	}
}

// curved is a rule that reads Hessian products.
type curved struct{ baselines.SGD }

func (curved) Needs() optimizer.Needs { return optimizer.Needs{Metrics: optimizer.Hessian} }

// A rule that needs what the problem does not have is refused before it starts.
func TestRulesThatNeedWhatAProblemLacks(t *testing.T) {
	rule := curved{baselines.SGD{LearningRate: 0.1}}
	var need *optimizer.NeedError
	_, err := metatrain.Imitation{Teacher: rule, Probability: 1}.Estimate(t.Context(), make([]float64, 2), metatrain.NewEpisode(zeroNet(t), square{}), 2)
	if !errors.As(err, &need) {
		t.Errorf("teacher: error %v", err)
	}
	if _, err := metatrain.NewEpisode(zeroNet(t), square{}).Reference(t.Context(), rule, 2); !errors.As(err, &need) {
		t.Errorf("reference: error %v", err)
	}
	if _, err := metatrain.NewEpisode(zeroNet(t), &exactQuartic{quartic{seed: 3, n: 7}}).Reference(t.Context(), rule, 2); err != nil {
		t.Errorf("with Hessian products: %v", err)
	}
}

// A rule with a guard moves the parameters itself: it is refused as a teacher and as a reference, and the error says what
// to take instead.
func TestGuardedRulesAreNoTeachers(t *testing.T) {
	guarded := metaopt.Guarded{Rule: baselines.SGD{LearningRate: 0.1}}
	if err := guarded.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, e := range []metatrain.Estimator{
		metatrain.Imitation{Teacher: guarded, Probability: 0.5}, metatrain.TruncatedBackprop{Objective: metatrain.Relative{Rule: guarded}},
	} {
		cfg := small()
		cfg.Estimator = e
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "take the rule inside it") {
			t.Errorf("%T: error %v", e, err)
		}
	}
}

// A reference ends with its context.
func TestAReferenceEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ep := metatrain.NewEpisode(zeroNet(t), square{})
	if losses, err := ep.Reference(ctx, baselines.SGD{LearningRate: 0.1}, 3); !errors.Is(err, context.Canceled) || losses != nil {
		t.Errorf("losses %v, error %v", losses, err)
	}
}

// unsound is a family and an objective whose Validate fails.
type unsound struct{ metatrain.Sum }

func (unsound) Validate() error { return errors.New("unsound") }
func (unsound) Name() string    { return "unsound" }
func (unsound) Sample(*rand.Rand) (optimizer.Problem, error) {
	return nil, errors.New("not validated before")
}

// Validating a configuration also validates every value in it, before anything starts.
func TestWhatAConfigurationHoldsIsValidated(t *testing.T) {
	poor := baselines.Momentum{LearningRate: -1}
	wrong := map[string]any{
		"momentum": poor,
		"decay":    rules.WeightDecay{Rule: baselines.Adam{LearningRate: 0.001}, Decay: -1},
		"sgd":      metaopt.Guarded{Rule: baselines.SGD{LearningRate: -1}},
		"unsound":  unsound{},
	}
	for word, x := range wrong {
		var estimators []metatrain.Estimator
		if rule, ok := x.(optimizer.Rule); ok {
			x = metatrain.Relative{Rule: rule}
			estimators = append(estimators, metatrain.Imitation{Teacher: rule, Probability: 0.5}, &metatrain.Imitation{Teacher: rule, Probability: 1})
		}
		objective := x.(metatrain.Objective)
		estimators = append(estimators, metatrain.TruncatedBackprop{Objective: objective}, metatrain.ES{Objective: objective}, metatrain.PES{Objective: objective},
			&metatrain.PES{Objective: objective}, metatrain.Imitation{Probability: 0.5, Estimator: metatrain.PES{Objective: objective}})
		for _, e := range estimators {
			cfg := small()
			cfg.Estimator = e
			if _, err := metatrain.NewTrainer(cfg); err == nil || !strings.Contains(err.Error(), word) {
				t.Errorf("%+v: error %v, want one that says %q", e, err, word)
			}
			if _, err := metatrain.NewInProcess(cfg); err == nil {
				t.Errorf("%+v: an executor takes it", e)
			}
			dphi := make([]float64, 2)
			if _, err := e.Estimate(t.Context(), dphi, metatrain.NewEpisode(zeroNet(t), square{}), 2); err == nil || !strings.Contains(err.Error(), word) {
				t.Errorf("%+v: Estimate: error %v, want one that says %q", e, err, word)
			}
		}
	}
	if _, err := metatrain.NewEpisode(zeroNet(t), square{}).Reference(t.Context(), poor, 1); err == nil || !strings.Contains(err.Error(), "momentum") {
		t.Errorf("Reference: error %v", err)
	}
	for _, change := range []func(*metatrain.TrainConfig){
		func(c *metatrain.TrainConfig) { c.Family = unsound{} },
		func(c *metatrain.TrainConfig) { c.Valid, c.Family = c.Family, unsound{} },
		func(c *metatrain.TrainConfig) { c.Valid = unsound{} },
		func(c *metatrain.TrainConfig) { c.Family = unsound{}; c.Initial = zeroNet(t) },
	} {
		cfg := small()
		change(&cfg)
		if _, err := metatrain.NewTrainer(cfg); err == nil || err.Error() != "unsound" {
			t.Errorf("a family: error %v", err)
		}
	}
}
