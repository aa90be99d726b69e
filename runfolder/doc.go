// Package runfolder keeps meta-trainings in folders. A folder holds the log, the best optimizer so far, and a state. From
// the state, a training that was interrupted or killed can be resumed, and ends with the same bytes.
//
//	run, err := runfolder.New(r, recipe.Local{}, runfolder.DefaultSettings(), listener)
//	err = run.Create("runs/mine") // the folder, and the first state in it
//	o, err := run.Train(ctx)      // from all seeds of the recipe
//	err = run.Forget()            // the state, once the run is finished
//	err = run.Close()
//
//	run, err = runfolder.Resume("runs/mine", nil, listener)
//
// The package prints nothing. A Listener gets an event for everything that happens.
package runfolder
