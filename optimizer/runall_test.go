package optimizer_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"learnedopt/internal/stream"
	"learnedopt/optimizer"
)

// A noisy problem is f_t(θ) = ½|θ − ξ_t|², where ξ_t is drawn anew at every
// step from a seed of the instance.
type noisy struct {
	family *noisyFamily
	seed   uint64
	start  []float32
	step   int
	closed bool
	data   []float32 // ξ_{t,0} as they were used
}

// noisyFamily counts open problems, and fails where a test tells it to.
type noisyFamily struct {
	sampled, closed                  atomic.Int64
	failSample, failLoss, failClose  error
	onLoss                           func()
	mu                               sync.Mutex
	usedAfterClose, sampledTwiceOver bool
	seeds                            map[uint64]bool
}

func (f *noisyFamily) Name() string { return "noisy" }

func (f *noisyFamily) Sample(rng *rand.Rand) (optimizer.Problem, error) {
	p := &noisy{family: f, seed: rng.Uint64(), start: make([]float32, 33)}
	for i := range p.start {
		p.start[i] = rng.Float32()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seeds == nil {
		f.seeds = map[uint64]bool{}
	}
	f.sampledTwiceOver = f.sampledTwiceOver || f.seeds[p.seed]
	f.seeds[p.seed] = true
	if f.failSample != nil && len(f.seeds) == 3 {
		return nil, f.failSample
	}
	f.sampled.Add(1)
	return p, nil
}

func (p *noisy) Dim() int             { return len(p.start) }
func (p *noisy) Init(theta []float32) { copy(theta, p.start) }
func (p *noisy) Seek(t int)           { p.step = t }

func (p *noisy) LossGrad(theta, grad []float32) (float64, error) {
	if p.family.onLoss != nil {
		p.family.onLoss()
	}
	if p.closed {
		p.family.mu.Lock()
		p.family.usedAfterClose = true
		p.family.mu.Unlock()
	}
	if p.family.failLoss != nil && p.step == 4 {
		return 0, p.family.failLoss
	}
	rng, loss := stream.New(p.seed, "data", uint64(p.step)), 0.0
	p.step++
	for i, x := range theta {
		xi := rng.Float32()
		if i == 0 {
			p.data = append(p.data, xi)
		}
		grad[i] = x - xi
		loss += float64(grad[i]) * float64(grad[i]) / 2
	}
	return loss, nil
}

func (p *noisy) Close() error {
	p.closed = true
	p.family.closed.Add(1)
	return p.family.failClose
}

func job(f optimizer.Family) optimizer.Job {
	return optimizer.Job{
		Rules:    []optimizer.Rule{descent{rate: 0.1}, descent{rate: 0.5}, descent{rate: 1e30}, descent{rate: 0.1}},
		Family:   f,
		Instance: func(i int) *rand.Rand { return stream.New(7, "test", uint64(i)) },
		Runs:     9,
		Steps:    6,
	}
}

// withProcs runs f with a GOMAXPROCS.
func withProcs(n int, f func()) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(n))
	f()
}

// For any number of processors, RunAll gives the outcomes of Run with each rule
// on each instance, drawn anew.
func TestRunAllIsRun(t *testing.T) {
	want := make([][]optimizer.Outcome, 4)
	j := job(&noisyFamily{})
	for r, rule := range j.Rules {
		for i := range j.Runs {
			p, err := j.Family.Sample(j.Instance(i))
			if err != nil {
				t.Fatal(err)
			}
			out, err := optimizer.Run(t.Context(), rule, p, j.Steps)
			if err != nil {
				t.Fatal(err)
			}
			want[r] = append(want[r], out)
		}
	}
	if want[2][0].Diverged == nil {
		t.Fatal("a learning rate of 1e30 does not diverge")
	}
	for _, procs := range []int{1, 2, 5} {
		f := &noisyFamily{}
		var got [][]optimizer.Outcome
		var err error
		withProcs(procs, func() { got, err = optimizer.RunAll(t.Context(), job(f)) })
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("GOMAXPROCS %d: Run (-) and RunAll (+):\n%s", procs, d)
		}
		if f.sampled.Load() != 9 || f.closed.Load() != 9 || f.usedAfterClose || f.sampledTwiceOver {
			t.Errorf("GOMAXPROCS %d: %d sampled, %d closed, used after: %v, sampled again: %v; want 9, 9, no, no",
				procs, f.sampled.Load(), f.closed.Load(), f.usedAfterClose, f.sampledTwiceOver)
		}
	}
}

