package tasks

import (
	"runtime"
	"slices"
	"sync"
)

// A pool keeps the compiled networks of closed problems for later problems of the same shape. All
// classifiers of a mixture share a pool, so that the number of idle networks does not grow with
// the number of shapes times the number of processors.
type pool struct {
	limit int

	mu   sync.Mutex
	idle []idle // the network that has been idle longest comes first
}

type idle struct {
	shape shape
	net   *network
}

// A shape holds everything that a compiled network depends on.
type shape struct {
	data    *Dataset
	options Options
	split   Split
}

// shape returns the classifier's shape, without the options that only the starting point, the labels or the choice of examples depend on.
func (f *Classifier) shape() shape {
	o := f.config
	o.InitScale, o.WeightInit, o.LabelNoise, o.Examples = 0, "", 0, 0
	return shape{f.data, o, f.split}
}

// sharedNetworks bounds the number of idle networks in a mixture's pool, in addition to one for
// each processor.
const sharedNetworks = 64

// newPool returns a pool for the given number of shapes, at least one. For one shape it holds a network for each
// processor, and for every further shape one more, up to sharedNetworks.
func newPool(shapes uint64) *pool {
	return &pool{limit: runtime.GOMAXPROCS(0) + int(min(shapes-1, sharedNetworks))}
}

// take returns an idle network of the shape, nil if there is none.
func (p *pool) take(s shape) *network {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, e := range slices.Backward(p.idle) {
		if e.shape == s {
			p.idle = slices.Delete(p.idle, i, i+1)
			return e.net
		}
	}
	return nil
}

// put keeps a network. If the pool is full, it drops the network that has been idle longest.
func (p *pool) put(s shape, net *network) error {
	p.mu.Lock()
	p.idle = append(p.idle, idle{s, net})
	var old *network
	if len(p.idle) > p.limit {
		old = p.idle[0].net
		p.idle = slices.Delete(p.idle, 0, 1)
	}
	p.mu.Unlock()
	if old == nil {
		return nil
	}
	return old.close()
}
