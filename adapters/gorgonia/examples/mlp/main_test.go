package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"learnedopt/adapters/gorgonia/examples/internal/compare"
)

// Both solvers train the network: the mean cross-entropy falls from ln 10 to well below it.
func TestBothTrain(t *testing.T) {
	var out bytes.Buffer
	c := compare.Config{Data: "digits", Rule: "general", Start: "small", Steps: 40, Runs: 1, TuneRuns: 1, Rates: []float64{0.01}, Out: &out}
	if err := compare.Run(c, build); err != nil {
		t.Fatal(err)
	}
	solvers := 0
	for line := range strings.Lines(out.String()) {
		var mean, last, accuracy float64
		for _, name := range []string{"general (learned) –", "Gorgonia's Adam 0.01"} {
			rest, ok := strings.CutPrefix(strings.Join(strings.Fields(line), " "), name)
			if !ok {
				continue
			}
			solvers++
			if _, err := fmt.Sscanf(rest, "%f %f %f%%", &mean, &last, &accuracy); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if !(mean < 2.31 && last < mean && accuracy > 70) {
				t.Errorf("mean loss %v, last five %v, test accuracy %v%%", mean, last, accuracy)
			}
		}
	}
	if solvers != 2 {
		t.Errorf("%d solvers in the table:\n%s", solvers, &out)
	}
}
