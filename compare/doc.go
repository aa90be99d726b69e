// Package compare measures update rules on the same problem instances, and says how sure the result is.
//
// Evaluate runs every Contender on the same fresh instances, from the same starting points, on the same
// minibatches, each with a fresh state. A Comparison has each rule's losses with bootstrap intervals, and a Paired
// verdict of each learned rule against the best hand-designed rule. A Validation is the smaller question that
// meta-training asks again and again, and Select asks of several networks: one Score for one rule.
package compare
