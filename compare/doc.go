// Package compare measures update rules on the same problem instances, and says how sure the result is.
//
// Evaluate runs every Contender on the same fresh instances, from the same starting points, on the same
// minibatches, each with a fresh state. A Comparison holds each rule's losses with bootstrap intervals, and a
// Paired verdict of each learned rule against the best hand-designed rule. A Validation answers a smaller
// question: it gives one rule one Score. Meta-training uses it after every few meta-steps, and Select uses it to
// choose among several networks.
package compare
