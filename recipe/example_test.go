package recipe_test

import (
	"fmt"

	"learnedopt/recipe"
)

func ExampleRecipe() {
	r := recipe.Recipe{Steps: 200, Clip: 5, MetaSteps: 2000}
	text, err := r.Format()
	fmt.Printf("%s%v\n", text, err)

	again, err := recipe.Parse(text)
	fmt.Println(again.WithDefaults().InputGain, err)
	fmt.Println(again.Command())
	// Output:
	// {
	//   "defaults": 2,
	//   "steps": 200,
	//   "meta_steps": 2000,
	//   "clip": 5
	// }
	// <nil>
	// 4 <nil>
	// metaopt meta-train --task quadratic-uniform --meta-steps 2000 --inputs logsign --readout linear --scale 0.1 --p 5 --hidden 20 --lstm-layers 2 --input-gain 4 --memory 100 --steps 200 --unroll 20 --meta-lr 0.003 --warm-up 50 --clip 5 --second-derivatives --valid-every 50 --valid-runs 8 --defaults 2 --seed 0
}
