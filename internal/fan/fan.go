// Package fan runs a loop's iterations on all cores without allocating.
package fan

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// A Fan runs iterations 0 … n-1 of one loop body on up to GOMAXPROCS
// goroutines; all of them have ended when Run returns. A Fan belongs to one
// goroutine. After the first use at a given GOMAXPROCS, Run does not allocate.
type Fan struct {
	body    func(worker, i int)
	next    atomic.Int64
	n       int64
	wg      sync.WaitGroup
	workers []func()
	// nothing does no iterations. Run starts it as the last goroutine: another thread takes over the goroutine that a
	// thread started last only after a sleep of 3 µs, and Linux makes that 50 µs or more.
	nothing func()
}

// New returns a Fan for the given loop body. worker is below Workers() and
// distinct for bodies that run at the same time, so it may index scratch memory.
func New(body func(worker, i int)) *Fan {
	f := &Fan{body: body}
	f.nothing = f.wg.Done
	return f
}

// Workers returns the largest number of workers that a Run started now would use.
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
