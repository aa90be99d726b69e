package optimizertest

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"runtime"
	"sync"
	"testing"

	"learnedopt/internal/stream"
	"learnedopt/optimizer"
)

// finite keeps each coordinate at one magnitude for ten steps, then draws a magnitude at each step.
func finite(rule optimizer.Rule) error {
	magnitudes := []float32{0, 1e-45, 1e-38, 1e-30, 1e-20, 1e-10, 1e-5, 1, 1e5, 1e10, 1e19, 1e20, 1e30}
	rng := stream.New(1606, "optimizertest/finite", 0)
	n := 3 * len(magnitudes) // constant, negative, alternating
	state, grad, dst := start(rule, n), make([]float32, n), make([]float32, n)
	for t := range 30 {
		for i := range grad {
			x := magnitudes[i%len(magnitudes)]
			if t >= 10 {
				x = magnitudes[rng.IntN(len(magnitudes))]
			}
			if kind := i / len(magnitudes); kind == 1 || kind == 2 && t%2 == 1 {
				x = -x
			}
			grad[i] = x
		}
		update(state, dst, grad)
		if i := optimizer.NonFinite(dst); i >= 0 {
			return fmt.Errorf("step %d: the gradient %v gave the update %v", t, grad[i], dst[i])
		}
	}
	return nil
}

func alias(rule optimizer.Rule) error {
	for k, n := range sizes {
		grads := gradients(n, 5, uint64(k))
		separate, inPlace := start(rule, n), start(rule, n)
		dst, grad := make([]float32, n), make([]float32, n)
		for t, g := range grads {
			for i := range dst {
				dst[i] = float32(math.NaN())
			}
			copy(grad, g)
			update(separate, dst, grad)
			if i := differ(grad, g); i >= 0 {
				return fmt.Errorf("n = %d, step %d: Update changed its gradient at coordinate %d from %v to %v", n, t, i, g[i], grad[i])
			}
			update(inPlace, grad, grad)
			if i := differ(grad, dst); i >= 0 {
				return fmt.Errorf("n = %d, step %d, coordinate %d: update %v in place, %v into a dst of NaN", n, t, i, grad[i], dst[i])
			}
		}
	}
	return nil
}

var prefixed = regexp.MustCompile(`^[a-z0-9]+: .`)

// panics returns an error unless f panics with a text that begins with a package name.
func panics(what string, f func()) (err error) {
	defer func() {
		switch text, ok := recover().(string); {
		case !ok:
			err = fmt.Errorf("%s: no panic, or not with a text of the package", what)
		case !prefixed.MatchString(text):
			err = fmt.Errorf("%s: the panic %q does not begin with its package", what, text)
		}
	}()
	f()
	return nil
}

func lengths(rule optimizer.Rule) error {
	const n = 33
	grads := gradients(n, 5, 0)
	want := trajectory(rule, grads)
	state := start(rule, n)
	good := func() []float32 { return make([]float32, n) }
	errs := []error{
		panics("Start without coordinates", func() { rule.Start(optimizer.Layout{}) }),
	}
	for _, wrong := range []int{0, n - 1, n + 1} {
		bad := make([]float32, wrong)
		errs = append(errs,
			panics(fmt.Sprintf("dst of %d for n = %d", wrong, n), func() { update(state, bad, good()) }),
			panics(fmt.Sprintf("gradient of %d for n = %d", wrong, n), func() { update(state, good(), bad) }),
			panics(fmt.Sprintf("both of %d for n = %d", wrong, n), func() { update(state, bad, bad) }))
	}
	return errors.Join(append(errs, same(continued(state, grads), want, "after panics"))...)
}

// independent interleaves two states and a third one of another size.
func independent(rule optimizer.Rule) error {
	const n, steps = 33, 6
	ga, gb, gc := gradients(n, steps, 0), gradients(n, steps, 1), gradients(n+7, steps, 2)
	wantA, wantB := trajectory(rule, ga), trajectory(rule, gb)
	a, b, c := start(rule, n), start(rule, n), start(rule, n+7)
	for t := range steps {
		gotA, gotB := make([]float32, n), make([]float32, n)
		update(a, gotA, ga[t])
		update(c, make([]float32, n+7), gc[t])
		update(b, gotB, gb[t])
		for _, got := range []struct{ u, want []float32 }{{gotA, wantA[t]}, {gotB, wantB[t]}} {
			if i := differ(got.u, got.want); i >= 0 {
				return fmt.Errorf("step %d, coordinate %d: update %v beside other states, %v alone", t, i, got.u[i], got.want[i])
			}
		}
	}
	return nil
}

func permutation(rule optimizer.Rule) error {
	for k, n := range sizes {
		grads := gradients(n, 5, uint64(k))
		perm := stream.New(1606, "optimizertest/permutation", uint64(k)).Perm(n)
		shuffle := func(rows [][]float32) [][]float32 {
			out := make([][]float32, len(rows))
			for t, row := range rows {
				out[t] = make([]float32, n)
				for i, p := range perm {
					out[t][i] = row[p]
				}
			}
			return out
		}
		if err := same(trajectory(rule, shuffle(grads)), shuffle(trajectory(rule, grads)), "permuted"); err != nil {
			return err
		}
	}
	return nil
}

// layouts compares the updates on one vector with the updates on tensors of all kinds.
func layouts(rule optimizer.Rule) error {
	const n = 100
	layout, err := optimizer.NewLayout(
		optimizer.Tensor{Name: "kernel", Shape: []int{2, 3, 2, 2}, Kind: optimizer.Convolution},
		optimizer.Tensor{Name: "w", Shape: []int{9, 7}, Kind: optimizer.Matrix, OutputAxis: 1},
		optimizer.Tensor{Name: "b", Shape: []int{7}, Kind: optimizer.Bias},
		optimizer.Tensor{Name: "empty", Shape: []int{0}},
		optimizer.Tensor{Name: "scale"},
		optimizer.Tensor{Name: "rest", Shape: []int{5}})
	if err != nil {
		return err
	}
	grads := gradients(n, 5, 0)
	return same(continued(rule.Start(layout), grads), trajectory(rule, grads), "on tensors")
}

func deterministic(rule optimizer.Rule) error {
	grads := gradients(1000, 4, 0)
	was := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(was)
	want := trajectory(rule, grads)
	for _, procs := range []int{1, 2, 3} {
		runtime.GOMAXPROCS(procs)
		if err := same(trajectory(rule, grads), want, fmt.Sprintf("GOMAXPROCS %d", procs)); err != nil {
			return err
		}
	}
	return nil
}

func concurrent(rule optimizer.Rule) error {
	const workers = 4
	var (
		wg   sync.WaitGroup
		errs [workers]error
		want [workers][][]float32
	)
	for w := range workers {
		want[w] = trajectory(rule, gradients(31+w, 20, uint64(w)))
	}
	for w := range workers {
		wg.Go(func() {
			got := trajectory(rule, gradients(31+w, 20, uint64(w)))
			errs[w] = same(got, want[w], "beside other goroutines")
		})
	}
	wg.Wait()
	return errors.Join(errs[:]...)
}

func allocations(rule optimizer.Rule) error {
	for _, n := range []int{1, 100, 1000} {
		grad, dst, theta := gradients(n, 1, 0)[0], make([]float32, n), ones(n)
		state := start(rule, n)
		updateAt(state, dst, grad, theta)
		if a := testing.AllocsPerRun(20, func() { updateAt(state, dst, grad, theta) }); a != 0 {
			return fmt.Errorf("n = %d: Update allocates %v times", n, a)
		}
	}
	return nil
}
