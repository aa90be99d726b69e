// Package l2l reads .l2l files. DeepMind's learning-to-learn code and its descendants
// published learned optimizers in such files. They are pickles, made by
// dill, of a dict from module names to dicts from variable names to float32
// arrays.
//
// A pickle is a program. This package does not run it: it recognizes the few instructions
// and names that these files hold, and everything
// else is an error.
package l2l

import (
	"fmt"
	"io"
	"os"

	"learnedopt/checkpoints"
)

// maxFile bounds the size of a file, in bytes. The published files have 30 thousand bytes.
const maxFile = 16 << 20

// maxSteps bounds the number of instructions in a file, and with it the number of values, each of which
// takes only a few bytes. The published files have 300 instructions.
const maxSteps = 1 << 16

// maxRank bounds an array's number of dimensions.
const maxRank = 8

// An Array is a float32 array in C order (the last index runs fastest).
type Array struct {
	Shape []int
	Data  []float32 // finite; its length is the product of Shape
}

// Read reads a file from r, which must end where the file ends. It returns the arrays by
// module and variable, as m["lstm_1"]["w_gates"]. Malformed content, and content
// that these files do not need, is a *checkpoints.FormatError; errors of r
// are passed on. Memory is bounded by a multiple of the bytes that r delivers.
//
// Read does not interpret names and shapes. In the published files they follow
// Sonnet: y = [x, h]·W + b with the gates in the order i, j, f, o, where 1 must be
// added to f.
func Read(r io.Reader) (map[string]map[string]Array, error) {
	m, err := read(r)
	if err != nil {
		return nil, fmt.Errorf("l2l: read: %w", err)
	}
	return m, nil
}

// Load reads the file at path. See Read.
func Load(path string) (map[string]map[string]Array, error) {
	r, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("l2l: load: %w", err)
	}
	defer r.Close()
	m, err := read(r)
	if err != nil {
		return nil, fmt.Errorf("l2l: load %s: %w", path, err)
	}
	return m, nil
}

func read(r io.Reader) (map[string]map[string]Array, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, &checkpoints.FormatError{Offset: maxFile, Reason: fmt.Sprintf("more than %d bytes", maxFile)}
	}
	m := &machine{data: data, memo: make(map[uint32]value)}
	top, err := m.run()
	if err != nil {
		return nil, err
	}
	return m.modules(top)
}

// modules turns the pickle's value into arrays by module and variable.
func (m *machine) modules(top value) (map[string]map[string]Array, error) {
	outer, ok := top.(*dict)
	if !ok {
		return nil, m.failf("the pickle is %s, want a dict of modules", describe(top))
	}
	modules := make(map[string]map[string]Array)
	for name, v := range outer.items {
		inner, ok := v.(*dict)
		if !ok {
			return nil, m.failf("module %q is %s, want a dict of arrays", name, describe(v))
		}
		// Without this, a short file could name one large value many times.
		if inner.used {
			return nil, m.failf("module %q is shared with another", name)
		}
		inner.used = true
		variables := make(map[string]Array)
		for key, v := range inner.items {
			a, ok := v.(*array)
			switch {
			case !ok:
				return nil, m.failf("%s.%s is %s, want an array", name, key, describe(v))
			case !a.built:
				return nil, m.failf("%s.%s is an array without content", name, key)
			case a.used:
				return nil, m.failf("%s.%s is shared with another", name, key)
			}
			a.used = true
			variables[key] = a.Array
		}
		modules[name] = variables
	}
	return modules, nil
}
