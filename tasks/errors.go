package tasks

// Panics of callers' mistakes.
const (
	errTheta  = "tasks: wrong length of theta"
	errGrad   = "tasks: wrong length of grad"
	errVector = "tasks: wrong length of a vector"
	errStep   = "tasks: negative step"
	errIndex  = "tasks: index out of range"
	errSplit  = "tasks: unknown split"
	errClosed = "tasks: problem used after Close"
)
