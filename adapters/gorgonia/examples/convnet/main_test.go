package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"learnedopt/adapters/gorgonia/examples/internal/compare"
)

// Both solvers train the network.
func TestBothTrain(t *testing.T) {
	var out bytes.Buffer
	c := compare.Config{Data: "digits", Rule: "general", Start: "glorot", Steps: 40, Runs: 1, TuneRuns: 1, Rates: []float64{0.01}, Out: &out}
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
			if !(mean < 3 && last < 0.9*mean && accuracy > 30) {
				t.Errorf("mean loss %v, last five %v, test accuracy %v%%", mean, last, accuracy)
			}
		}
	}
	if solvers != 2 {
		t.Errorf("%d solvers in the table:\n%s", solvers, &out)
	}
}