// Finish sees every run once, with the problem open and the final point, after
// the same minibatches for every rule; LossesOnly drops the point afterwards.
func TestRunAllFinishAndProgress(t *testing.T) {
	var (
		mu    sync.Mutex
		seen  [4][9]int
		data  [4][9][]float32
		count int
	)
	j := job(&noisyFamily{})
	j.LossesOnly = true
	j.Finish = func(rule, instance int, p optimizer.Problem, out optimizer.Outcome) error {
		mu.Lock()
		defer mu.Unlock()
		seen[rule][instance]++
		q := p.(*noisy)
		if q.closed || len(out.Theta) != q.Dim() {
			t.Errorf("rule %d, instance %d: closed: %v, final point of %d coordinates", rule, instance, q.closed, len(out.Theta))
		}
		data[rule][instance], q.data = q.data, nil
		return nil
	}
	j.Progress = func(done, total int) {
		if count++; done != count || total != 36 {
			t.Errorf("progress %d of %d, want %d of 36", done, total, count)
		}
	}
	outcomes, err := optimizer.RunAll(t.Context(), j)
	if err != nil || count != 36 {
		t.Fatalf("error %v, %d runs", err, count)
	}
	for r := range seen {
		for i := range seen[r] {
			if seen[r][i] != 1 {
				t.Errorf("rule %d finished instance %d %d times", r, i, seen[r][i])
			}
			if n := len(data[r][i]); r != 2 && n != 7 || !slices.Equal(data[r][i], data[0][i][:n]) {
				t.Errorf("instance %d: rule %d had the data %v, rule 0 %v", i, r, data[r][i], data[0][i])
			}
			if outcomes[r][i].Theta != nil || len(outcomes[r][i].Losses) == 0 {
				t.Errorf("rule %d, instance %d: %+v, want losses only", r, i, outcomes[r][i])
			}
		}
	}
	if slices.Equal(data[0][0], data[0][1]) {
		t.Error("two instances have the same data")
	}
}

// Every failure is returned as its own error, and every instance that was
// sampled is closed.
func TestRunAllErrors(t *testing.T) {
	broken := errors.New("broken")
	for what, c := range map[string]struct {
		arrange func(f *noisyFamily, j *optimizer.Job, cancel func())
		want    error
		text    string
	}{
		"sample": {func(f *noisyFamily, _ *optimizer.Job, _ func()) { f.failSample = broken }, broken, "of noisy: broken"},
		"loss":   {func(f *noisyFamily, _ *optimizer.Job, _ func()) { f.failLoss = broken }, broken, "of noisy: broken"},
		"close":  {func(f *noisyFamily, _ *optimizer.Job, _ func()) { f.failClose = broken }, broken, "broken"},
		"finish": {func(_ *noisyFamily, j *optimizer.Job, _ func()) {
			j.Finish = func(r, i int, _ optimizer.Problem, _ optimizer.Outcome) error {
				if r == 1 {
					return broken
				}
				return nil
			}
		}, broken, "broken"},
		"cancelled before": {func(_ *noisyFamily, _ *optimizer.Job, cancel func()) { cancel() }, context.Canceled, ""},
		"cancelled within": {func(f *noisyFamily, _ *optimizer.Job, cancel func()) {
			var calls atomic.Int64
			cancelled := make(chan struct{})
			f.onLoss = func() {
				switch n := calls.Add(1); {
				case n == 40:
					cancel()
					close(cancelled)
				case n > 40:
					<-cancelled // on a busy machine this goroutine may be ahead by all runs
				}
			}
		}, context.Canceled, ""},
	} {
		for _, procs := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s/%d", what, procs), func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				f := &noisyFamily{}
				j, done := job(f), 0
				j.Progress = func(d, _ int) { done = d }
				c.arrange(f, &j, cancel)
				withProcs(procs, func() {
					if _, err := optimizer.RunAll(ctx, j); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
						t.Errorf("error %v, want %v with %q", err, c.want, c.text)
					}
				})
				if f.sampled.Load() != f.closed.Load() {
					t.Errorf("%d instances sampled, %d closed", f.sampled.Load(), f.closed.Load())
				}
				if what == "cancelled before" && f.sampled.Load() > 0 {
					t.Errorf("%d instances were sampled", f.sampled.Load())
				}
				if done >= 9*4-1 {
					t.Errorf("went on for %d runs", done)
				}
			})
		}
	}
}

