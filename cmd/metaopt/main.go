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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks for an orderly end. The second one kills.
	context.AfterFunc(ctx, stop)
	// If the reader of standard output goes away, writes fail. A SIGPIPE would kill the training.
	signal.Ignore(syscall.SIGPIPE)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
