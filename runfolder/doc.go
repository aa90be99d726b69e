// Package runfolder keeps meta-trainings in folders: the log, the best optimizer so far, and a state from which a training goes on that
// was interrupted, or killed, to the same bytes.
//
//	run, err := runfolder.New(r, recipe.Local{}, runfolder.DefaultSettings(), listener)
//	err = run.Create("runs/mine") // the folder, and the first state in it
//	o, err := run.Train(ctx)      // from all seeds of the recipe
//	err = run.Forget()            // the state, once the run is finished
//	err = run.Close()
//
//	run, err = runfolder.Resume("runs/mine", nil, listener)
//
// It prints nothing: a Listener hears of what happens.
package runfolder
