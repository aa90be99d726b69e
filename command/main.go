// Package command is the command metaopt. A program whose main function calls Main is the whole command, with the tasks of
// its own that it names:
//
//	package main
//
//	import (
//		"learnedopt/command"
//
//		"example.org/pendulum"
//	)
//
//	func main() { command.Main(pendulum.Task) }
//
// Build it under the name metaopt: so the help, the errors and the command lines in run folders call it.
package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"

	"learnedopt/tasks"
)

// Main runs the command line of the process, with the library's tasks and those given, and ends the process. The exit code
// is 0 for success, 1 for a failure, 2 for a mistake in the command line or in a task, and 130 for an interruption.
func Main(own ...tasks.Definition) {
	if err := register(own); err != nil {
		fmt.Fprintln(os.Stderr, "metaopt:", oneLine(err))
		os.Exit(exitUsage)
	}
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

// register adds tasks to the library's. The options that they add must not be flags of a command.
func register(own []tasks.Definition) error {
	taken := map[string]string{} // commands by flag
	for _, cmd := range newRoot(&app{stdout: io.Discard, stderr: io.Discard}).Commands() {
		cmd.Flags().VisitAll(func(f *pflag.Flag) { taken[f.Name] = cmd.Name() })
	}
	for _, task := range own {
		for _, n := range task.Numbers {
			if cmd := taken[n.Key]; cmd != "" {
				return fmt.Errorf("tasks: own task %q: number %s: --%[2]s is a flag of metaopt %[3]s; take another name", task.Name, n.Key, cmd)
			}
		}
	}
	for _, task := range own {
		if err := tasks.Register(task); err != nil {
			return err
		}
	}
	return nil
}
