package l2l_test

import (
	"fmt"

	"learnedopt/checkpoints/l2l"
)

func ExampleLoad() {
	modules, err := l2l.Load("testdata/dill.l2l")
	if err != nil {
		panic(err)
	}
	w := modules["linear"]["w"]
	fmt.Println(w.Shape, w.Data)
	// Output: [4 1] [0.5 -0.25 0.001 4]
}
