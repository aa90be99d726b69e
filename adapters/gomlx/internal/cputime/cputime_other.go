//go:build !unix

// Package cputime tells the processor time of this program, which other programs on the machine do not lengthen.
package cputime

import "time"

var began = time.Now()

// Used returns the time on the wall since the program began: processor time is not known here.
func Used() time.Duration { return time.Since(began) }
