package optimizer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
)

// A Job is a comparison to be run: every rule on the same instances of a family.
type Job struct {
	Rules  []Rule
	Family Family
	// Instance returns the random source from which instance i is drawn.
	// It is called from several goroutines.
	Instance func(i int) *rand.Rand
	// Runs is the number of instances, Steps the length T of a run.
	Runs, Steps int
	// Finish, if set, is called after each run while the problem is still open,
	// for example to measure the final point on other data. It is called once for
	// each (rule, instance), from several goroutines.
	Finish func(rule, instance int, p Problem, out Outcome) error
	// LossesOnly drops every outcome's Theta after Finish. Without it, a
	// comparison of many rules on large problems would not fit in memory.
	LossesOnly bool
	// Progress, if set, is called after each run with the number of finished
	// runs. Calls do not overlap.
	Progress func(done, total int)
}

// RunAll runs every rule on every instance and returns outcomes[rule][instance].
// Each instance is sampled once. Every rule runs on it from the same
// starting point, with the same minibatches and a fresh state. Instances are
// spread over GOMAXPROCS goroutines; the result does not depend on their number.
// It panics if Runs or Steps is negative.
func RunAll(ctx context.Context, job Job) ([][]Outcome, error) {
	// Checked here, because a caller cannot recover a panic in the goroutines.
	if job.Runs < 0 {
		panic(errRuns)
	}
	if job.Steps < 0 {
		panic(errSteps)
	}
	outcomes := make([][]Outcome, len(job.Rules))
	for r := range outcomes {
		outcomes[r] = make([]Outcome, job.Runs)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		next   atomic.Int64
		wg     sync.WaitGroup
		mu     sync.Mutex
		done   int
		failed error
	)
	finish := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err == nil:
			done++
			if job.Progress != nil {
				job.Progress(done, job.Runs*len(job.Rules))
			}
		case failed == nil:
			failed = err
			cancel()
		}
	}
	for range min(runtime.GOMAXPROCS(0), job.Runs) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= job.Runs || ctx.Err() != nil {
					return
				}
				if err := runInstance(ctx, job, i, outcomes, finish); err != nil {
					finish(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if failed == nil {
		failed = ctx.Err()
	}
	return outcomes, failed
}

// runInstance runs every rule on instance i.
func runInstance(ctx context.Context, job Job, i int, outcomes [][]Outcome, finish func(error)) (err error) {
	p, err := job.Family.Sample(job.Instance(i))
	if err != nil {
		return fmt.Errorf("optimizer: sampling instance %d of %s: %w", i, job.Family.Name(), err)
	}
	if c, ok := p.(io.Closer); ok {
		defer func() { err = errors.Join(err, c.Close()) }()
	}
	for r, rule := range job.Rules {
		out, err := Run(ctx, rule, p, job.Steps)
		if err != nil {
			return fmt.Errorf("optimizer: instance %d of %s: %w", i, job.Family.Name(), err)
		}
		if job.Finish != nil {
			if err := job.Finish(r, i, p, out); err != nil {
				return err
			}
		}
		if job.LossesOnly {
			out.Theta = nil
		}
		outcomes[r][i] = out
		finish(nil)
	}
	return nil
}
