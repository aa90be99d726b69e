package learned

// Panic texts for callers' mistakes.
const (
	errUnsolved = "learned: gradient of a problem that has not been solved"
	errLength   = "learned: a slice has not the problem's length"
	errWeights  = "learned: a network's weights have not the number that NetworkSize says"
)
