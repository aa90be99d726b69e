package tutorial

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"learnedopt/metaopt"
	"learnedopt/optimizer"
	"learnedopt/rules"
)

func ExampleRun() {
	opt, err := trained()
	if err != nil {
		panic(err)
	}
	var file bytes.Buffer // a file as a rule: metaopt.Save, metaopt.Load
	if err := metaopt.Write(&file, opt); err != nil {
		panic(err)
	}
	loaded, err := metaopt.Read(&file)
	if err != nil {
		panic(err)
	}

	m := newModel(5)
	layout := optimizer.Slices([][]float32{m.weights, m.bias})
	rule := rules.WeightDecay{Rule: rules.ClipNorm{Rule: loaded.Rule(), Max: 10}, Decay: 1e-4}
	run, err := metaopt.StartRule(rule, layout, optimizer.Needs{Theta: true})
	if err != nil {
		panic(err)
	}
	fmt.Printf("loss before: %.2f\n", m.loss())
	if err := m.steps(run, 60); err != nil {
		panic(err)
	}
	fmt.Println("after 60 steps below 0.3:", m.loss() < 0.3)

	saved, err := run.MarshalBinary() // keep it beside the model's own checkpoint
	if err != nil {
		panic(err)
	}
	m2 := m.clone()
	resumed, err := metaopt.StartRule(rule, layout, optimizer.Needs{Theta: true})
	if err != nil {
		panic(err)
	}
	if err := resumed.UnmarshalBinary(saved); err != nil {
		panic(err)
	}
	if err := errors.Join(m.steps(run, 40), m2.steps(resumed, 40)); err != nil {
		panic(err)
	}
	fmt.Println("the same weights, bit for bit:", slices.Equal(m.weights, m2.weights))
	// Output:
	// loss before: 0.69
	// after 60 steps below 0.3: true
	// the same weights, bit for bit: true
}

// A model stands for a program that knows nothing of this library: it has weights and gradients.
type model struct {
	problem                        *Logistic
	weights, bias, dWeights, dBias []float32
}

func newModel(seed uint64) *model {
	p, err := Logistics{}.Sample(rand.New(rand.NewPCG(seed, 0)))
	if err != nil {
		panic(err)
	}
	return &model{
		problem: p.(*Logistic), weights: make([]float32, features), bias: make([]float32, 1),
		dWeights: make([]float32, features), dBias: make([]float32, 1),
	}
}

// steps takes n steps: weights and bias are two groups of one run.
func (m *model) steps(run *metaopt.Run, n int) error {
	for range n {
		m.gradient()
		if err := run.StepGroups([][]float32{m.weights, m.bias}, [][]float32{m.dWeights, m.dBias}); err != nil {
			return err
		}
	}
	return nil
}

func (m *model) gradient() float64 {
	theta, grad := append(slices.Clone(m.weights), m.bias...), make([]float32, features+1)
	loss, err := m.problem.LossGrad(theta, grad)
	if err != nil {
		panic(err)
	}
	copy(m.dWeights, grad)
	copy(m.dBias, grad[features:])
	return loss
}

// loss returns the mean loss over the next twenty minibatches; it does not change the model.
func (m *model) loss() float64 {
	at, sum := m.problem.step, 0.0
	for range 20 {
		sum += m.gradient() / 20
	}
	m.problem.Seek(at)
	return sum
}

func (m *model) clone() *model {
	problem := *m.problem
	return &model{
		problem: &problem, weights: slices.Clone(m.weights), bias: slices.Clone(m.bias),
		dWeights: make([]float32, features), dBias: make([]float32, 1),
	}
}
