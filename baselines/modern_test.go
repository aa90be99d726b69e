package baselines

import (
	"encoding"
	"fmt"
	"math"
	"testing"

	"learnedopt/internal/stream"
	"learnedopt/optimizer"
	"learnedopt/optimizer/optimizertest"
)

// Rules with weight decay, a schedule of their own and other settings away from the defaults pass the suite, too.
func TestModernSettingsConform(t *testing.T) {
	for name, rule := range map[string]optimizer.Rule{
		"nadamw":        NAdamW{LearningRate: 0.1, WeightDecay: 0.1, WarmUp: 0.5, Steps: 10},
		"schedule-free": ScheduleFree{LearningRate: 0.1, WeightDecay: 0.1, Power: 0.75, Steps: 10},
		"prodigy":       Prodigy{WeightDecay: 0.1, Distance: 0.1},
	} {
		t.Run(name, func(t *testing.T) { optimizertest.ConformInOrder(t, rule) })
	}
	t.Run("soap", func(t *testing.T) {
		optimizertest.ConformTensors(t, SOAP{LearningRate: 0.1, WeightDecay: 0.1, Frequency: 2, MaxDim: 8, Steps: 10})
	})
	t.Run("muon", func(t *testing.T) {
		optimizertest.ConformTensors(t, Muon{LearningRate: 0.1, WeightDecay: 0.1, OutputLayer: true, Steps: 10})
	})
}

// The schedule by hand: four steps up, and half a cosine down to 0.
func TestWarmUpCosine(t *testing.T) {
	want := []float64{0.25, 0.5, 0.75, 1, 1, 0.75, 0.25, 0, 0}
	for step, w := range want {
		if got := warmUpCosine(step, 7, 4./7); math.Abs(got-w) > 1e-15 {
			t.Errorf("step %d: factor %v, want %v", step, got, w)
		}
		if got := warmUp(step, 7, 4./7); got != math.Min(1, float64(step+1)/4) {
			t.Errorf("step %d: factor %v of the warm-up alone", step, got)
		}
	}
	if got := warmUpCosine(0, 10, 0.05) + warmUpCosine(0, 100, 1e-9); got != 2 {
		t.Errorf("a warm-up of one step, or of none, starts with half of %v", got)
	}
}

// A rule takes the length of a run from the run, or from Steps; it panics if it knows neither.
func TestLengthOfTheRun(t *testing.T) {
	for _, c := range []struct{ of, steps optimizer.Rule }{
		{NAdamW{LearningRate: 1}, NAdamW{LearningRate: 1, Steps: 40}},
		{ScheduleFree{LearningRate: 1}, ScheduleFree{LearningRate: 1, Steps: 40}},
		{Muon{LearningRate: 1}, Muon{LearningRate: 1, Steps: 40}},
		{SOAP{LearningRate: 1}, SOAP{LearningRate: 1, Steps: 40}},
	} {
		if !c.of.Needs().Total || c.steps.Needs().Total {
			t.Errorf("%T needs the length: %v, and %v where it has its own", c.of, c.of.Needs().Total, c.steps.Needs().Total)
		}
		of, steps, other, got := c.of.Start(optimizer.Flat(2)), c.steps.Start(optimizer.Flat(2)), c.of.Start(optimizer.Flat(2)), [3][]float32{{0, 0}, {0, 0}, {0, 0}}
		for range 2 { // SOAP does not move at first
			of.Update(got[0], optimizer.Point{Grad: []float32{1, -2}, Total: 40})
			steps.Update(got[1], optimizer.Point{Grad: []float32{1, -2}, Total: 400})
			other.Update(got[2], optimizer.Point{Grad: []float32{1, -2}, Total: 400})
		}
		if fmt.Sprint(got[0]) != fmt.Sprint(got[1]) || fmt.Sprint(got[0]) == fmt.Sprint(got[2]) || got[0][0] == 0 {
			t.Errorf("%T: updates %v in a run of 40, %v with Steps = 40, %v in a run of 400", c.of, got[0], got[1], got[2])
		}
		func() {
			defer func() {
				if got := recover(); got != errTotal {
					t.Errorf("%T panics with %v where the length is unknown, want %q", c.of, got, errTotal)
				}
			}()
			of.Update(got[0], optimizer.Point{Grad: []float32{1, -2}})
		}()
	}
}

