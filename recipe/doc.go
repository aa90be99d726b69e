// Package recipe describes a meta-training as a value: everything that decides which bytes
// come out of it, and nothing of where it runs or how it is watched.
//
//	r := recipe.Recipe{MetaSteps: 2000, Seed: 5}
//	cfg, err := r.Config(recipe.Local{}) // what metatrain.NewTrainer takes
//	data, err := r.Format()                 // a short JSON text
//	r, err = recipe.Parse(data)
//	args := r.Args()                        // the same for people: metaopt meta-train's flags
//
// Every option has one name: the field InputGain is the key input_gain of the JSON and the flag
// --input-gain of the command line. Errors name options as flags.
//
// An option that is not set has a default. Defaults have versions: the field Defaults says which
// version a recipe was written for, so that later, better defaults do not change what it means. They may
// depend on the task. The table of defaults is in defaults.go; docs/training.md prints it.
package recipe
