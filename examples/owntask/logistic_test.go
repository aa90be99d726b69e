package main

import (
	"testing"

	"learnedopt/optimizer/optimizertest"
	"learnedopt/tasks"
)

func TestTask(t *testing.T) {
	if err := tasks.Register(Task); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"logistic", "logistic dims=1 batch=1 spread=0", "logistic dims=9 spread=2 loss-scale=10"} {
		family, err := tasks.MustParse(text).Family("")
		if err != nil {
			t.Fatal(err)
		}
		t.Run(text, func(t *testing.T) { optimizertest.ConformFamily(t, family) })
	}
}
