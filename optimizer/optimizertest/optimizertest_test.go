package optimizertest

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"testing"

	"learnedopt/optimizer"
)

// A ruleFunc is a rule given by its Start function.
type ruleFunc func(n int) optimizer.State

func (ruleFunc) Needs() optimizer.Needs { return optimizer.Needs{} }
func (f ruleFunc) Start(layout optimizer.Layout) optimizer.State {
	n := layout.Len()
	if n <= 0 {
		panic("optimizertest: n")
	}
	return f(n)
}

// A stateFunc is a state of n coordinates given by its Update function.
type stateFunc struct {
	n      int
	update func(dst, grad []float32)
}

func (s stateFunc) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	if len(dst) != s.n || len(p.Grad) != s.n {
		panic("optimizertest: length")
	}
	s.update(dst, p.Grad)
	return 0, nil
}

// memoryless is a rule of one function of the gradients.
func memoryless(update func(dst, grad []float32)) optimizer.Rule {
	return ruleFunc(func(n int) optimizer.State { return stateFunc{n, update} })
}

// each is a rule of one function of a coordinate's index and gradient.
func each(f func(i int, g float32) float32) optimizer.Rule {
	return memoryless(func(dst, grad []float32) {
		for i, g := range grad {
			dst[i] = f(i, g)
		}
	})
}

// A counting state is −0.1 g·k at its k-th step, with faults to choose from.
type counting struct {
	n, k             int
	forgets, lenient bool
}

func (s *counting) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	if len(dst) != s.n || len(p.Grad) != s.n {
		panic("optimizertest: length")
	}
	s.k++
	for i, g := range p.Grad {
		dst[i] = -0.1 * g * float32(s.k)
	}
	return 0, nil
}

func (s *counting) MarshalBinary() ([]byte, error) {
	k := s.k
	if s.forgets {
		k = 0
	}
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, uint32(s.n)), uint32(k)), nil
}

func (s *counting) UnmarshalBinary(data []byte) error {
	if len(data) < 8 || !s.lenient && len(data) != 8 || binary.LittleEndian.Uint32(data) != uint32(s.n) {
		return errors.New("bad data")
	}
	s.k = int(binary.LittleEndian.Uint32(data[4:]))
	return nil
}

// halfSaver can be saved and not restored.
type halfSaver struct{ stateFunc }

func (halfSaver) MarshalBinary() ([]byte, error) { return nil, nil }

func descent(_ int, g float32) float32 { return -0.1 * g }

// The suite passes sound rules.
func TestConform(t *testing.T) {
	t.Run("descent", func(t *testing.T) { Conform(t, each(descent)); Descends(t, each(descent)) })
	t.Run("counting", func(t *testing.T) {
		Conform(t, ruleFunc(func(n int) optimizer.State { return &counting{n: n} }))
	})
}

// ConformTensors passes a rule that reads the layout, and its checks find faults that show only on some tensors.
func TestConformTensors(t *testing.T) {
	ConformTensors(t, tensorwise{})
	nan := float32(math.NaN())
	for _, kind := range []optimizer.Kind{optimizer.Vector, optimizer.Bias, optimizer.Matrix, optimizer.Convolution} {
		if err := finite(onTensors{spoiled{kind, nan}}); err == nil {
			t.Errorf("a rule that is NaN on every %v: the check found no fault", kind)
		}
		if err := finite(spoiled{kind, nan}); (err == nil) != (kind != optimizer.Vector) {
			t.Errorf("a rule that is NaN on every %v, on one vector: %v", kind, err)
		}
	}
	for _, c := range without("permutation", "layout") {
		if c.name == "permutation" || c.name == "layout" {
			t.Errorf("the check %s is not left out", c.name)
		}
	}
	if n := len(without("permutation", "layout")); n != len(checks)-2 {
		t.Errorf("%d of %d checks", n, len(checks))
	}
}

// spoiled has one value as its update on all tensors of a kind, and is 0 on others.
type spoiled struct {
	kind  optimizer.Kind
	value float32
}

func (spoiled) Needs() optimizer.Needs { return optimizer.Needs{} }

func (r spoiled) Start(layout optimizer.Layout) optimizer.State {
	return stateFunc{layout.Len(), func(dst, _ []float32) {
		clear(dst)
		for _, t := range layout.Tensors() {
			for i := t.From; t.Kind == r.kind && i < t.From+t.Len(); i++ {
				dst[i] = r.value
			}
		}
	}}
}

