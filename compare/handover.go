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
	count := new(handoverCount)
	counting := func(onHandover func(metaopt.Handover)) func(metaopt.Handover) {
		return func(h metaopt.Handover) {
			count.n.Add(1)
			if onHandover != nil {
				onHandover(h)
			}
		}
	}
	switch g := rule.(type) {
	case metaopt.Guarded:
		g.Guard.OnHandover = counting(g.Guard.OnHandover)
		return g, count
	case metaopt.Bounded:
		g.Guard.OnHandover = counting(g.Guard.OnHandover)
		return g, count
	}
	return rule, nil
}

func (c *handoverCount) total() *int {
	if c == nil {
		return nil
	}
	n := int(c.n.Load())
	return &n
}
