package policy

// Panics after a caller's mistake.
const (
	errVector = "policy: observations and returns that do not belong together"
	errMetric = "policy: a surrogate offers products of the metric Fisher"
	errStep   = "policy: negative step"
	errAction = "policy: no such action"
	errBatch  = "policy: a surrogate has at least one step, with one action and one advantage for each"
)