// Every check fails on a rule with the fault that it looks for.
func TestChecksFindFaults(t *testing.T) {
	var (
		mu     sync.Mutex
		shared float32
		sink   []float32
	)
	crossTalk := each(func(_ int, g float32) float32 {
		mu.Lock()
		defer mu.Unlock()
		shared = 0.9*shared + g
		return -shared
	})
	for _, c := range []struct {
		check, fault string
		rule         optimizer.Rule
	}{
		{"finite", "logarithm of zero", each(func(_ int, g float32) float32 { return float32(math.Log(math.Abs(float64(g)))) })},
		{"finite", "overflow", each(func(_ int, g float32) float32 { return -g * g * g })},
		{"finite", "underflow", each(func(_ int, g float32) float32 {
			if g == 0 {
				return 0
			}
			return -g / (g * g)
		})},
		{"alias", "adds to dst", memoryless(func(dst, grad []float32) {
			for i, g := range grad {
				dst[i] -= g
			}
		})},
		{"alias", "reads grad after writing dst", memoryless(func(dst, grad []float32) {
			for i := range dst {
				dst[i] = 0
			}
			for i, g := range grad {
				dst[i] = -g
			}
		})},
		{"alias", "changes grad", memoryless(func(dst, grad []float32) {
			for i, g := range grad {
				dst[i], grad[i] = -g, 0
			}
		})},
		{"lengths", "no look at dst", ruleFunc(func(n int) optimizer.State { return unchecked{} })},
		{"lengths", "no look at n", startsAnything{}},
		{"lengths", "changed before the panic", ruleFunc(func(n int) optimizer.State { return &hasty{counting{n: n}} })},
		{"independent", "memory in the rule", crossTalk},
		{"concurrent", "memory in the rule", crossTalk},
		{"deterministic", "memory in the rule", crossTalk},
		{"permutation", "a tail of its own", memoryless(func(dst, grad []float32) {
			for i, g := range grad {
				dst[i] = -0.1 * g
				if i >= len(grad)/8*8 {
					dst[i] = -(g / 10)
				}
			}
		})},
		{"permutation", "block edge", each(func(i int, g float32) float32 { return -g * float32(1+i/32) })},
		{"layout", "normalises tensors", tensorwise{}},
		{"deterministic", "random", each(func(int, float32) float32 { return rand.Float32() })},
		{"allocations", "scratch", memoryless(func(dst, grad []float32) {
			sink = make([]float32, len(grad))
			copy(dst, sink)
		})},
		{"resume", "forgets", ruleFunc(func(n int) optimizer.State { return &counting{n: n, forgets: true} })},
		{"resume", "lenient", ruleFunc(func(n int) optimizer.State { return &counting{n: n, lenient: true} })},
		{"resume", "half", ruleFunc(func(n int) optimizer.State { return halfSaver{} })},
		{"descends", "ascends", each(func(_ int, g float32) float32 { return 0.1 * g })},
		{"descends", "stays", each(func(int, float32) float32 { return 0 })},
	} {
		t.Run(c.check+"/"+c.fault, func(t *testing.T) {
			for _, known := range append(checks, check{"descends", descends}) {
				if known.name == c.check {
					if err := known.run(c.rule); err == nil {
						t.Error("the check found no fault")
					}
					return
				}
			}
			t.Error("no such check")
		})
	}
}

// unchecked checks no lengths.
type unchecked struct{}

func (unchecked) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	for i := range min(len(dst), len(p.Grad)) {
		dst[i] = -p.Grad[i]
	}
	return 0, nil
}

// startsAnything accepts a layout without coordinates.
type startsAnything struct{}

func (startsAnything) Needs() optimizer.Needs { return optimizer.Needs{} }
func (startsAnything) Start(layout optimizer.Layout) optimizer.State {
	return &counting{n: layout.Len()}
}

// hasty counts the step before it checks the lengths.
type hasty struct{ counting }

func (s *hasty) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	s.k++
	move, err := s.counting.Update(dst, p)
	s.k--
	return move, err
}

// tensorwise divides each tensor's gradient by its length.
type tensorwise struct{}

func (tensorwise) Needs() optimizer.Needs { return optimizer.Needs{} }

func (tensorwise) Start(layout optimizer.Layout) optimizer.State {
	if layout.Len() == 0 {
		panic("optimizertest: n")
	}
	return stateFunc{layout.Len(), func(dst, grad []float32) {
		for _, t := range layout.Tensors() {
			for i := t.From; i < t.From+t.Len(); i++ {
				dst[i] = -grad[i] / float32(t.Len())
			}
		}
	}}
}