// An endless problem takes a millisecond a step, until another one fails.
type endless struct {
	*bowl
	started chan struct{}
	fails   error
}

func (p endless) LossGrad(theta, grad []float32) (float64, error) {
	if p.fails != nil {
		<-p.started
		return 0, p.fails
	}
	if p.step == 0 {
		close(p.started)
	}
	time.Sleep(time.Millisecond)
	return p.bowl.LossGrad(theta, grad)
}

type endlessFamily struct {
	started chan struct{}
	long    *bowl
	fails   error
}

func (f endlessFamily) Name() string { return "endless" }
func (f endlessFamily) Sample(rng *rand.Rand) (optimizer.Problem, error) {
	if rng == nil {
		return endless{bowl: sound(1), started: f.started, fails: f.fails}, nil
	}
	return endless{bowl: f.long, started: f.started}, nil
}

// A failure stops the other instances in mid-run. RunAll returns the failure, not
// the cancellation that follows from it.
func TestRunAllFailureStopsTheOthers(t *testing.T) {
	const steps = 5000
	f := endlessFamily{started: make(chan struct{}), long: sound(1), fails: errors.New("broken")}
	withProcs(2, func() {
		_, err := optimizer.RunAll(t.Context(), optimizer.Job{
			Rules: []optimizer.Rule{descent{rate: 0.1}}, Family: f, Runs: 2, Steps: steps,
			Instance: func(i int) *rand.Rand { return []*rand.Rand{stream.New(0, "test", 0), nil}[i] },
		})
		if !errors.Is(err, f.fails) {
			t.Errorf("error %v, want the failure", err)
		}
	})
	if f.long.step >= steps {
		t.Errorf("the other instance went on for %d steps", f.long.step)
	}
}

func TestRunAllEdges(t *testing.T) {
	j := job(&noisyFamily{})
	j.Runs = 0
	if out, err := optimizer.RunAll(t.Context(), j); err != nil || len(out) != 4 || len(out[0]) != 0 {
		t.Errorf("no runs: %v, error %v", out, err)
	}
	j.Runs = -1
	mustPanic(t, "optimizer: negative number of runs", func() { optimizer.RunAll(t.Context(), j) })
	j = job(&noisyFamily{})
	j.Steps = -1
	mustPanic(t, "optimizer: negative number of steps", func() { optimizer.RunAll(t.Context(), j) })
}

func ExampleRunAll() {
	outcomes, err := optimizer.RunAll(context.Background(), optimizer.Job{
		Rules:    []optimizer.Rule{descent{rate: 0.1}, descent{rate: 0.5}},
		Family:   &noisyFamily{},
		Instance: func(i int) *rand.Rand { return stream.New(0, "example", uint64(i)) },
		Runs:     3,
		Steps:    2,
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(len(outcomes), "rules,", len(outcomes[0]), "instances,", len(outcomes[0][0].Losses), "losses each")
	// Output: 2 rules, 3 instances, 3 losses each
}
