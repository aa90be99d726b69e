package qp_test

import (
	"fmt"
	"log"

	"learnedopt/qp"
)

// The projection of a point on the simplex, and how its first coordinate depends on the point.
func Example() {
	p := qp.Problem{
		Q: []float64{1, 1, 1}, Linear: []float64{-0.5, -0.2, -0.1}, // ½‖z − x‖² without the constant
		A: []float64{1, 1, 1}, B: []float64{1}, // Σ z_j = 1
		G: []float64{-1, 0, 0, 0, -1, 0, 0, 0, -1}, H: []float64{0, 0, 0}, // z ≥ 0
	}
	var solver qp.InteriorPoint
	var s qp.Solution
	var d qp.Gradient
	if err := solver.Solve(&s, &p); err != nil {
		log.Fatal(err)
	}
	if err := solver.Gradient(&d, qp.Upstream{Z: []float64{1, 0, 0}}); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("z = %.3f, dz_1/dq = %.3f\n", s.Z, d.Linear)
	// Output: z = [0.567 0.267 0.167], dz_1/dq = [-0.667 0.333 0.333]
}

func ExampleInfeasibleError() {
	p := qp.Problem{Q: []float64{1}, Linear: []float64{0}, G: []float64{1, -1}, H: []float64{1, -2}} // z ≤ 1 and z ≥ 2
	var solver qp.InteriorPoint
	err := solver.Solve(&qp.Solution{}, &p)
	if e, ok := err.(*qp.InfeasibleError); ok {
		fmt.Printf("infeasible: %.3f times the rows says 0 ≤ −1\n", e.Lambda)
	}
	// Output: infeasible: [1.000 1.000] times the rows says 0 ≤ −1
}
