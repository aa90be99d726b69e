//go:build !unix

package compare

import "time"

var started = time.Now()

// clock returns the time since the start of the process.
func clock() time.Duration { return time.Since(started) }
