package rules_test

import (
	"fmt"
	"log"

	"learnedopt/baselines"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
	"learnedopt/rules"
)

// A learned rule with clipping and a schedule, in your own loop: f(θ) = ½|θ − 3|².
func Example() {
	opt, err := metaopt.Pretrained("quadratic")
	if err != nil {
		log.Fatal(err)
	}
	rule := rules.Scaled{
		Rule: rules.ClipNorm{Rule: opt.Rule(), Max: 5},
		By:   rules.WarmUp{Steps: 5, Then: rules.Cosine{Steps: 195}},
	}
	theta, grad := []float32{0, 1}, make([]float32, 2)
	run, err := metaopt.StartRule(rule, optimizer.Flat(len(theta)), optimizer.Needs{Theta: true})
	if err != nil {
		log.Fatal(err)
	}
	for range 200 {
		for i, x := range theta {
			grad[i] = x - 3
		}
		if err := run.Step(theta, grad); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Printf("%.1f\n", theta)
	// Output: [3.0 3.0]
}

// A learned rule with steps of three tenths of their size, where they are too large.
func ExampleScaled() {
	opt, err := metaopt.Pretrained("mlp")
	if err != nil {
		log.Fatal(err)
	}
	theta, other, grad := []float32{0, 0}, []float32{0, 0}, []float32{1, -2}
	rule := rules.Scaled{Rule: opt.Rule(), By: rules.Constant(0.3)} // or rules.WarmUp{Steps: 100}
	run, err := metaopt.StartRule(rule, optimizer.Flat(len(theta)), optimizer.Needs{Theta: true})
	if err != nil {
		log.Fatal(err)
	}
	if err := run.Step(theta, grad); err != nil {
		log.Fatal(err)
	}
	if err := opt.Start(optimizer.Flat(len(other))).Step(other, grad); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%.2f %.2f\n", theta[0]/other[0], theta[1]/other[1])
	// Output: 0.30 0.30
}

// Weights with decay, biases without, as with torch.optim.AdamW(lr=0.1, weight_decay=0.5).
func ExampleGroups() {
	adam := baselines.Adam{LearningRate: 0.1}
	rule := rules.Groups{
		{N: 2, Rule: rules.WeightDecay{Rule: adam, Decay: 0.1 * 0.5}}, // weights
		{Rule: adam}, // the others
	}
	theta := []float32{10, 10, 10}
	run, err := metaopt.StartRule(rule, optimizer.Flat(len(theta)), optimizer.Needs{Theta: true})
	if err != nil {
		log.Fatal(err)
	}
	if err := run.Step(theta, []float32{0, 0, 0}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(theta)
	// Output: [9.5 9.5 10]
}

// Adam for the first ten steps, then a learned rule that has observed their gradients.
func ExampleWarmStart() {
	opt, err := metaopt.Pretrained("quadratic")
	if err != nil {
		log.Fatal(err)
	}
	rule := rules.WarmStart{Steps: 10, First: baselines.Adam{LearningRate: 0.1}, Then: opt.Rule(), Observe: true}
	theta, grad := []float32{0}, make([]float32, 1)
	run, err := metaopt.StartRule(rule, optimizer.Flat(1), optimizer.Needs{Theta: true})
	if err != nil {
		log.Fatal(err)
	}
	for range 100 {
		grad[0] = theta[0] - 3
		if err := run.Step(theta, grad); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Printf("%.1f\n", theta)
	// Output: [3.0]
}
