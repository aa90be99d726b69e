//go:build unix

package compare

import (
	"syscall"
	"time"
)

// clock returns the processor time that the process has used, which does not grow while other
// programs run.
func clock() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
