package compare_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"learnedopt/compare"
	"learnedopt/optimizer"
)

// sleeper is a problem and a rule that take known times: in a synctest bubble only sleeps take time.
type sleeper struct {
	gradient, update func(step int) time.Duration
	diverges         bool
	procs            *[]int
	step             int
}

func (s *sleeper) Dim() int             { return 1 }
func (s *sleeper) Seek(t int)           { s.step = t }
func (s *sleeper) Init(theta []float32) { theta[0] = 0 }
func (s *sleeper) LossGrad(theta, grad []float32) (float64, error) {
	time.Sleep(s.gradient(s.step))
	*s.procs = append(*s.procs, runtime.GOMAXPROCS(0))
	s.step++
	grad[0] = 1
	return 1, nil
}

func (s *sleeper) Needs() optimizer.Needs                 { return optimizer.Needs{} }
func (s *sleeper) Start(optimizer.Layout) optimizer.State { return &sleeping{s, 0} }

type sleeping struct {
	*sleeper
	step int
}

func (s *sleeping) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	time.Sleep(s.update(s.step))
	if dst[0] = 0; s.diverges {
		return 0, &optimizer.DivergedError{Step: s.step, What: "update"}
	}
	s.step++
	return 0, nil
}

func always(d time.Duration) func(int) time.Duration {
	return func(int) time.Duration { return d }
}

// Time takes medians, so a slow first step and rare hiccups do not count; every rule gets the same gradient; and one core
// does it.
func TestTimeIsTheMedianStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var procs []int
		problem := &sleeper{procs: &procs, gradient: func(step int) time.Duration {
			if step%4 == 0 {
				return time.Second
			}
			return 2 * time.Millisecond
		}}
		hiccups := func(step int) time.Duration {
			if step%3 == 0 {
				return time.Minute
			}
			return 6 * time.Millisecond
		}
		before := runtime.GOMAXPROCS(0)
		var progress []string
		times, err := compare.Time(t.Context(), compare.EvalConfig{
			Family: family(func(*rand.Rand) (optimizer.Problem, error) { return problem, nil }),
			Contenders: []compare.Contender{
				{Name: "a", Rule: &sleeper{update: hiccups}}, {Name: "diverges", Rule: &sleeper{update: always(time.Millisecond), diverges: true}},
				{Name: "b", Rule: &sleeper{update: always(18 * time.Millisecond)}},
			},
			Steps: 40, Progress: func(done, total int) { progress = append(progress, fmt.Sprintf("%d/%d", done, total)) },
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(times) != 3 || times[1] != nil || *times[0] != (compare.StepTime{Gradient: 0.002, Update: 0.006}) || *times[2] != (compare.StepTime{Gradient: 0.002, Update: 0.018}) {
			t.Errorf("times %+v and %+v, want 2 ms and 6 and 18 ms, and none for the rule that diverges", times[0], times[2])
		}
		if s := *times[2]; !near(s.Seconds(), 0.020, 1e-12) || !near(s.Share(), 0.9, 1e-12) {
			t.Errorf("a step takes %v s, of which the update takes %v", s.Seconds(), s.Share())
		}
		for _, n := range procs {
			if n != 1 {
				t.Errorf("measured with GOMAXPROCS %d", n)
			}
		}
		if runtime.GOMAXPROCS(0) != before {
			t.Errorf("GOMAXPROCS is %d afterwards, was %d", runtime.GOMAXPROCS(0), before)
		}
		if fmt.Sprint(progress) != "[1/3 2/3 3/3]" {
			t.Errorf("progress %v", progress)
		}
	})
}

// Quick steps are measured 129 times, in turns of 8 steps from the start of a run; slow ones 9 times; runs of one step again
// and again.
func TestTimeTakesTurns(t *testing.T) {
	for _, c := range []struct {
		step                 time.Duration
		steps, want, longest int
	}{{time.Microsecond, 100, 129, 8}, {time.Hour, 100, 9, 8}, {5 * time.Millisecond, 3, 12, 3}, {time.Microsecond, 1, 129, 1}} {
		synctest.Test(t, func(t *testing.T) {
			var procs []int
			problem := &sleeper{procs: &procs, gradient: always(0)}
			updates, longest := 0, 0
			_, err := compare.Time(t.Context(), compare.EvalConfig{
				Family: family(func(*rand.Rand) (optimizer.Problem, error) { return problem, nil }),
				Contenders: []compare.Contender{{Name: "a", Rule: &sleeper{update: func(step int) time.Duration {
					updates++
					longest = max(longest, step+1)
					return c.step
				}}}},
				Steps: c.steps,
			})
			if err != nil || updates != c.want || longest != c.longest {
				t.Errorf("steps of %v, %d in a run: %d updates, runs of %d, error %v; want %d and %d", c.step, c.steps, updates, longest, err, c.want, c.longest)
			}
		})
	}
}

// An error of the problem, and a cancelled context, are errors.
func TestTimeFails(t *testing.T) {
	cfg := compare.EvalConfig{Family: family(func(*rand.Rand) (optimizer.Problem, error) { return nil, errors.New("no data") }),
		Contenders: []compare.Contender{{Name: "a", Rule: &sleeper{update: always(0)}}}, Steps: 3}
	if _, err := compare.Time(t.Context(), cfg); err == nil || err.Error() != "compare: sampling an instance of test: no data" {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var procs []int
	cfg.Family = family(func(*rand.Rand) (optimizer.Problem, error) {
		return &sleeper{procs: &procs, gradient: func(int) time.Duration { cancel(); return 0 }}, nil
	})
	if _, err := compare.Time(ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want a cancellation", err)
	}
	if times, err := compare.Time(t.Context(), compare.EvalConfig{}); times != nil || err != nil {
		t.Errorf("of no rules: %v, %v", times, err)
	}
}
