package sweep_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"learnedopt/metaopt"
	"learnedopt/sweep"
	"learnedopt/tasks"
)

func Example() {
	opt, err := metaopt.Pretrained("quadratic")
	if err != nil {
		log.Fatal(err)
	}
	plan, err := sweep.Config{
		Task:  tasks.MustParse("quadratic batch=16"),
		Axes:  []sweep.Axis{{Key: "condition", Values: []string{"1", "1000"}}},
		Steps: 50, Runs: 8, Reach: 2,
		Learned: []sweep.Learned{{Name: "quadratic", Optimizer: opt}},
		Rules:   []string{"sgd", "adam"}, Tune: sweep.TuneCell, TuneRuns: 4, Grid: 2,
	}.Plan()
	if err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "sweep")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store, err := sweep.OpenStore(dir)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	if err := plan.Run(context.Background(), store, sweep.RunOptions{}); err != nil {
		log.Fatal(err)
	}
	for _, c := range plan.Results(store.Records()).Cells {
		d := c.Duels[0]
		fmt.Printf("%s: %s against %s\n", plan.Name(c.Cell), d.Ratio.Verdict, d.Best)
	}
	// Output:
	// condition=1: lost against sgd (tuned here)
	// condition=1000: won against adam (tuned here)
}
