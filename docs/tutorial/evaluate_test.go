package tutorial

import (
	"context"
	"fmt"

	"learnedopt/baselines"
	"learnedopt/compare"
)

func ExampleEvaluate() {
	opt, err := trained()
	if err != nil {
		panic(err)
	}
	tuned, err := baselines.TuneAll(context.Background(), []string{"sgd", "nesterov", "rmsprop", "adam"},
		baselines.TuneConfig{Family: Logistics{}, Steps: 100, Runs: 50})
	if err != nil {
		panic(err)
	}
	contenders := []compare.Contender{{Name: "learned", Kind: compare.Learned, Rule: opt.Rule()}}
	for _, t := range tuned {
		contenders = append(contenders, compare.Contender{Name: t.Name, Kind: compare.Baseline, Rule: t.Rule, LearningRate: t.LearningRate})
	}
	c, err := compare.Evaluate(context.Background(), compare.EvalConfig{
		Family: Logistics{}, Contenders: contenders, Steps: 100, Runs: 200,
	})
	if err != nil {
		panic(err)
	}
	pair := c.Paired[0]
	fmt.Println("learned against", pair.Against+":", pair.Verdict)
	// Output: learned against rmsprop: won
}
