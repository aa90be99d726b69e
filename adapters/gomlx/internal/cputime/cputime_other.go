//go:build !unix

// Package cputime returns the processor time of this program, which does not grow while other programs run.
package cputime

import "time"

var began = time.Now()

// Used returns the wall time since the program began, because processor time is not available here.
func Used() time.Duration { return time.Since(began) }
