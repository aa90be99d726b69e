package tutorial

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"learnedopt/baselines"
	"learnedopt/compare"
	"learnedopt/lstm"
	"learnedopt/metatrain"
	"learnedopt/runfolder"
)

func Example_runFolder() {
	base, err := os.MkdirTemp("", "runs")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(base)
	dir := filepath.Join(base, "logistic")

	opt, err := runfolder.Train(context.Background(), dir, metatrain.TrainConfig{
		Family:    Logistics{},
		Network:   lstm.Config{Inputs: lstm.LogAndSign, Hidden: 4, Scale: 0.1},
		MetaSteps: 30, ValidEvery: 10, Seed: 1,
	})
	if err != nil {
		panic(err)
	}
	c, err := compare.Evaluate(context.Background(), compare.EvalConfig{
		Family: Logistics{}, Steps: 100, Runs: 6,
		Contenders: []compare.Contender{
			{Name: "learned", Kind: compare.Learned, Rule: opt.Rule()},
			{Name: "adam", Kind: compare.Baseline, Rule: baselines.Adam{LearningRate: 0.1}, LearningRate: 0.1},
		},
	})
	if err != nil {
		panic(err)
	}
	if err := runfolder.WriteComparison(dir, c); err != nil {
		panic(err)
	}

	files, err := os.ReadDir(dir)
	if err != nil {
		panic(err)
	}
	for _, f := range files {
		if f.Name()[0] != '.' && f.Name() != "lock" {
			fmt.Println(f.Name())
		}
	}
	// Output:
	// log.jsonl
	// optimizer.mopt
	// result.json
}
