// Package fan runs a loop's iterations on all cores without allocating.
package fan

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// A Fan runs iterations 0 … n-1 of one loop body on up to GOMAXPROCS
// goroutines, which all have ended when Run returns. It belongs to one
// goroutine; after the first use at a given GOMAXPROCS, Run does not allocate.
type Fan struct {
	body    func(worker, i int)
	next    atomic.Int64
	n       int64
	wg      sync.WaitGroup
	workers []func()
	// nothing is started last: what this thread started last another takes from
	// it only after a sleep of 3 µs, which Linux makes 50 and more.
	nothing func()
}

// New returns a fan of the given loop body. worker is below Workers() and
// distinct for bodies that run at the same time: it may index scratch memory.
func New(body func(worker, i int)) *Fan {
	f := &Fan{body: body}
	f.nothing = f.wg.Done
	return f
}

// Workers returns how many workers a Run started now would use at most.
func Workers() int { return runtime.GOMAXPROCS(0) }

// Run runs the body for every i < n, on at most workers goroutines, and waits
// for all of them. Which worker gets which i is not determined.
func (f *Fan) Run(n, workers int) {
	workers = min(workers, n)
	if workers <= 1 {
		for i := range n {
			f.body(0, i)
		}
		return
	}
	for len(f.workers) < workers {
		id := len(f.workers)
		f.workers = append(f.workers, func() {
			defer f.wg.Done()
			f.drain(id)
		})
	}
	f.next.Store(0)
	f.n = int64(n)
	f.wg.Add(workers)
	for _, w := range f.workers[1:workers] {
		go w()
	}
	go f.nothing()
	f.drain(0)
	f.wg.Wait()
}

func (f *Fan) drain(worker int) {
	for {
		i := f.next.Add(1) - 1
		if i >= f.n {
			return
		}
		f.body(worker, int(i))
	}
}
