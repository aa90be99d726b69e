package main

import (
	"time"

	"learnedopt/metatrain"
)

// What meta-train does if it is asked for nothing else.
const (
	defaultTask   = "quadratic-uniform"
	defaultInputs = "logsign"
	defaultTime   = 60 * time.Second

	defaultSaveEvery = time.Minute

	// Of a comparison: fresh instances, and those that learning rates are tuned on.
	defaultRuns     = 20
	defaultTuneRuns = 10
	// Learning rates a decade that are tried: baselines.DefaultGrid.
	defaultGrid = 4
)

// library holds the library's own defaults, which are the command's.
var library = metatrain.TrainConfig{}.WithDefaults()

// defaultRules are the hand-designed rules of a comparison.
var defaultRules = []string{"sgd", "nesterov", "rmsprop", "adam"}
