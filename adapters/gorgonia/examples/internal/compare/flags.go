package compare

import (
	"flag"
	"fmt"
	"os"

	"gorgonia.org/gorgonia"
)

// Main is the main function of an example: flags, Run, and an exit status of 1 with the error.
func Main(build func(*gorgonia.ExprGraph) (*Network, error)) {
	c := Config{Out: os.Stdout, Rates: []float64{0.001, 0.003, 0.01, 0.03, 0.1}}
	flag.StringVar(&c.Data, "data", "digits", "digits, drawn from fonts, or mnist, from the folder that METAOPT_DATA names")
	flag.StringVar(&c.Rule, "rule", "general", "the pretrained optimizer")
	flag.StringVar(&c.Start, "start", "glorot", "glorot, or small: all weights N(0, 0.01²), as where mlp was trained")
	flag.IntVar(&c.Steps, "steps", 100, "length of a run")
	flag.IntVar(&c.Runs, "runs", 3, "instances to compare on")
	flag.IntVar(&c.TuneRuns, "tune-runs", 1, "other instances to tune Adam's learning rate on, over 0.001, 0.003, 0.01, 0.03 and 0.1")
	flag.Parse()
	if err := Run(c, build); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
