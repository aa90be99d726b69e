package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"learnedopt/baselines"
	"learnedopt/compare"
	"learnedopt/htmlreport"
	"learnedopt/lstm"
	"learnedopt/metaopt"
	"learnedopt/metatrain"
	"learnedopt/optimizer"
	"learnedopt/sweep"
	"learnedopt/tasks"
)

// TestSoak does everything that the library does, in parallel and repeatedly, for the time in METAOPT_SOAK, such as 30m
// (default: two seconds). It expects that no goroutine is left at the end. In a test of a minute or more, it also expects that
// heap, goroutines and open files do not grow after the first third. In a shorter test, caches may still fill.
func TestSoak(t *testing.T) {
	duration := 2 * time.Second
	if text := os.Getenv("METAOPT_SOAK"); text != "" {
		var err error
		if duration, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	digits, err := tasks.New("digits", tasks.Options{Units: 4, Activation: "relu", Batch: 16})
	if err != nil {
		t.Fatal(err)
	}
	quadratic, err := tasks.New("quadratic", tasks.Options{Dims: 4, Batch: 8})
	if err != nil {
		t.Fatal(err)
	}
	opt, err := metaopt.Pretrained("mlp")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), duration)
	defer cancel()
	loads := map[string]func() error{
		"train quadratics": func() error {
			return soakTraining(ctx, quadratic, &metatrain.TruncatedBackprop{SecondDerivatives: true})
		},
		"train digits":  func() error { return soakTraining(ctx, digits, &metatrain.PES{}) },
		"evaluate":      func() error { return soakEvaluation(ctx, digits, opt) },
		"runs":          func() error { return soakRuns(opt) },
		"sweep, report": func() error { return soakSweep(ctx, opt) },
		"files":         func() error { return soakFiles(opt) },
	}
	var (
		wg     sync.WaitGroup
		rounds atomic.Int64
		counts sync.Map
	)
	for name, load := range loads {
		wg.Go(func() {
			n := 0
			for ctx.Err() == nil {
				if err := load(); err != nil && ctx.Err() == nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				n++
				rounds.Add(1)
			}
			counts.Store(name, n)
		})
	}
	var heaps, routines, files []float64
	tick := time.NewTicker(max(duration/90, 100*time.Millisecond))
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			heaps = append(heaps, float64(m.HeapAlloc)/(1<<20))
			routines = append(routines, float64(runtime.NumGoroutine()))
			if open, err := os.ReadDir("/proc/self/fd"); err == nil {
				files = append(files, float64(len(open)))
			}
		}
	}
	wg.Wait()
	counts.Range(func(name, n any) bool { t.Logf("%s: %d rounds", name, n); return true })
	for what, x := range map[string][]float64{"MiB of heap": heaps, "goroutines": routines, "open files": files} {
		third := len(x) / 3
		if third == 0 {
			continue
		}
		// The values at single moments vary with the running work. So compare the medians of the second and the last third.
		before, after := median(x[third:2*third]), median(x[2*third:])
		t.Logf("%s: median %.4g, then %.4g; at most %.4g", what, before, after, slices.Max(x))
		if duration >= time.Minute && after > 1.1*before+5 {
			t.Errorf("%s grow: from %.4g to %.4g", what, before, after)
		}
	}
	// No goroutine must be left.
	http.DefaultClient.CloseIdleConnections()
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > 10 && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > 10 {
		var stacks bytes.Buffer
		buf := make([]byte, 1<<20)
		stacks.Write(buf[:runtime.Stack(buf, true)])
		t.Errorf("%d goroutines are left:\n%s", n, stacks.String())
	}
}

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return x[len(x)/2]
}

