package metaopt_test

import (
	"fmt"
	"log"

	"learnedopt/metaopt"
	"learnedopt/optimizer"
)

// A finished optimizer in your own loop: here it fits a line to four points.
func Example() {
	opt, err := metaopt.Load("testdata/quadratic.mopt")
	if err != nil {
		log.Fatal(err)
	}
	theta, grad := make([]float32, 2), make([]float32, 2)
	run := opt.Start(optimizer.Flat(len(theta)))
	for range 100 {
		lineGradient(grad, theta)
		if err := run.Step(theta, grad); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Printf("y = %.1f x + %.1f\n", theta[0], theta[1])
	// Output: y = 0.8 x + 0.3
}

// An optimizer that comes with the library, without a file.
func ExamplePretrained() {
	opt, err := metaopt.Pretrained("general")
	if err != nil {
		log.Fatal(err)
	}
	theta, grad := make([]float32, 2), make([]float32, 2)
	run := opt.Start(optimizer.Flat(len(theta)))
	for range 100 {
		lineGradient(grad, theta)
		if err := run.Step(theta, grad); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Printf("%s: y = %.1f x + %.1f\n", opt.Name(), theta[0], theta[1])
	// Output: general: y = 0.8 x + 0.3
}

// The optimizer for networks of your own wants to know which tensors there are, and if you know it, how long the run will be.
func ExampleRun_SetTotal() {
	opt, err := metaopt.Pretrained("general")
	if err != nil {
		log.Fatal(err)
	}
	layout, err := optimizer.NewLayout(
		optimizer.Tensor{Name: "slope", Shape: []int{1, 1}, Kind: optimizer.Matrix, OutputAxis: 1},
		optimizer.Tensor{Name: "intercept", Shape: []int{1}, Kind: optimizer.Bias},
	)
	if err != nil {
		log.Fatal(err)
	}
	theta, grad := make([]float32, layout.Len()), make([]float32, layout.Len())
	run := opt.Start(layout)
	run.SetTotal(400)
	for range 400 {
		lineGradient(grad, theta)
		if err := run.Step(theta, grad); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Printf("y = %.1f x + %.1f\n", theta[0], theta[1])
	// Output: y = 0.8 x + 0.3
}

// Parameters in several float64 slices, under a guard, saved halfway and resumed.
func ExampleRun() {
	opt, err := metaopt.Pretrained("quadratic")
	if err != nil {
		log.Fatal(err)
	}
	opt, err = opt.WithGuard(metaopt.Guard{})
	if err != nil {
		log.Fatal(err)
	}
	weight, bias := []float64{0}, []float64{0}
	gradW, gradB := make([]float64, 1), make([]float64, 1)
	steps := func(run *metaopt.Run) {
		for range 50 {
			run.SetLoss(lineLoss(weight, bias, gradW, gradB))
			if err := run.StepGroups64([][]float64{weight, bias}, [][]float64{gradW, gradB}); err != nil {
				log.Fatal(err)
			}
		}
	}
	run := opt.Start(optimizer.Flat(2))
	steps(run)
	data, err := run.MarshalBinary() // keep it together with the parameters
	if err != nil {
		log.Fatal(err)
	}
	resumed := opt.Start(optimizer.Flat(2))
	if err := resumed.UnmarshalBinary(data); err != nil {
		log.Fatal(err)
	}
	steps(resumed)
	fmt.Printf("y = %.1f x + %.1f after %d steps\n", weight[0], bias[0], resumed.Steps())
	// Output: y = 0.8 x + 0.3 after 100 steps
}

// A run that goes beyond its optimizer's horizon.
func ExampleRun_OnHorizon() {
	opt, err := metaopt.Pretrained("quadratic")
	if err != nil {
		log.Fatal(err)
	}
	theta, grad := make([]float32, 2), make([]float32, 2)
	run := opt.Start(optimizer.Flat(len(theta)))
	run.OnHorizon(opt.Horizon(), func(steps int) { fmt.Println("trained for", opt.Horizon(), "steps, now at", steps) })
	for range 200 {
		lineGradient(grad, theta)
		if err := run.Step(theta, grad); err != nil {
			log.Fatal(err)
		}
	}
	// Output: trained for 100 steps, now at 101
}

// lineLoss is Σ (a·x + b - y)²/4 and its gradient.
func lineLoss(a, b, gradA, gradB []float64) (loss float64) {
	gradA[0], gradB[0] = 0, 0
	for x, y := range []float64{0.3, 1.1, 1.9, 2.7} {
		d := a[0]*float64(x) + b[0] - y
		loss += d * d / 4
		gradA[0] += d * float64(x) / 2
		gradB[0] += d / 2
	}
	return loss
}

// lineGradient is the gradient of Σ (a·x + b - y)²/4.
func lineGradient(grad, theta []float32) {
	clear(grad)
	for x, y := range []float32{0.3, 1.1, 1.9, 2.7} {
		d := theta[0]*float32(x) + theta[1] - y
		grad[0] += d * float32(x) / 2
		grad[1] += d / 2
	}
}
