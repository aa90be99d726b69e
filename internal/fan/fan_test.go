package fan

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// TestEveryIterationOnce counts iterations for several sizes and numbers of
// workers; workers that run at the same time must have distinct numbers.
func TestEveryIterationOnce(t *testing.T) {
	for _, n := range []int{0, 1, 2, 7, 100} {
		for _, workers := range []int{1, 2, 5, 200} {
			counts := make([]atomic.Int32, n)
			busy := make([]atomic.Bool, max(workers, 1))
			f := New(func(worker, i int) {
				if !busy[worker].CompareAndSwap(false, true) {
					t.Errorf("worker %d runs twice at a time", worker)
				}
				counts[i].Add(1)
				runtime.Gosched()
				busy[worker].Store(false)
			})
			for range 3 {
				f.Run(n, workers)
			}
			for i := range counts {
				if c := counts[i].Load(); c != 3 {
					t.Errorf("n = %d, %d workers: iteration %d ran %d times in three runs", n, workers, i, c)
				}
			}
		}
	}
}

func TestRunsAtTheSameTime(t *testing.T) {
	var here atomic.Int32
	met := make(chan struct{})
	New(func(int, int) {
		if here.Add(1) == 2 {
			close(met)
		}
		select {
		case <-met:
		case <-time.After(10 * time.Second):
			t.Error("the other iteration did not begin meanwhile")
		}
	}).Run(2, 2)
}

func TestLeavesNothingBehind(t *testing.T) {
	f := New(func(int, int) {})
	f.Run(10, 4)
	before := runtime.NumGoroutine()
	if n := testing.AllocsPerRun(50, func() { f.Run(10, 4) }); n != 0 {
		t.Errorf("Run allocates %v times", n)
	}
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("%d goroutines before, %d after", before, runtime.NumGoroutine())
}
