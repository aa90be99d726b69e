// Command metaopt meta-trains learned optimizers, compares them with tuned
// hand-designed ones, and looks into their files.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks for an orderly end; the second one kills.
	context.AfterFunc(ctx, stop)
	// A reader that goes away must not kill a training: writes fail instead.
	signal.Ignore(syscall.SIGPIPE)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
