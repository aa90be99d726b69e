package lstm_test

import (
	"fmt"
	"log"
	"math"

	"learnedopt/lstm"
	"learnedopt/optimizer"
)

// A network that sees gradients down to e^-2 looks at three coordinates.
func ExampleProbe() {
	cfg := lstm.Config{NoLSTM: true, P: 2}
	net, err := lstm.NewNetwork(cfg, []float32{0, 1, 0}) // u = 0.1·clip(e²·g, ±1)
	if err != nil {
		log.Fatal(err)
	}
	var (
		probe lstm.Probe
		a     lstm.Activity
	)
	updates := probe.Look(&a, net.NewState(3), optimizer.Point{Grad: []float32{0, 0.001, -4}})
	fmt.Printf("updates %.4f\n", updates)
	fmt.Println(a.Coordinates, "looked at:", a.Zero, "zero,", a.Small, "small,", a.Clipped, "clipped")
	fmt.Printf("root mean square of updates %.3f\n", math.Sqrt(a.Update2/float64(a.Coordinates)))
	// Output:
	// updates [0.0000 0.0007 -0.1000]
	// 3 looked at: 1 zero, 1 small, 1 clipped
	// root mean square of updates 0.058
}
