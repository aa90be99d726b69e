//go:build unix

// Package cputime returns the processor time of this program, which does not grow while other programs run.
package cputime

import (
	"syscall"
	"time"
)

// Used returns the processor time of this program so far, summed over all processors. On systems other
// than Unix it is the wall time since the program began.
func Used() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic("cputime: " + err.Error()) // fails only for a wrong argument
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
