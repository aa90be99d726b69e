// Command metaopt meta-trains learned optimizers, compares them with tuned hand-designed optimizers, and shows what is in
// their files.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup has it ignored, and stays right
		ends = append(ends, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	// The first signal asks for an orderly end. The second one kills.
	context.AfterFunc(ctx, stop)
	// If the reader of standard output goes away, writes fail. A SIGPIPE would kill the training.
	signal.Ignore(syscall.SIGPIPE)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
