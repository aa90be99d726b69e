package tasks

// Panics after a caller's mistake.
const (
	errStep     = "tasks: negative step"
	errMetric   = "tasks: a curvature product is of one metric that the problem offers"
	errTrier    = "tasks: Try of a problem that cannot try points"
	errFactorer = "tasks: Factors of a problem that has no factors"
	errIndex    = "tasks: index out of range"
	errSplit    = "tasks: unknown split"
	errClosed   = "tasks: problem used after Close"
)
