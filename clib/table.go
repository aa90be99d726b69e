package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"learnedopt/checkpoints/exchange"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
)

// handles is what the numbers that C has stand for. It is the library's only variable.
var handles = table{values: map[uint64]any{}}

// A table holds rules (*metaopt.Optimizer) and runs (*run) by handle. Handles are never used again.
type table struct {
	mu     sync.RWMutex
	last   uint64
	values map[uint64]any
}

func (t *table) add(value any) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	t.values[t.last] = value
	return t.last
}

func (t *table) remove(handle uint64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.values[handle]; !ok {
		return invalidf("there is no rule or run with the handle %d; it was released, or never given out", handle)
	}
	delete(t.values, handle)
	return nil
}

// of returns the rule or the run with a handle. what is "rule" or "run".
func of[T any](t *table, handle uint64, what string) (value T, err error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	entry, ok := t.values[handle]
	if !ok {
		return value, invalidf("there is no %s with the handle %d; it was released, or never given out", what, handle)
	}
	if value, ok = entry.(T); !ok {
		return value, invalidf("the handle %d is not of a %s", handle, what)
	}
	return value, nil
}

// An invalid is an error of the caller's program.
type invalid string

func (e invalid) Error() string { return "metaopt: " + string(e) }

func invalidf(format string, args ...any) error { return invalid(fmt.Sprintf(format, args...)) }

// A run is a metaopt.Run with the lengths of its tensors.
type run struct {
	*metaopt.Run
	mu      sync.Mutex
	lengths []int

	// For updates of several slices, in one piece.
	update, grad, theta []float32
}

// use calls f with a run that no other thread uses.
func use(handle uint64, f func(*run) error) error {
	r, err := of[*run](&handles, handle, "run")
	if err != nil {
		return err
	}
	if !r.mu.TryLock() {
		return invalidf("the run %d is in use by another thread", handle)
	}
	defer r.mu.Unlock()
	return f(r)
}

// start returns a run of a rule on a layout.
func start(rule *metaopt.Optimizer, layout optimizer.Layout) *run {
	r := &run{Run: rule.Start(layout)}
	for _, t := range layout.Tensors() {
		r.lengths = append(r.lengths, t.Len())
	}
	return r
}

// joined returns slices as one: the only one, or a copy in buf.
func joined(buf *[]float32, slices [][]float32) []float32 {
	if len(slices) == 1 {
		return slices[0]
	}
	*buf = (*buf)[:0]
	for _, x := range slices {
		*buf = append(*buf, x...)
	}
	return *buf
}

// updateInto writes the update into dst. theta is nil if the rule does not read parameters.
func (r *run) updateInto(dst, theta, grad [][]float32) error {
	p := optimizer.Point{Grad: joined(&r.grad, grad)}
	if theta != nil {
		p.Theta = joined(&r.theta, theta)
	}
	if len(dst) == 1 {
		_, err := r.Update(dst[0], p)
		return err
	}
	if r.update == nil {
		r.update = make([]float32, r.Len())
	}
	if _, err := r.Update(r.update, p); err != nil {
		return err
	}
	u := r.update
	for _, x := range dst {
		u = u[copy(x, u):]
	}
	return nil
}

// read reads a rule from the content of a .mopt file or of an exported one.
func read(data []byte) (*metaopt.Optimizer, error) {
	if _, ok := exchange.Detect(data[:min(len(data), exchange.Peek)]); !ok {
		return metaopt.Read(bytes.NewReader(data))
	}
	f, _, err := exchange.Read(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return metaopt.FromFile(f)
}

// load reads a rule from a file.
func load(path string) (*metaopt.Optimizer, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 1<<31)) // readers bound files further
	if err != nil {
		return nil, err
	}
	o, err := read(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return o, nil
}

// The results of metaopt.h.
const (
	ok = iota
	isInvalid
	failed
	diverged
)

// result returns the result of a function with this error.
func result(err error) int {
	var d *optimizer.DivergedError
	var i invalid
	switch {
	case err == nil:
		return ok
	case errors.As(err, &i):
		return isInvalid
	case errors.As(err, &d):
		return diverged
	}
	return failed
}

// guarded calls f and returns a panic as an error: a program in another language cannot recover from one.
func guarded(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = invalidf("%v", p)
		}
	}()
	return f()
}
