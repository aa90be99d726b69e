package report_test

import (
	"bytes"
	"fmt"
	"os"

	"learnedopt/report"
)

func ExampleTable() {
	err := report.Table(os.Stdout,
		[]string{"rule", "learning rate", "mean loss", "final loss", "diverged"},
		[][]string{
			{"learned", "", "0.501 ± 0.012", "0.262", "0/20"},
			{"Adam", "0.0316", "0.768 ± 0.010", "0.360", "0/20"},
			{"SGD", "1", "1.077 ± 0.021", "0.450", "1/20"},
		})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// rule     learning rate      mean loss  final loss  diverged
	// learned                 0.501 ± 0.012       0.262      0/20
	// Adam            0.0316  0.768 ± 0.010       0.360      0/20
	// SGD                  1  1.077 ± 0.021       0.450      1/20
}

func ExampleCurves() {
	p, err := report.Curves("Quadratics", []report.Series{
		{Name: "learned", Mean: []float64{10, 1, 0.2}, Lo: []float64{9, 0.8, 0.1}, Hi: []float64{11, 1.2, 0.3}, Learned: true},
		{Name: "SGD", Mean: []float64{10, 7, 5}},
	}, report.CurveOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	var picture bytes.Buffer
	if err := p.Encode(&picture, report.SVG); err != nil {
		fmt.Println(err)
	}
	fmt.Println(bytes.Count(picture.Bytes(), []byte(">learned<")))
	// Output: 1
}

func ExampleUpdatePlot() {
	gradients := report.Gradients(1e-3, 1, 20)
	updates := make([]float64, len(gradients))
	for i, g := range gradients {
		updates[i] = -0.1 * g
	}
	p, err := report.UpdatePlot("SGD", []report.Response{{Name: "any step", Gradient: gradients, Update: updates}},
		report.UpdateOptions{SymLog: 1e-2})
	if err != nil {
		fmt.Println(err)
		return
	}
	var picture bytes.Buffer
	fmt.Println(p.Encode(&picture, report.PNG), bytes.HasPrefix(picture.Bytes(), []byte("\x89PNG")))
	// Output: <nil> true
}
