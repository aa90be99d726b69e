package compare

// Panics of callers' mistakes.
const errPairs = "compare: a rule has not one mean loss for each run"
