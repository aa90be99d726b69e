package runfolder

import (
	"time"

	"learnedopt/compare"
	"learnedopt/lstm"
	"learnedopt/metatrain"
)

// A Listener hears of what happens in a run, one event after another.
type Listener interface {
	Hear(Event)
}

// An Event is one of the types of this file.
type Event interface{ event() }

// A Started training begins, or goes on where it was.
type Started struct {
	Record Record
	// Seed is the training's; it is number Index, from 0, of Of seeds.
	Seed      uint64
	Index, Of int
	// Elapsed is how long it trained before.
	Elapsed time.Duration
}

// A Heard event is one of the trainer's, with the state that the log has.
type Heard struct {
	metatrain.Event
	Outcome Outcome
	// Network and MetaLearningRate are of the last meta-step.
	Network          *lstm.Network
	MetaLearningRate float64
}

// An Ended training ended, for whatever reason.
type Ended struct{}

// SeedDiverged says that the training from one of several seeds ended early. The others go on.
type SeedDiverged struct {
	Seed uint64
	Err  error
}

// Choosing says that the networks of several seeds are compared, on so many instances each; ChoosingRun counts
// the runs, until ChoosingEnded.
type Choosing struct{ Networks, Runs int }

// A ChoosingRun is a step of Choosing.
type ChoosingRun struct{ Done, Total int }

// ChoosingEnded ends Choosing.
type ChoosingEnded struct{}

// SeedScored is the loss by which a seed's network is compared.
type SeedScored struct {
	Seed uint64
	Loss compare.Number
}

// NotKept says that the state before a meta-step that was not finite could not be kept for a replay.
type NotKept struct {
	MetaStep int
	Err      error
}

// Stale says that a run is resumed whose process did not end in order.
type Stale struct {
	Dir  string
	PID  int
	Host string
}

// OtherBuild says that a run was saved by another version, or on another machine, so that it goes on, but not to
// the same bits.
type OtherBuild struct{ Saved, Here Build }

// A Build is what the bits of a training depend on beside its recipe.
type Build struct{ Version, Arch, Kernels string }

func (Started) event()       {}
func (Heard) event()         {}
func (Ended) event()         {}
func (SeedDiverged) event()  {}
func (Choosing) event()      {}
func (ChoosingRun) event()   {}
func (ChoosingEnded) event() {}
func (SeedScored) event()    {}
func (NotKept) event()       {}
func (Stale) event()         {}
func (OtherBuild) event()    {}
