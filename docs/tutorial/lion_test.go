package tutorial

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"testing"

	"learnedopt/baselines"
	"learnedopt/compare"
	"learnedopt/optimizer"
	"learnedopt/optimizer/optimizertest"
)

// Lion is the rule that Chen et al. 2023 (arXiv:2302.06675) found by search:
//
//	u ← −η sign(β₁m + (1−β₁)g),   m ← β₂m + (1−β₂)g,   β₁ = 0.9, β₂ = 0.99
type Lion struct{ LearningRate float64 }

func (Lion) Needs() optimizer.Needs { return optimizer.Needs{} } // gradients alone

func (l Lion) Start(layout optimizer.Layout) optimizer.State {
	n := layout.Len()
	if n < 1 {
		panic("tutorial: a run of no coordinates")
	}
	return &lion{rate: float32(l.LearningRate), m: make([]float32, n)}
}

// lion is the state of one run: all that moves.
type lion struct {
	rate float32
	m    []float32
}

func (s *lion) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	if len(dst) != len(s.m) || len(p.Grad) != len(s.m) {
		panic("tutorial: not the run's length")
	}
	for i, g := range p.Grad { // dst may be p.Grad: read before writing
		direction := 0.9*s.m[i] + 0.1*g
		s.m[i] = 0.99*s.m[i] + 0.01*g
		switch {
		case direction > 0:
			dst[i] = -s.rate
		case direction < 0:
			dst[i] = s.rate
		default:
			dst[i] = 0
		}
	}
	return 0, nil
}

func (s *lion) MarshalBinary() ([]byte, error) {
	data := make([]byte, 0, 4*len(s.m))
	for _, m := range s.m {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(m))
	}
	return data, nil
}

func (s *lion) UnmarshalBinary(data []byte) error {
	if len(data) != 4*len(s.m) {
		return errors.New("tutorial: the state of another run")
	}
	m := make([]float32, len(s.m))
	for i := range m {
		m[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	if i := optimizer.NonFinite(m); i >= 0 {
		return fmt.Errorf("tutorial: a damaged state: coordinate %d is %v", i, m[i])
	}
	copy(s.m, m)
	return nil
}

func TestLion(t *testing.T) { optimizertest.Conform(t, Lion{LearningRate: 0.1}) }

func ExampleLion() {
	cfg := baselines.TuneConfig{Family: Logistics{}, Steps: 100, Runs: 50}
	cfg.New = func(name string, rate float64) (optimizer.Rule, error) {
		if name == "lion" {
			return Lion{LearningRate: rate}, nil
		}
		return baselines.New(name, rate)
	}
	tuned, err := baselines.TuneAll(context.Background(), []string{"lion", "sgd", "adam"}, cfg)
	if err != nil {
		panic(err)
	}
	var contenders []compare.Contender
	for _, t := range tuned {
		contenders = append(contenders, compare.Contender{Name: t.Name, Kind: compare.Baseline, Rule: t.Rule, LearningRate: t.LearningRate})
	}
	c, err := compare.Evaluate(context.Background(), compare.EvalConfig{
		Family: Logistics{}, Contenders: contenders, Steps: 100, Runs: 200,
	})
	if err != nil {
		panic(err)
	}
	for _, r := range c.Rules {
		fmt.Printf("%s at %.2g: mean loss %.2f\n", r.Name, *r.LearningRate, r.MeanLoss)
	}
	// Output:
	// lion at 0.1: mean loss 0.34
	// sgd at 0.056: mean loss 0.51
	// adam at 0.32: mean loss 0.30
}
