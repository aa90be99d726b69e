// Command programs trains programs of many kinds, each written as its user would write it, with a learned optimizer and
// with Adam, and prints a table in Markdown with the mean loss over the run of each.
//
//	go run ./examples/programs
//	go run ./examples/programs -learned optimizer.mopt -runs 3 -steps 100 logistic-raw cartpole
//
// Adam has four learning rates, and the best one counts, chosen on the very runs that are compared. The learned optimizer
// has nothing to choose. It is told what a careful user would tell it: the layout of the parameters and the length of the
// run. MNIST and CIFAR-10 come from the folder -data-dir or METAOPT_DATA; `metaopt data fetch` downloads them. Without them
// the programs that need them are skipped.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"learnedopt/metaopt"
	"learnedopt/tasks"
)

func main() {
	learned := flag.String("learned", "general", "a learned optimizer: a pretrained one's name, or a .mopt file")
	runs := flag.Int("runs", 1, "runs of each program, from different starts on different minibatches")
	steps := flag.Int("steps", 0, "steps of each program at most; 0 means its own number")
	dataDir := flag.String("data-dir", "", "folder of the data sets")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "usage: programs [flags] [PROGRAM ...]\n\n")
		for _, p := range programs {
			fmt.Fprintf(flag.CommandLine.Output(), "  %-14s %s\n", p.name, p.about)
		}
		fmt.Fprintln(flag.CommandLine.Output())
		flag.PrintDefaults()
	}
	flag.Parse()
	if err := command(*learned, *runs, *steps, *dataDir, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func command(learned string, runs, steps int, dataDir string, names []string) error {
	opt, err := load(learned)
	if err != nil {
		return err
	}
	dir, err := tasks.DataDir(dataDir)
	if err != nil {
		return err
	}
	chosen, err := choose(names, steps)
	if err != nil {
		return err
	}
	return printTable(os.Stdout, chosen, rules(opt), runs, dir)
}

// load returns a learned optimizer of a file, or of the library.
func load(name string) (*metaopt.Optimizer, error) {
	if strings.HasSuffix(name, ".mopt") {
		return metaopt.Load(name)
	}
	return metaopt.Pretrained(name)
}

// choose returns the programs of these names, all of them without names, with no more than the given number of steps if it is not 0.
func choose(names []string, steps int) ([]program, error) {
	if steps < 0 {
		return nil, fmt.Errorf("programs: %d steps; want at least 1, or 0 for each program's own", steps)
	}
	if len(names) == 0 {
		for _, p := range programs {
			names = append(names, p.name)
		}
	}
	var chosen []program
	for _, name := range names {
		found := false
		for _, p := range programs {
			if p.name == name {
				if steps > 0 {
					p.steps = min(p.steps, steps)
				}
				chosen, found = append(chosen, p), true
			}
		}
		if !found {
			return nil, fmt.Errorf("programs: no program %q; -help lists them", name)
		}
	}
	return chosen, nil
}
