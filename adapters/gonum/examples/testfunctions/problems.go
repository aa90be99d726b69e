package main

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/optimize"
	"gonum.org/v1/gonum/optimize/functions"
)

// A function is the interface of gonum's test functions.
type function interface {
	Func(x []float64) float64
	Grad(grad, x []float64)
	Minima() []functions.Minimum
}

// A problem is a test function from its standard starting point.
type problem struct {
	name     string
	function function
	start    []float64
}

func (p problem) optimize() optimize.Problem {
	return optimize.Problem{Func: p.function.Func, Grad: p.function.Grad}
}

// least returns the smallest value that gonum knows for the start's number of dimensions.
func (p problem) least() float64 {
	least := math.Inf(1)
	for _, m := range p.function.Minima() {
		if len(m.X) == len(p.start) {
			least = min(least, m.F)
		}
	}
	return least
}

// problems are all functions of gonum.org/v1/gonum/optimize/functions with a gradient, a minimum and a standard starting
// point, in dimensions of gonum's own tests for which it knows the minimum.
var problems = []problem{
	{"Beale", functions.Beale{}, []float64{1, 1}},
	{"BiggsEXP2", functions.BiggsEXP2{}, []float64{1, 2}},
	{"BiggsEXP3", functions.BiggsEXP3{}, []float64{1, 2, 1}},
	{"BiggsEXP4", functions.BiggsEXP4{}, []float64{1, 2, 1, 1}},
	{"BiggsEXP5", functions.BiggsEXP5{}, []float64{1, 2, 1, 1, 1}},
	{"BiggsEXP6", functions.BiggsEXP6{}, []float64{1, 2, 1, 1, 1, 1}},
	{"Box3D", functions.Box3D{}, []float64{0, 10, 20}},
	{"BrownAndDennis", functions.BrownAndDennis{}, []float64{25, 5, -5, -1}},
	{"BrownBadlyScaled", functions.BrownBadlyScaled{}, []float64{1, 1}},
	{"Gaussian", functions.Gaussian{}, []float64{0.4, 1, 0}},
	{"GulfResearch", functions.GulfResearchAndDevelopment{}, []float64{5, 2.5, 0.15}},
	{"HelicalValley", functions.HelicalValley{}, []float64{-1, 0, 0}},
	{"PenaltyI", functions.PenaltyI{}, ramp(10, func(i int) float64 { return float64(i + 1) })},
	{"PenaltyII", functions.PenaltyII{}, slices.Repeat([]float64{0.5}, 10)},
	{"Powell, 8 dims", functions.ExtendedPowellSingular{}, slices.Repeat([]float64{3, -1, 0, 3}, 2)},
	{"PowellBadlyScaled", functions.PowellBadlyScaled{}, []float64{0, 1}},
	{"Rosenbrock, 2 dims", functions.ExtendedRosenbrock{}, []float64{-1.2, 1}},
	{"Rosenbrock, 4 dims", functions.ExtendedRosenbrock{}, []float64{-1.2, 1, -1.2, 1}},
	{"Trigonometric", functions.Trigonometric{}, slices.Repeat([]float64{0.1}, 10)},
	{"VariablyDimensioned", functions.VariablyDimensioned{}, ramp(10, func(i int) float64 { return float64(9-i) / 10 })},
	{"Watson, 6 dims", functions.Watson{}, make([]float64, 6)},
	{"Wood", functions.Wood{}, []float64{-3, -1, -3, -1}},
}

func ramp(n int, f func(i int) float64) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = f(i)
	}
	return x
}
