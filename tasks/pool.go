package tasks

import (
	"runtime"
	"slices"
	"sync"
)

// A pool keeps compiled networks of closed problems for the next ones of the same shape. The
// classifiers of one data set share one, so that what is kept does not grow with
// the number of shapes and processors.
type pool struct {
	limit int

	mu   sync.Mutex
	idle []idle // the longest idle first
}

type idle struct {
	shape shape
	net   *network
}

// A shape is all that a compiled network depends on, its data set aside.
type shape struct {
	options Options
	split   Split
}

// shape leaves out the options that only the start depends on.
func (f *Classifier) shape() shape {
	o := f.config
	o.InitScale, o.WeightInit = 0, ""
	return shape{o, f.split}
}

// sharedNetworks bounds the number of idle networks of a mixture beside one for
// each processor.
const sharedNetworks = 64

// newPool returns a pool for some shapes, one at least: a network for each processor is enough
// for one shape.
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

// put keeps a network, in place of the longest idle one if the pool is full.
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
	return old.graph.Close()
}
