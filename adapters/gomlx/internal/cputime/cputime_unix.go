//go:build unix

// Package cputime tells the processor time of this program, which other programs on the machine do not lengthen.
package cputime

import (
	"syscall"
	"time"
)

// Used returns the time that all processors together have worked for this program so far. On
// systems that are no Unix it is the time on the wall since the program began.
func Used() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic("cputime: " + err.Error()) // it has no errors but for a wrong argument
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
