package htmlreport

import "learnedopt/internal/lock"

// The states of a run or a sweep.
const (
	stateRunning  = "running"  // a process holds the folder
	stateStopped  = "stopped"  // it has no end, and no process holds the folder: it was interrupted, or killed
	stateFinished = "finished" // a run has its result, a sweep all of its cells
)

// held reports whether a process holds the folder's lock. It does not try the lock: a page only looks.
func (d folder) held() bool {
	for _, name := range lock.Files() {
		f, err := d.open(name)
		if err != nil {
			continue
		}
		holder := lock.Read(f)
		f.Close()
		if holder != nil && holder.Alive() {
			return true
		}
	}
	return false
}

// state returns the state of what the folder holds, as of the last poll.
func (r *reader) state() string {
	switch {
	case r.held:
		return stateRunning
	case r.sweeps() && r.sweep.complete(), !r.sweeps() && r.result != nil:
		return stateFinished
	}
	return stateStopped
}
