package metaopt_test

import (
	"fmt"
	"log"

	"learnedopt/metaopt"
)

// A finished optimizer in one's own loop: here it fits a line through four points.
func Example() {
	opt, err := metaopt.Load("testdata/quadratic.mopt")
	if err != nil {
		log.Fatal(err)
	}
	theta, grad := make([]float32, 2), make([]float32, 2)
	run := opt.Start(len(theta))
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
	opt, err := metaopt.Pretrained("quadratic")
	if err != nil {
		log.Fatal(err)
	}
	theta, grad := make([]float32, 2), make([]float32, 2)
	run := opt.Start(len(theta))
	for range 100 {
		lineGradient(grad, theta)
		if err := run.Step(theta, grad); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Printf("%s: y = %.1f x + %.1f\n", opt.Name(), theta[0], theta[1])
	// Output: quadratic: y = 0.8 x + 0.3
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
