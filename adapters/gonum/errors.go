package gonumopt

import "errors"

// Panics of callers' mistakes.
const errRule = "gonumopt: no Rule"

var errGuard = errors.New("gonumopt: a line search of a rule with a guard: the line search is in the guard's place; pass the rule without it")
