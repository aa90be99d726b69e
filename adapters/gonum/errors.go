package gonumopt

// Panics of callers' mistakes.
const errRule = "gonumopt: no Rule"
