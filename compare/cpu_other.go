//go:build !unix

package compare

import "time"

// cpuTime returns 0: the CPU time of this process is not known.
func cpuTime() time.Duration { return 0 }
