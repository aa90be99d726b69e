// Package recipe describes a meta-training as a value. A recipe holds everything that determines the bytes of the trained
// optimizer. It does not say where the training runs or how it is watched.
//
//	r := recipe.Recipe{MetaSteps: 2000, Seed: 5}
//	cfg, err := r.Config(recipe.Local{}) // the configuration for metatrain.NewTrainer
//	data, err := r.Format()              // a short JSON text
//	r, err = recipe.Parse(data)
//	args := r.Args()                     // the same as flags of metaopt meta-train
//
// Every option has one name: the field InputGain is the key input_gain of the JSON and the flag
// --input-gain of the command line. Errors name options as flags.
//
// An option that is not set has a default, which may depend on the task. Defaults have versions. The field Defaults says
// for which version a recipe was written, so that later, better defaults do not change its meaning. The table of defaults
// is in defaults.go; docs/training.md prints it.
package recipe
