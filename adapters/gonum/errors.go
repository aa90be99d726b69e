package gonumopt

import "errors"

// Panic text for a caller's mistake.
const errRule = "gonumopt: no Rule"

var errGuard = errors.New("gonumopt: a line search of a rule with a guard: the line search takes the guard's place; pass the rule without it")
