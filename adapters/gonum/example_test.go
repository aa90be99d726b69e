package gonumopt_test

import (
	"fmt"
	"log"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/optimize"

	gonumopt "learnedopt/adapters/gonum"
	"learnedopt/metaopt"
	"learnedopt/tasks"
)

// Logistic regression on images of digits, in minibatches.
func ExampleMethod() {
	opt, err := metaopt.Pretrained("mlp")
	if err != nil {
		log.Fatal(err)
	}
	data, err := tasks.NewDigits(0, 5000, 0, 1000)
	if err != nil {
		log.Fatal(err)
	}
	r := regression{data: data, rng: rand.New(rand.NewPCG(1, 0)), batch: make([]int, 64)}
	problem := optimize.Problem{Func: r.loss, Grad: r.gradient}
	settings := &optimize.Settings{MajorIterations: 200, Converger: optimize.NeverTerminate{}}
	x := make([]float64, features*10)
	result, err := optimize.Minimize(problem, x, settings, &gonumopt.Method{Rule: opt.Rule()})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Status)
	fmt.Println("right on over 70% of new images:", r.accuracy(result.X) > 0.7)
	// Output:
	// IterationLimit
	// right on over 70% of new images: true
}

const features = 28*28 + 1 // pixels, and 1

// A regression is the mean of −log softmax(Wx)[label] over a minibatch, W of 10 rows.
type regression struct {
	data  *tasks.Dataset
	rng   *rand.Rand
	batch []int // images
}

// loss draws the minibatch that gradient uses too.
func (r *regression) loss(w []float64) (sum float64) {
	for i := range r.batch {
		r.batch[i] = r.rng.IntN(r.data.Len(tasks.Train))
		_, p := r.predict(w, tasks.Train, r.batch[i])
		sum -= math.Log(p[r.data.Label(tasks.Train, r.batch[i])])
	}
	return sum / float64(len(r.batch))
}

func (r *regression) gradient(grad, w []float64) {
	clear(grad)
	for _, i := range r.batch {
		image, p := r.predict(w, tasks.Train, i)
		p[r.data.Label(tasks.Train, i)]--
		for class, error := range p {
			floats.AddScaled(grad[class*features:(class+1)*features], error/float64(len(r.batch)), image)
		}
	}
}

func (r *regression) accuracy(w []float64) float64 {
	right, n := 0, r.data.Len(tasks.Test)
	for i := range n {
		if _, p := r.predict(w, tasks.Test, i); floats.MaxIdx(p) == r.data.Label(tasks.Test, i) {
			right++
		}
	}
	return float64(right) / float64(n)
}

// predict returns an image and the probabilities of the classes.
func (r *regression) predict(w []float64, split tasks.Split, i int) (image, p []float64) {
	pixels := make([]float32, features-1)
	r.data.Image(pixels, split, i)
	image, p = make([]float64, features), make([]float64, 10)
	image[features-1] = 1
	for j, v := range pixels {
		image[j] = float64(v)
	}
	for class := range p {
		p[class] = floats.Dot(w[class*features:(class+1)*features], image)
	}
	total := floats.LogSumExp(p)
	for class := range p {
		p[class] = math.Exp(p[class] - total)
	}
	return image, p
}

// A line through four points, each step checked by one of gonum's line searches.
func ExampleLineSearch() {
	opt, err := metaopt.Pretrained("quadratic")
	if err != nil {
		log.Fatal(err)
	}
	ys := []float64{0.3, 1.1, 1.9, 2.7}
	problem := optimize.Problem{
		Func: func(x []float64) (sum float64) {
			for i, y := range ys {
				d := x[0]*float64(i) + x[1] - y
				sum += d * d / 4
			}
			return sum
		},
		Grad: func(grad, x []float64) {
			clear(grad)
			for i, y := range ys {
				d := x[0]*float64(i) + x[1] - y
				floats.Add(grad, []float64{d * float64(i) / 2, d / 2})
			}
		},
	}
	method := &gonumopt.LineSearch{Rule: opt.Rule(), Linesearcher: &optimize.Bisection{}}
	result, err := optimize.Minimize(problem, []float64{0, 0}, &optimize.Settings{GradientThreshold: 1e-4}, method)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("y = %.2f x + %.2f (%v)\n", result.X[0], result.X[1], result.Status)
	// Output: y = 0.80 x + 0.30 (GradientThreshold)
}
