package compare

// Panic values for mistakes of the caller.
const errPairs = "compare: a rule has not one mean loss for each run"
