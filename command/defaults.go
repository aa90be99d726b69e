package command

import (
	"learnedopt/recipe"
	"learnedopt/runfolder"
	"learnedopt/versus"
)

// Defaults of the commands' flags. The defaults of a training are in package recipe.
const (
	defaultTask = "quadratic-uniform"

	// Numbers of instances of a comparison: fresh ones, and those on which learning rates are tuned.
	defaultRuns     = versus.DefaultRuns
	defaultTuneRuns = versus.DefaultTuneRuns
	// Number of learning rates tried per decade: baselines.DefaultGrid.
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
