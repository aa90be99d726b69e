package tasks_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gorgonia.org/gorgonia"

	"learnedopt/optimizer"
	"learnedopt/tasks"
)

// descend takes the given number of steps of gradient descent.
func descend(p optimizer.Problem, rate float32, steps int) (first, last float64) {
	theta, grad := make([]float32, p.Dim()), make([]float32, p.Dim())
	p.Init(theta)
	for t := range steps {
		loss, err := p.LossGrad(theta, grad)
		if err != nil {
			log.Fatal(err)
		}
		if t == 0 {
			first = loss
		}
		last = loss
		for i, g := range grad {
			theta[i] -= rate * g
		}
	}
	return first, last
}

func ExampleNew() {
	family, err := tasks.New("quadratic", tasks.Options{Dims: 2, Batch: 64})
	if err != nil {
		log.Fatal(err)
	}
	problem, err := family.Sample(rand.New(rand.NewPCG(1, 0)))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(family.Name(), "has", problem.Dim(), "coordinates")
	_, err = tasks.New("quadratics", tasks.Options{})
	fmt.Println(err)
	// Output:
	// quadratic dims=2 batch=64 has 128 coordinates
	// tasks: no task "quadratics", did you mean "quadratic"? The tasks are quadratic, quadratic-uniform, rosenbrock, factorization, sinusoid, equilibrium, maxent, denoising, sudoku, chain, mnist, fashion-mnist, digits, cifar10, cifar10-grey, images, table, regression, char-rnn
}

func ExampleQuadratic() {
	problem, err := tasks.Quadratic{}.Sample(rand.New(rand.NewPCG(1, 0)))
	if err != nil {
		log.Fatal(err)
	}
	first, last := descend(problem, 0.01, 101)
	fmt.Printf("mean ‖Wθ − y‖²: %.1f, after 100 steps %.1f\n", first, last)
	// Output:
	// mean ‖Wθ − y‖²: 10.4, after 100 steps 1.0
}

func ExampleQuadraticUniform() {
	problem, err := tasks.QuadraticUniform{Batch: 1}.Sample(rand.New(rand.NewPCG(1, 0)))
	if err != nil {
		log.Fatal(err)
	}
	first, last := descend(problem, 0.01, 101)
	fmt.Printf("‖Wθ − y‖²: %.1f, after 100 steps %.2f\n", first, last)
	// Output:
	// ‖Wθ − y‖²: 2.6, after 100 steps 0.09
}

func ExampleRosenbrock() {
	problem, err := tasks.Rosenbrock{Batch: 1}.Sample(rand.New(rand.NewPCG(2, 0)))
	if err != nil {
		log.Fatal(err)
	}
	first, last := descend(problem, 2e-4, 1001)
	fmt.Printf("%.0f, after 1,000 steps %.2f\n", first, last)
	// Output:
	// 307, after 1,000 steps 0.51
}

func ExampleClassifier() {
	data, err := tasks.NewDigits(0, 2000, 0, 500)
	if err != nil {
		log.Fatal(err)
	}
	family, err := tasks.NewClassifier(data, tasks.ClassifierConfig{Activation: "tanh"})
	if err != nil {
		log.Fatal(err)
	}
	problem, err := family.Sample(rand.New(rand.NewPCG(1, 0)))
	if err != nil {
		log.Fatal(err)
	}
	theta := make([]float32, problem.Dim())
	problem.Init(theta)
	loss, _, err := family.EvaluateSplit(theta, tasks.Test)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %d coordinates, loss at the start %.1f\n", family.Name(), problem.Dim(), loss)
	// Output:
	// digits units=20 layers=1 activation=tanh batch=128: 15910 coordinates, loss at the start 2.3
}

// The loss (a·b − 6)² of two parameters of two elements each.
func ExampleCharRNN() {
	dir, err := os.MkdirTemp("", "text")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "mice.txt")
	if err := os.WriteFile(path, []byte(strings.Repeat("three blind mice, see how they run\n", 20)), 0o600); err != nil {
		log.Fatal(err)
	}
	text, err := tasks.LoadText(path)
	if err != nil {
		log.Fatal(err)
	}
	family, err := tasks.NewCharRNN(text, tasks.CharRNNConfig{Units: 16, Batch: 8, WeightInit: "torch"})
	if err != nil {
		log.Fatal(err)
	}
	problem, err := family.Sample(rand.New(rand.NewPCG(1, 0)))
	if err != nil {
		log.Fatal(err)
	}
	first, last := descend(problem, 1, 101)
	fmt.Printf("%q: %d characters to train\n", text.Characters(), text.Len(tasks.Train))
	fmt.Printf("cross-entropy %.1f, after 100 steps %.1f\n", first, last)
	// Output:
	// "\n ,bcdehilmnorstuwy": 560 characters to train
	// cross-entropy 2.9, after 100 steps 0.1
}

