package tutorial

import (
	"context"
	"fmt"
	"math/rand/v2"

	"learnedopt/lstm"
	"learnedopt/metatrain"
)

func ExampleTruncatedBackprop() {
	net, err := lstm.Init{}.Random(lstm.Config{Hidden: 8}, rand.New(rand.NewPCG(3, 4)))
	if err != nil {
		panic(err)
	}
	p, err := Logistics{}.Sample(rand.New(rand.NewPCG(1, 2)))
	if err != nil {
		panic(err)
	}
	episode := metatrain.NewEpisode(net, p)
	dphi := make([]float64, len(net.Params())) // ∂L/∂φ
	var estimator metatrain.TruncatedBackprop
	for range 5 { // five windows of ten steps
		window, err := estimator.Estimate(context.Background(), dphi, episode, 10)
		if err != nil {
			panic(err)
		}
		fmt.Printf("up to step %d: %d losses\n", episode.Step, len(window.Losses))
	}
	// Output:
	// up to step 10: 11 losses
	// up to step 20: 11 losses
	// up to step 30: 11 losses
	// up to step 40: 11 losses
	// up to step 50: 11 losses
}
