package adjoint_test

import (
	"context"
	"fmt"
	"log"
	"math/rand/v2"

	"gonum.org/v1/gonum/num/hyperdual"

	"learnedopt/lstm"
	"learnedopt/metatrain/adjoint"
	"learnedopt/tasks"
)

func ExampleSystem_Solve() {
	cfg := lstm.Config{Hidden: 3}
	net, err := lstm.Init{}.Random(cfg, rand.New(rand.NewPCG(1, 0)))
	if err != nil {
		log.Fatal(err)
	}
	system, err := adjoint.Assemble(adjoint.Problem{
		Network: cfg, Phi: widen(net.Params()), Theta0: []float64{1, -2}, Steps: 6,
		Loss: func(_ int, x []hyperdual.Number) hyperdual.Number { // x₀² + x₀x₁ + x₁²
			cross := hyperdual.Mul(hyperdual.Add(x[0], x[1]), x[1])
			return hyperdual.Add(hyperdual.Mul(x[0], x[0]), cross)
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(system.Unknowns(), "unknowns; dL/dφ of the read-out's bias:")
	for _, mask := range []adjoint.Mask{{}, {FirstOrder: true}, {Unroll: 2}, {FirstOrder: true, Unroll: 2}} {
		solution, err := system.Solve(mask)
		if err != nil {
			log.Fatal(err)
		}
		d := solution.Gradient
		fmt.Printf("%.4f %+v\n", d[len(d)-1], mask)
	}
	// Output:
	// 168 unknowns; dL/dφ of the read-out's bias:
	// -6.2239 {FirstOrder:false Unroll:0}
	// -6.1822 {FirstOrder:true Unroll:0}
	// -2.6612 {FirstOrder:false Unroll:2}
	// -2.6586 {FirstOrder:true Unroll:2}
}

func ExampleCheck() {
	net, err := lstm.Init{}.Random(lstm.Config{}, rand.New(rand.NewPCG(1, 0)))
	if err != nil {
		log.Fatal(err)
	}
	report, err := adjoint.Check(context.Background(), adjoint.CheckConfig{
		Family: tasks.QuadraticUniform{Batch: 4}, Network: net, Steps: 20, Unrolls: []int{1, 5},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, row := range report.Unrolls {
		fmt.Printf("unroll %2d: cosine %.2f\n", row.Unroll, float64(row.FirstOrder.Cosine))
	}
	// Output:
	// unroll  1: cosine 0.99
	// unroll  5: cosine 1.00
	// unroll 20: cosine 1.00
}
