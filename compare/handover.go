package compare

import (
	"sync/atomic"

	"learnedopt/metaopt"
	"learnedopt/optimizer"
)

// A handoverCount counts the handovers of a rule's runs.
type handoverCount struct{ n atomic.Int64 }

// countHandovers returns rule and a count of its handovers. If rule has no guard, the count is nil.
func countHandovers(rule optimizer.Rule) (optimizer.Rule, *handoverCount) {
	g, ok := rule.(metaopt.Guarded)
	if !ok {
		return rule, nil
	}
	count, onHandover := new(handoverCount), g.Guard.OnHandover
	g.Guard.OnHandover = func(h metaopt.Handover) {
		count.n.Add(1)
		if onHandover != nil {
			onHandover(h)
		}
	}
	return g, count
}

func (c *handoverCount) total() *int {
	if c == nil {
		return nil
	}
	n := int(c.n.Load())
	return &n
}
