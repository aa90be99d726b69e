package checkpoints_test

import (
	"bytes"
	"fmt"

	"learnedopt/checkpoints"
)

func Example() {
	type config struct {
		Hidden int     `msgpack:"hidden"`
		Scale  float64 `msgpack:"scale"`
	}
	f := &checkpoints.File{
		Kind:    "lstm-optimizer",
		Tensors: []checkpoints.Tensor{{Name: "out/w", Shape: []int{2, 1}, Data: []float32{0.5, -0.5}}},
	}
	var buf bytes.Buffer // or checkpoints.Save and Load, with a path
	err := f.EncodeConfig(config{Hidden: 20, Scale: 0.1})
	if err == nil {
		err = checkpoints.Write(&buf, f)
	}
	fmt.Println(err)

	g, err := checkpoints.Read(&buf)
	if err != nil {
		panic(err)
	}
	var c config
	fmt.Println(g.Kind, g.DecodeConfig(&c), c)
	fmt.Println(g.Float32("out/w", 2, 1))
	// Output:
	// <nil>
	// lstm-optimizer <nil> {20 0.1}
	// [0.5 -0.5] <nil>
}
