package main

import (
	"learnedopt/recipe"
	"learnedopt/runfolder"
	"learnedopt/versus"
)

// Defaults of the commands' flags. The defaults of a training are in package recipe.
const (
	defaultTask = "quadratic-uniform"

	// Of a comparison: fresh instances, and those that learning rates are tuned on.
	defaultRuns     = versus.DefaultRuns
	defaultTuneRuns = versus.DefaultTuneRuns
	// Learning rates a decade that are tried: baselines.DefaultGrid.
	defaultGrid = versus.DefaultGrid
)

// defaultSteps is the horizon of a comparison: the same as for a training.
var defaultSteps = recipe.Recipe{}.WithDefaults().Steps

// defaultRules are the hand-designed rules of a comparison.
var defaultRules = versus.DefaultRules()

// Files of a run folder. Other commands write some of them too.
const (
	optimizerFile = runfolder.OptimizerFile
	curvesFile    = runfolder.CurvesFile
	resultFile    = runfolder.ResultFile
	logFile       = runfolder.LogFile
	stateFile     = runfolder.StateFile
)