// Which tensors Muon moves by orthogonal matrices: those whose first update is not AdamW's, which is 0.2 of the learning
// rate in each coordinate. The last matrix with elements is AdamW's unless OutputLayer is set.
func TestMuonsTensors(t *testing.T) {
	layout, err := optimizer.NewLayout(
		optimizer.Tensor{Name: "b", Shape: []int{3}, Kind: optimizer.Bias},
		optimizer.Tensor{Name: "w", Shape: []int{4, 3}, Kind: optimizer.Matrix, OutputAxis: 1},
		optimizer.Tensor{Name: "kernel", Shape: []int{2, 3, 2}, Kind: optimizer.Convolution},
		optimizer.Tensor{Name: "v", Shape: []int{5}},
		optimizer.Tensor{Name: "head", Shape: []int{3, 2}, Kind: optimizer.Matrix, OutputAxis: 1},
		optimizer.Tensor{Name: "none", Shape: []int{0, 2}, Kind: optimizer.Matrix, OutputAxis: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		rule Muon
		want map[string]bool
	}{
		{Muon{LearningRate: 1, Steps: 10}, map[string]bool{"w": true, "kernel": true}},
		{Muon{LearningRate: 1, Steps: 10, OutputLayer: true}, map[string]bool{"w": true, "kernel": true, "head": true}},
	} {
		state, n := c.rule.Start(layout), layout.Len()
		grad, dst := make([]float32, n), make([]float32, n)
		rng := stream.New(1606, "baselines/muon", 0)
		for i := range grad {
			grad[i] = float32(rng.NormFloat64())
		}
		state.Update(dst, optimizer.Point{Grad: grad})
		for _, tensor := range layout.Tensors() {
			signs := tensor.Len() > 0
			for i := tensor.From; i < tensor.From+tensor.Len(); i++ {
				signs = signs && math.Abs(math.Abs(float64(dst[i]))-0.2) < 1e-6
			}
			if want := tensor.Len() > 0 && !c.want[tensor.Name]; signs != want {
				t.Errorf("%+v: AdamW moves %q: %v, want %v: %v", c.rule, tensor.Name, signs, want, dst[tensor.From:tensor.From+tensor.Len()])
			}
		}
	}
}

// The axis of outputs may lie anywhere: the same matrix, stored in another order, gets the same updates, bit for bit.
func TestMuonsAxes(t *testing.T) {
	for _, c := range []struct {
		kind   optimizer.Kind
		inputs []int
		output int
	}{
		{optimizer.Matrix, []int{7}, 3}, {optimizer.Matrix, []int{3}, 7},
		{optimizer.Convolution, []int{2, 3, 2}, 5}, {optimizer.Convolution, []int{2, 2}, 9},
	} {
		n := c.output
		for _, d := range c.inputs {
			n *= d
		}
		first := n / c.output // inputs
		var want []float32
		for axis := range len(c.inputs) + 1 {
			shape, after := make([]int, 0, len(c.inputs)+1), 1
			shape = append(append(append(shape, c.inputs[:axis]...), c.output), c.inputs[axis:]...)
			for _, d := range shape[axis+1:] {
				after *= d
			}
			layout, err := optimizer.NewLayout(optimizer.Tensor{Shape: shape, Kind: c.kind, OutputAxis: axis})
			if err != nil {
				t.Fatal(err)
			}
			// place is where the element of output o and input i lies.
			place := func(o, i int) int { return (i/after*c.output+o)*after + i%after }
			grad, dst, got := make([]float32, n), make([]float32, n), make([]float32, n)
			state := Muon{LearningRate: 1, Steps: 10, OutputLayer: true}.Start(layout)
			for step := range 3 {
				rng := stream.New(1606, "baselines/muon", uint64(step))
				for o := range c.output {
					for i := range first {
						grad[place(o, i)] = float32(rng.NormFloat64())
					}
				}
				state.Update(dst, optimizer.Point{Grad: grad})
			}
			for o := range c.output {
				for i := range first {
					got[o*first+i] = dst[place(o, i)]
				}
			}
			if want == nil {
				want = got
			}
			for i := range want {
				// Sums are rounded in another order where the shorter side comes last.
				if math.Abs(float64(got[i]-want[i])) > 1e-6 || got[i] == 0 {
					t.Fatalf("%v %v, outputs along axis %d: update %v of element %d, want %v", c.kind, shape, axis, got[i], i, want[i])
				}
			}
		}
	}
}

// Scalars of a state are saved: Prodigy's step size, found in 20 steps, goes on in another state.
func TestScalarsResume(t *testing.T) {
	rule := Prodigy{}
	state, theta, grad, dst := rule.Start(optimizer.Flat(2)), []float32{3, -1}, make([]float32, 2), make([]float32, 2)
	step := func(s optimizer.State) {
		copy(grad, theta)
		s.Update(dst, optimizer.Point{Grad: grad, Theta: theta})
	}
	for range 20 {
		step(state)
		for i, u := range dst {
			theta[i] += u
		}
	}
	found := state.(*prodigyState).scalars[0]
	if !(found > 1e-3) {
		t.Fatalf("Prodigy found the distance %v in 20 steps, and started at 1e-6", found)
	}
	data, err := state.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	again := rule.Start(optimizer.Flat(2))
	if err := again.(encoding.BinaryUnmarshaler).UnmarshalBinary(data); err != nil {
		t.Fatal(err)
	}
	step(state)
	want := fmt.Sprint(dst)
	step(again)
	if got := fmt.Sprint(dst); got != want {
		t.Errorf("resumed update %v, want %v", got, want)
	}
}

// SOAP takes a matrix for the same whichever axis its outputs have, and keeps P and Q orthogonal; a matrix whose sides are both above MaxDim is moved as a vector.
func TestSOAPsMatrices(t *testing.T) {
	const rows, cols = 6, 9
	n := rows * cols
	start := func(rule SOAP, tensor optimizer.Tensor) optimizer.State {
		layout, err := optimizer.NewLayout(tensor)
		if err != nil {
			t.Fatal(err)
		}
		return rule.Start(layout)
	}
	rule := SOAP{LearningRate: 1, Frequency: 2, Steps: 10}
	small := rule
	small.MaxDim = rows - 1
	a := start(rule, optimizer.Tensor{Shape: []int{rows, cols}, Kind: optimizer.Matrix, OutputAxis: 1})
	b := start(rule, optimizer.Tensor{Shape: []int{cols, rows}, Kind: optimizer.Matrix, OutputAxis: 1})
	c := start(small, optimizer.Tensor{Shape: []int{rows, cols}, Kind: optimizer.Matrix})
	d := small.Start(optimizer.Flat(n))
	grad, turned := make([]float32, n), make([]float32, n)
	got := [4][]float32{make([]float32, n), make([]float32, n), make([]float32, n), make([]float32, n)}
	rng := stream.New(1606, "baselines/soap", 0)
	for step := range 9 {
		for i := range grad {
			grad[i] = float32(rng.NormFloat64())
			turned[i%cols*rows+i/cols] = grad[i]
		}
		a.Update(got[0], optimizer.Point{Grad: grad})
		b.Update(got[1], optimizer.Point{Grad: turned})
		c.Update(got[2], optimizer.Point{Grad: grad})
		d.Update(got[3], optimizer.Point{Grad: grad})
		differs := 0.0
		for i, u := range got[0] {
			if diff := math.Abs(float64(u - got[1][i%cols*rows+i/cols])); !(diff < 1e-3) {
				t.Fatalf("step %d: update %v of element %d, and %v of the transposed matrix", step, u, i, got[1][i%cols*rows+i/cols])
			}
			differs = max(differs, math.Abs(float64(u-got[3][i])))
		}
		if fmt.Sprint(got[2]) != fmt.Sprint(got[3]) {
			t.Fatalf("step %d: a matrix above MaxDim has other updates than a vector", step)
		}
		if (differs > 0.01) != (step > 0) {
			t.Errorf("step %d: SOAP's updates differ from AdamW's by %v", step, differs)
		}
	}
	for _, sd := range []*side{a.(*soapState).matrices[0].left, a.(*soapState).matrices[0].right} {
		for i := range sd.basis.Rows {
			for j := range i + 1 {
				sum := 0.0
				for k := range sd.basis.Rows {
					sum += float64(sd.basis.Data[k*sd.basis.Cols+i]) * float64(sd.basis.Data[k*sd.basis.Cols+j])
				}
				if i == j {
					sum--
				}
				if !(math.Abs(sum) < 1e-5) {
					t.Errorf("columns %d and %d of a basis have the product %v too much", i, j, sum)
				}
			}
		}
	}
}
