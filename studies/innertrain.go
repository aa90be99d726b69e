package studies

import (
	"context"
	"fmt"
	"math"

	"learnedopt/baselines"
	"learnedopt/internal/stream"
	"learnedopt/lstm"
	"learnedopt/metatrain"
	"learnedopt/optimizer"
	"learnedopt/qp"
	"learnedopt/qp/learned"
	"learnedopt/rules"
)

// penalties are those of ADMM to choose from.
var penalties = []float64{0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1}

// trainedSolvers is what the study's solvers need for one source of programs.
type trainedSolvers struct {
	rule    optimizer.Rule // on the augmented Lagrangian
	weights []float32      // of the warm start
	penalty float64        // of ADMM
}

// nesterov is the rule to compare the learned one with: the rate is right for a curvature of at most 1.
var nesterov = baselines.Nesterov{LearningRate: 1, Momentum: 0.9}

// trainInner meta-trains the LSTM and trains the network of the warm start on a source, after ADMM's penalty was tuned on it.
func (b *bench) trainInner(ctx context.Context, source learned.Source) (*trainedSolvers, error) {
	var t trainedSolvers
	metaSteps := b.pick(1000, 20)
	trainer, err := metatrain.NewTrainer(metatrain.TrainConfig{
		Family: learned.Subproblems{Source: source}, Network: lstm.Config{Inputs: lstm.Raw, Scale: 1, Hidden: 10, Layers: 1}, Steps: 20, Unroll: 20,
		MetaSteps: metaSteps, Batch: 4, MetaLearningRate: 0.003, WarmUp: metaSteps / 20, FinalFraction: 0.1,
		Estimator: metatrain.TruncatedBackprop{SecondDerivatives: true}, ValidEvery: metaSteps / 10, ValidRuns: b.pick(16, 4), Selection: "geometric", Seed: b.Seed,
		OnEvent: func(e metatrain.Event) {
			if e.Kind == metatrain.EventValidation {
				b.note(fmt.Sprintf("the LSTM on %s, meta-step %d of %d: loss %.3g", source.Name, e.MetaStep, metaSteps, float64(e.Valid.Geometric)))
			}
		},
	})
	if err != nil {
		return nil, err
	}
	defer trainer.Close()
	best, err := trainer.Train(ctx)
	if err != nil {
		return nil, err
	}
	t.rule = best.Rule()
	if t.penalty, err = b.tunePenalty(source); err != nil {
		return nil, err
	}
	problem, err := learned.WarmTraining{Source: source, Steps: 20, Penalty: t.penalty}.Sample(stream.New(b.Seed, "warm start", 0))
	if err != nil {
		return nil, err
	}
	steps := b.pick(400, 20)
	b.note(fmt.Sprintf("the warm start on %s, with a penalty of %g: %d steps of Adam", source.Name, t.penalty, steps))
	out, err := optimizer.Run(ctx, rules.Scaled{Rule: baselines.Adam{LearningRate: 0.01}, By: rules.Cosine{Steps: steps}}, problem, steps)
	if err != nil {
		return nil, err
	}
	if out.Diverged != nil {
		return nil, out.Diverged
	}
	t.weights = out.Theta
	return &t, nil
}

// tunePenalty returns the penalty with the least residual after 30 steps of ADMM, in the geometric mean.
func (b *bench) tunePenalty(source learned.Source) (float64, error) {
	best, least := 0.0, math.Inf(1)
	for _, penalty := range penalties {
		sum := 0.0
		for i := range b.pick(16, 4) {
			s := learned.WarmStart{Penalty: penalty, Fixed: 30}
			var out qp.Solution
			if err := s.Solve(&out, source.Draw(stream.New(b.Seed, "programs to tune on", uint64(i)))); err != nil {
				return 0, err
			}
			sum += math.Log(residual(&out))
		}
		if sum < least {
			best, least = penalty, sum
		}
	}
	return best, nil
}

// residual is the largest residual of the optimality conditions, relative to the equilibrated problem, and at least 1e-16.
func residual(s *qp.Solution) float64 {
	return max(s.Residuals.Primal, s.Residuals.Dual, s.Residuals.Gap, 1e-16)
}