func ExampleNewGraph() {
	problem, err := tasks.NewGraph(func(g *gorgonia.ExprGraph) (tasks.Expression, error) {
		a := gorgonia.NewVector(g, gorgonia.Float32, gorgonia.WithName("a"), gorgonia.WithShape(2), gorgonia.WithInit(gorgonia.Ones()))
		b := gorgonia.NewVector(g, gorgonia.Float32, gorgonia.WithName("b"), gorgonia.WithShape(2), gorgonia.WithInit(gorgonia.Ones()))
		product := gorgonia.Must(gorgonia.Mul(a, b))
		residual := gorgonia.Must(gorgonia.Sub(product, gorgonia.NewConstant(float32(6))))
		return tasks.Expression{Params: gorgonia.Nodes{a, b}, Loss: gorgonia.Must(gorgonia.Square(residual))}, nil
	})
	if err != nil {
		log.Fatal(err)
	}
	defer problem.Close()
	theta, grad := make([]float32, problem.Dim()), make([]float32, problem.Dim())
	problem.Init(theta)
	loss, err := problem.LossGrad(theta, grad)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(theta, loss, grad)
	// Output:
	// [1 1 1 1] 16 [-8 -8 -8 -8]
}

// A family of graphs: fit a random target, a new one for each problem.
func ExampleGraphFamily() {
	family := tasks.GraphFamily{Label: "target", Build: func(g *gorgonia.ExprGraph, rng *rand.Rand) (tasks.Expression, error) {
		w := gorgonia.NewVector(g, gorgonia.Float32, gorgonia.WithName("w"), gorgonia.WithShape(3))
		target := gorgonia.NewConstant(float32(rng.NormFloat64()))
		residual := gorgonia.Must(gorgonia.Sub(w, target))
		return tasks.Expression{Params: gorgonia.Nodes{w}, Loss: gorgonia.Must(gorgonia.Sum(gorgonia.Must(gorgonia.Square(residual))))}, nil
	}}
	problem, err := family.Sample(rand.New(rand.NewPCG(1, 0)))
	if err != nil {
		log.Fatal(err)
	}
	_, last := descend(problem, 0.1, 100)
	fmt.Printf("%s: %.3f\n", family.Name(), last)
	// Output:
	// target: 0.000
}

func ExampleNewDigits() {
	data, err := tasks.NewDigits(0, 3, 0, 0)
	if err != nil {
		log.Fatal(err)
	}
	rows, cols := data.Shape()
	image := make([]float32, rows*cols)
	data.Image(image, tasks.Train, 0)
	brightest := slices.Max(image)
	fmt.Printf("%d images of %d×%d, the first a %d, brightest pixel %.1f\n",
		data.Len(tasks.Train), rows, cols, data.Label(tasks.Train, 0), brightest)
	// Output:
	// 3 images of 28×28, the first a 2, brightest pixel 0.9
}

func ExampleReadIDX() {
	file := []byte{0, 0, 8, 2 /* rank */, 0, 0, 0, 2, 0, 0, 0, 3, 10, 11, 12, 13, 14, 15}
	array, err := tasks.ReadIDX("example", bytes.NewReader(file))
	fmt.Println(array.Dims, array.Data, err)
	_, err = tasks.ReadIDX("example", bytes.NewReader(file[:16]))
	fmt.Println(err)
	// Output:
	// [2 3] [10 11 12 13 14 15] <nil>
	// tasks: example: at byte 16: file ends in its 6 bytes of data; fetch the file again
}

func ExampleParse() {
	spec, err := tasks.Parse("mnist units=8,16 activation=relu")
	if err != nil {
		log.Fatal(err)
	}
	data, err := json.Marshal(spec)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(spec)
	fmt.Println(string(data))
	_, err = tasks.Parse("quadratic units=8")
	fmt.Println(err)
	// Output:
	// mnist units=8,16 layers=1 activation=relu batch=128
	// {"name":"mnist","units":[8,16],"activation":["relu"]}
	// tasks: units does not apply to the task quadratic; its options are dims, batch, condition, loss-scale, gradient-noise
}