// soakTraining trains for some meta-steps, saves the state, and resumes it for as many more.
func soakTraining(ctx context.Context, family optimizer.Family, estimator metatrain.Estimator) error {
	cfg := metatrain.TrainConfig{
		Family: family, Network: lstm.Config{Hidden: 4, Inputs: lstm.LogAndSign | lstm.RNNProp, Scale: 0.01}, Steps: 20, Unroll: 5,
		MetaSteps: 10, ValidEvery: 5, ValidRuns: 2, Estimator: estimator, Seed: rand.Uint64(),
	}
	first, err := metatrain.NewTrainer(cfg)
	if err != nil {
		return err
	}
	defer first.Close()
	if _, err := first.Train(ctx); err != nil {
		return err
	}
	state, err := first.MarshalBinary()
	if err != nil {
		return err
	}
	cfg.MetaSteps = 20
	second, err := metatrain.NewTrainer(cfg)
	if err != nil {
		return err
	}
	defer second.Close()
	if err := second.UnmarshalBinary(state); err != nil {
		return err
	}
	_, err = second.Train(ctx)
	return err
}

// soakEvaluation compares, with and without a guard.
func soakEvaluation(ctx context.Context, family optimizer.Family, opt *metaopt.Optimizer) error {
	_, err := compare.Evaluate(ctx, compare.EvalConfig{Family: family, Steps: 20, Runs: 3, Seed: rand.Uint64(), Contenders: []compare.Contender{
		{Name: "mlp", Kind: compare.Learned, Rule: opt.Rule()},
		{Name: "guarded", Kind: compare.Learned, Rule: metaopt.Guarded{Rule: opt.Rule(), Guard: metaopt.Guard{Fallback: baselines.Adam{LearningRate: 0.001}}}},
		{Name: "adam", Kind: compare.Baseline, Rule: baselines.Adam{LearningRate: 0.03}, LearningRate: 0.03},
	}})
	return err
}

// soakRuns takes steps in its own loop, some with non-finite gradients, and saves and resumes the run.
func soakRuns(opt *metaopt.Optimizer) error {
	const n = 2000
	theta, grad := make([]float32, n), make([]float32, n)
	run := opt.Start(optimizer.Flat(n))
	for step := range 20 {
		for i := range grad {
			grad[i] = float32(rand.NormFloat64())
		}
		if step == 7 {
			grad[3] = float32(1e39 * float64(step))
		}
		var diverged *optimizer.DivergedError
		if err := run.Step(theta, grad); err != nil && !errors.As(err, &diverged) {
			return err
		}
	}
	data, err := run.MarshalBinary()
	if err != nil {
		return err
	}
	return opt.Start(optimizer.Flat(n)).UnmarshalBinary(data)
}

// soakSweep runs a sweep, makes a page of it and serves it.
func soakSweep(ctx context.Context, opt *metaopt.Optimizer) error {
	plan, err := sweep.Config{
		Task: tasks.MustParse("quadratic batch=4"), Axes: []sweep.Axis{{Key: "dims", Values: []string{"2", "3"}}},
		Steps: 10, Runs: 2, Reach: 2, Learned: []sweep.Learned{{Name: "mlp", Optimizer: opt}},
		Rules: []string{"adam"}, Tune: sweep.TuneCell, TuneRuns: 1, Grid: 1, Seed: rand.Uint64(),
	}.Plan()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "soak")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	store, err := sweep.OpenStore(dir)
	if err != nil {
		return err
	}
	defer store.Close()
	if err := errors.Join(plan.Run(ctx, store, sweep.RunOptions{}), plan.Manifest.Write(dir)); err != nil {
		return err
	}
	source, err := htmlreport.Read(dir)
	if err != nil {
		return err
	}
	var page bytes.Buffer
	if err := htmlreport.Write(&page, htmlreport.Page{Sources: []*htmlreport.Source{source}}); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- htmlreport.Serve(serving, listener, dir, []string{"127.0.0.1"}, "soak") }()
	response, err := http.Get("http://" + listener.Addr().String() + "/")
	if err == nil {
		err = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			err = fmt.Errorf("the dashboard answers %s", response.Status)
		}
	}
	stop()
	return errors.Join(err, <-served)
}

// soakFiles writes and reads optimizers.
func soakFiles(opt *metaopt.Optimizer) error {
	dir, err := os.MkdirTemp("", "soak")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "optimizer.mopt")
	for range 20 {
		if err := metaopt.Save(path, opt); err != nil {
			return err
		}
		if _, err := metaopt.Load(path); err != nil {
			return err
		}
	}
	return os.WriteFile(path, []byte("no optimizer"), 0o600)
}
