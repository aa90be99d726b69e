package main

import "time"

// What meta-train does if it is asked for nothing else.
const (
	defaultTask   = "quadratic-uniform"
	defaultInputs = "logsign"
	defaultTime   = 60 * time.Second
	// The lengths of an episode and of the windows that it is unrolled in.
	defaultSteps  = 100
	defaultUnroll = 20

	defaultMetaLearningRate = 0.003
	defaultScale            = 0.1
	defaultClip             = 10

	defaultValidEvery = 50
	defaultValidRuns  = 8

	// Of a comparison: fresh instances, and those that learning rates are tuned on.
	defaultRuns     = 20
	defaultTuneRuns = 10
)

// defaultRules are the hand-designed rules of a comparison.
var defaultRules = []string{"sgd", "nesterov", "rmsprop", "adam"}
