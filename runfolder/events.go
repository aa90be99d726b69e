package runfolder

import (
	"time"

	"learnedopt/compare"
	"learnedopt/lstm"
	"learnedopt/metatrain"
)

// A Listener gets the events of a run, one after another.
type Listener interface {
	OnEvent(Event)
}

// An Event is one of the event types in this file.
type Event interface{ event() }

// Started says that a training from one seed begins, or resumes.
type Started struct {
	Record Record
	// Seed is the training's seed. It has index Index, counted from 0, among Of seeds.
	Seed      uint64
	Index, Of int
	// Elapsed is the time for which it was trained before.
	Elapsed time.Duration
	// Next is the first meta-step whose events are still to come. It is 0 for a training that begins.
	Next int
}

// Saving says that the training's state is about to be saved. A resumed run repeats no event that came before, but every one
// that comes after.
type Saving struct{}

// A TrainerEvent is an event of the trainer, with the outcome of the training so far.
type TrainerEvent struct {
	metatrain.Event
	Outcome Outcome
	// Network and MetaLearningRate are the values of the last meta-step.
	Network          *lstm.Network
	MetaLearningRate float64
}

// Ended says that a training from one seed ended, for any reason.
type Ended struct{}

// SeedDiverged says that the training from one of several seeds diverged and ended. The other seeds are still trained.
type SeedDiverged struct {
	Seed uint64
	Err  error
}

// Choosing says that a comparison of the networks of several seeds begins, on Runs instances each. ChoosingRun events
// follow, then ChoosingEnded.
type Choosing struct{ Networks, Runs int }

// A ChoosingRun says that Done of Total runs of the comparison are done.
type ChoosingRun struct{ Done, Total int }

// ChoosingEnded says that the comparison of networks ended.
type ChoosingEnded struct{}

// SeedScored reports the loss of a seed's network in the comparison.
type SeedScored struct {
	Seed uint64
	Loss compare.Number
}

// NotKept says that the state before a non-finite meta-step could not be kept for a replay.
type NotKept struct {
	MetaStep int
	Err      error
}

// Stale says that the last process of a resumed run did not end properly.
type Stale struct {
	Dir  string
	PID  int
	Host string
}

// OtherBuild says that a run was saved by another version or on another kind of machine. It can be resumed, but its bits may
// differ.
type OtherBuild struct{ Saved, Here Build }

// A Build holds the properties of the program and the machine on which the bits of a training depend.
type Build struct{ Version, Arch, Kernels string }

func (Started) event()       {}
func (TrainerEvent) event()  {}
func (Saving) event()        {}
func (Ended) event()         {}
func (SeedDiverged) event()  {}
func (Choosing) event()      {}
func (ChoosingRun) event()   {}
func (ChoosingEnded) event() {}
func (SeedScored) event()    {}
func (NotKept) event()       {}
func (Stale) event()         {}
func (OtherBuild) event()    {}
