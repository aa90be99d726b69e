package reproduce

import "fmt"

const panicFigure = "reproduce: there is no such figure"

// A TaskError says that a task of a target cannot be made: it has not such options, or its data are missing or broken.
type TaskError struct{ Err error }

// Error implements error.
func (e *TaskError) Error() string { return e.Err.Error() }

// Unwrap returns the error of package tasks.
func (e *TaskError) Unwrap() error { return e.Err }

// A NoOptimizerError says that no learned optimizer was named and none ships with package metaopt for a task.
type NoOptimizerError struct{ Task string }

// Error implements error.
func (e *NoOptimizerError) Error() string {
	return fmt.Sprintf("no optimizer that ships with the program is for %s; name one", e.Task)
}

// A FolderError says that a folder of Config.Out cannot be made.
type FolderError struct{ Err error }

// Error implements error.
func (e *FolderError) Error() string { return e.Err.Error() + "; choose another folder" }

// Unwrap returns the error of package os.
func (e *FolderError) Unwrap() error { return e.Err }
