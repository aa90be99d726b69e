package tutorial

import (
	"context"
	"fmt"
	"math/rand/v2"

	"learnedopt/baselines"
	"learnedopt/optimizer"
)

// Sign moves every coordinate by the same length, against the sign of its gradient.
type Sign struct{ Length float32 }

func (Sign) Needs() optimizer.Needs { return optimizer.Needs{} } // gradients alone

func (r Sign) Start(layout optimizer.Layout) optimizer.State {
	n := layout.Len()
	if n < 1 {
		panic("tutorial: a run of no coordinates")
	}
	return &signState{n: n, length: r.Length}
}

// signState is the state of one run. This rule only remembers the run's size and its own setting.
type signState struct {
	n      int
	length float32
}

func (s *signState) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	if len(dst) != s.n || len(p.Grad) != s.n {
		panic("tutorial: not the run's length")
	}
	for i, g := range p.Grad {
		switch {
		case g > 0:
			dst[i] = -s.length
		case g < 0:
			dst[i] = s.length
		default:
			dst[i] = 0
		}
	}
	return 0, nil
}

func ExampleSign() {
	p, err := Logistics{}.Sample(rand.New(rand.NewPCG(1, 2)))
	if err != nil {
		panic(err)
	}
	for _, rule := range []optimizer.Rule{Sign{Length: 0.1}, baselines.Adam{LearningRate: 0.1}} {
		out, err := optimizer.Run(context.Background(), rule, p, 100)
		if err != nil {
			panic(err)
		}
		fmt.Printf("%T: from %.2f to %.2f\n", rule, out.Losses[0], out.Losses[100])
	}
	// Output:
	// tutorial.Sign: from 0.69 to 0.16
	// baselines.Adam: from 0.69 to 0.15
}
