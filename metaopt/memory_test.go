package metaopt_test

import (
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"learnedopt/baselines"
	"learnedopt/lstm"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
	"learnedopt/rules"
)

// TestRunAllocations expects no kind of step of any rule to allocate after the first.
func TestRunAllocations(t *testing.T) {
	const n = 600 // enough blocks for several goroutines
	for name, rule := range someRules(t) {
		for _, w := range ways(n) {
			k := w.start(startRun(rule, n))
			k.steps(t, 20) // past handovers and changes of rules
			if a := testing.AllocsPerRun(20, func() {
				if err := k.step(); err != nil {
					t.Fatal(err)
				}
			}); a != 0 {
				t.Errorf("%s, %s: a step allocates %v times", name, w.name, a)
			}
		}
	}
}

// TestFloatsACoordinate measures the memory of a run of 40,000 coordinates: the figures in docs/using.md.
func TestFloatsACoordinate(t *testing.T) {
	const n = 40_000
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // each worker has its scratch memory
	quadratic, mlp, general := learnedRule(t, "quadratic-uniform"), learnedRule(t, "mlp"), learnedRule(t, "general")
	guard := func(rule optimizer.Rule) optimizer.Rule { return metaopt.Guarded{Rule: rule} }
	half := func(name string) optimizer.Rule { return learned(t, name).WithHalfState().Rule() }
	adam := baselines.Adam{LearningRate: 0.001}
	// general keeps two floats for each element of its largest matrix, and four squares of the matrix's shorter side, here as many numbers
	// as a quarter of the matrix has.
	matrix, err := optimizer.NewLayout(optimizer.Tensor{Shape: []int{800, 50}, Kind: optimizer.Matrix, OutputAxis: 1})
	if err != nil {
		t.Fatal(err)
	}
	layouts := map[string]optimizer.Layout{"general, a matrix": matrix}
	for name, c := range map[string]struct {
		rule optimizer.Rule
		want [4]float64 // float32, its groups, float64, its groups
	}{
		"general":               {general, [4]float64{50, 51, 51, 51}},
		"general, a matrix":     {general, [4]float64{52.25, 53.25, 53.25, 53.25}},
		"general, half":         {half("general"), [4]float64{30, 31, 31, 31}},
		"general-small":         {learnedRule(t, "general-small"), [4]float64{22, 23, 23, 23}},
		"mlp, half":             {half("mlp"), [4]float64{43, 43, 43, 43}},
		"quadratic-uniform":     {quadratic, [4]float64{81, 81, 81, 81}},
		"mlp":                   {mlp, [4]float64{83, 83, 83, 83}},
		"mlp, guarded":          {guard(mlp), [4]float64{84, 85, 86, 86}},
		"adam":                  {adam, [4]float64{3, 3, 3, 3}},
		"adam, scaled":          {rules.Scaled{Rule: rules.ClipNorm{Rule: adam, Max: 1}, By: rules.InverseSqrt{}}, [4]float64{3, 3, 3, 3}},
		"adam, decay":           {rules.WeightDecay{Rule: adam}, [4]float64{3, 4, 4, 4}},
		"adam, resting":         {rules.Resting{Rule: adam}, [4]float64{5, 5, 5, 5}},
		"warm start":            {rules.WarmStart{Steps: 9, First: adam, Then: quadratic}, [4]float64{83, 83, 83, 83}},
		"warm start, observing": {rules.WarmStart{Steps: 9, First: adam, Then: quadratic, Observe: true}, [4]float64{84, 84, 84, 84}},
		"after the warm start":  {rules.WarmStart{Steps: 1, First: adam, Then: quadratic, Observe: true}, [4]float64{81, 81, 81, 81}},
	} {
		for k, w := range ways(n) {
			k1 := w.start(startRun(rules.Scaled{Rule: adam}, n)) // pools of the kernels, and the like
			k1.steps(t, 2)
			theta := 2 * 4.0 // bytes of a parameter and its gradient, which w holds
			if k >= 2 {
				theta *= 2
			}
			layout := optimizer.Flat(n)
			if l, ok := layouts[name]; ok {
				layout = l
			}
			before := heap()
			run := w.start(startLaid(c.rule, layout))
			run.steps(t, 2)
			got := (float64(heap()-before)/n - theta) / 4
			runtime.KeepAlive(run)
			runtime.KeepAlive(k1)
			// Blocks are of 32 coordinates, and there is scratch memory that does not grow with n.
			if got < c.want[k]-0.2 || got > c.want[k]+0.7 {
				t.Errorf("%s, %s: %.2f floats a coordinate, want %v", name, w.name, got, c.want[k])
			}
		}
	}
}

func learnedRule(t *testing.T, name string) optimizer.Rule {
	t.Helper()
	return learned(t, name).Rule()
}

func learned(t *testing.T, name string) *metaopt.Optimizer {
	t.Helper()
	opt, err := metaopt.Pretrained(name)
	if err != nil {
		t.Fatal(err)
	}
	return opt
}

// heap returns the bytes in use.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestAMillionSteps expects a run to hold the same memory and goroutines at its end as at its start.
func TestAMillionSteps(t *testing.T) {
	rule := rules.ClipNorm{Rule: rules.Scaled{Rule: metaopt.Guarded{Rule: someNetwork(t)}, By: rules.WarmUp{Steps: 9, Then: rules.InverseSqrt{}}}, Max: 1}
	run := ways(2)[3].start(startRun(rule, 2))
	run.steps(t, 100)
	before, goroutines := heap(), runtime.NumGoroutine()
	run.steps(t, 1_000_000)
	// Even one byte kept per step would be a megabyte.
	if grown := heap() - before; grown > 100_000 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
	goroutinesEnd(t, goroutines)
	if _, ok := run.run.HandedOver(); ok {
		t.Error("the run was handed over: it is the fallback's")
	}
	runtime.KeepAlive(run)
}

// TestRunsSideBySide expects runs of one optimizer in several goroutines to equal a run alone, and to leave no
// goroutine behind.
func TestRunsSideBySide(t *testing.T) {
	const n, steps, workers = 600, 5, 3
	before := runtime.NumGoroutine()
	for name, rule := range someRules(t) {
		for _, w := range ways(n) {
			alone := w.start(startRun(rule, n))
			alone.steps(t, steps)
			var group sync.WaitGroup
			var ends [workers][]float64
			var errs [workers]error
			for k := range workers {
				group.Go(func() {
					run := w.start(startRun(rule, n))
					for range steps {
						if errs[k] = run.step(); errs[k] != nil {
							return
						}
					}
					ends[k] = run.theta()
				})
			}
			group.Wait()
			for k := range workers {
				if errs[k] != nil || !slices.Equal(ends[k], alone.theta()) {
					t.Errorf("%s, %s: beside others the run ends at %v, alone at %v: %v", name, w.name, ends[k][:3], alone.theta()[:3], errs[k])
				}
			}
		}
	}
	goroutinesEnd(t, before)
}

// goroutinesEnd waits until there are no more goroutines than before: one that has done its work ends a moment later.
func goroutinesEnd(t *testing.T, before int) {
	t.Helper()
	g := 0
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if g = runtime.NumGoroutine(); g <= before {
			return
		}
	}
	t.Errorf("%d goroutines are left of %d", g, before)
}

func someNetwork(t *testing.T) optimizer.Rule {
	t.Helper()
	return someOptimizer(t, lstm.Config{Hidden: 1, Layers: 1, Scale: 1e-9}).Network
}
