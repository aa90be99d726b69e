//go:build unix

// Package cputime tells the CPU time of this process, which does not grow while other processes run.
package cputime

import (
	"syscall"
	"time"
)

// Used returns the CPU time of this process so far, of all its threads.
func Used() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
