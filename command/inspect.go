package command

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"learnedopt/lstm"
	"learnedopt/metaopt"
	"learnedopt/report"
	"learnedopt/runfolder"
)

// inspection is the output of inspect --json.
type inspection struct {
	File       string            `json:"file"`
	Name       string            `json:"name"`
	Network    runfolder.Network `json:"network"`
	Parameters int               `json:"parameters"`
	Provenance provenanceRecord  `json:"provenance"`
	Tensors    []tensorRecord    `json:"tensors"`
	// Card is the model card of an optimizer that ships with the program.
	Card string `json:"card,omitempty"`
}

type provenanceRecord struct {
	Task             string  `json:"task"`
	Seed             uint64  `json:"seed"`
	MetaSteps        int     `json:"meta_steps"`
	Steps            int     `json:"steps"`
	Unroll           int     `json:"unroll"`
	MetaLearningRate float64 `json:"meta_learning_rate"`
	ValidLoss        float64 `json:"valid_loss"`
	Version          string  `json:"version"`
	Command          string  `json:"command"`
	Source           string  `json:"source"`
}

type tensorRecord struct {
	Name   string  `json:"name"`
	Shape  []int   `json:"shape"`
	Mean   float64 `json:"mean"`
	Std    float64 `json:"std"`
	MaxAbs float64 `json:"max_abs"`
	L2     float64 `json:"l2"`
}

func newInspect(a *app) *cobra.Command {
	var (
		plot   string
		asJSON bool
		asCard bool
	)
	cmd := &cobra.Command{
		Use:   "inspect FILE.mopt",
		Short: "Show an optimizer's shape, provenance and parameters",
		Long: `Show what a file of a learned optimizer holds: the network's shape, how it was
meta-trained, and every tensor's size. With --plot, draw the update that the network
answers to a gradient after it has read the same gradient for 1, 10 and 50 steps.

pretrained:NAME in place of a file is an optimizer that ships with the program; --card
prints its model card, which says also where it fails.`,
		Example: `  metaopt inspect optimizer.mopt
  metaopt inspect optimizer.mopt --plot update.svg
  metaopt inspect pretrained:` + metaopt.PretrainedNames()[0] + ` --card`,
		Args:              exactArgs("a FILE.mopt"),
		ValidArgsFunction: completeOptimizers,
		RunE: func(_ *cobra.Command, args []string) error {
			if plot != "" {
				if _, err := report.FormatOf(plot); err != nil {
					return usagef("--plot: %w", err)
				}
			}
			if err := checkTarget("plot", plot); err != nil {
				return err
			}
			o, err := load(args[0])
			if err != nil {
				return err
			}
			if plot != "" {
				if err := plotUpdates(o, plot); err != nil {
					return err
				}
			}
			in := inspect(args[0], o)
			if in.Card, err = card(args[0]); err != nil {
				return err
			}
			switch {
			case asJSON:
				return a.writeJSON("-", in)
			case !asCard:
				return printInspection(a.stdout, in)
			case in.Card == "":
				return usagef("%s has no model card; --card is for %sNAME", args[0], pretrainedPrefix)
			}
			_, err = io.WriteString(a.stdout, in.Card)
			return err
		},
	}
	cmd.Flags().Var(textFlag{&plot, "FILE"}, "plot", "draw updates against gradients in a file, .png or .svg")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&asCard, "card", false, "print the model card of pretrained:NAME alone")
	return cmd
}

func inspect(path string, o *metaopt.Optimizer) inspection {
	p := o.Provenance
	in := inspection{
		File: path, Name: o.Name(), Network: runfolder.RecordNetwork(o.Network.Config()),
		Provenance: provenanceRecord{
			Task: p.Task, Seed: p.Seed, MetaSteps: p.MetaSteps, Steps: p.Steps, Unroll: p.Unroll,
			MetaLearningRate: p.MetaLearningRate, ValidLoss: p.ValidLoss, Version: p.Version, Command: p.Command, Source: p.Source,
		},
	}
	for _, t := range o.Network.Tensors() {
		in.Parameters += len(t.Data)
		in.Tensors = append(in.Tensors, recordTensor(t))
	}
	return in
}

func recordTensor(t lstm.Tensor) tensorRecord {
	r := tensorRecord{Name: t.Name, Shape: t.Shape}
	var sum, squares float64
	for _, x := range t.Data {
		v := float64(x)
		sum += v
		squares += v * v
		r.MaxAbs = max(r.MaxAbs, math.Abs(v))
	}
	n := float64(len(t.Data))
	r.Mean, r.L2 = sum/n, math.Sqrt(squares)
	r.Std = math.Sqrt(max(0, squares/n-r.Mean*r.Mean))
	return r
}

func printInspection(w io.Writer, in inspection) error {
	n, p := in.Network, in.Provenance
	inputs := n.Inputs
	if strings.Contains(inputs, "logsign") {
		p := fmt.Sprintf("p = %g", n.P)
		if n.SignP != n.P {
			p += fmt.Sprintf(", %g of the sign", n.SignP)
		}
		inputs += " (" + p + ")"
	}
	if n.Context != "" {
		inputs += ", of the tensor: " + n.Context
	}
	layers := fmt.Sprintf("%d LSTM × %d", n.Layers, n.Hidden)
	if n.Layers == 0 {
		layers = "none"
	}
	if n.Dense > 0 {
		layers = fmt.Sprintf("dense × %d, %s", n.Dense, layers)
	}
	readout := fmt.Sprintf("%s × %g", n.Readout, n.Scale)
	if n.Orthogonal {
		readout += ", with an orthogonalized momentum"
	}
	if n.OrthogonalMean {
		readout += " of one weight a tensor"
	}
	if n.Hyper > 0 {
		readout += fmt.Sprintf(", with factors from a hypernetwork × %d", n.Hyper)
	}
	if n.FanIn {
		readout += ", divided by the fan-in and the size of inputs"
	}
	if n.Anneal > 0 {
		readout += fmt.Sprintf(", after step %d × √(%d/t)", n.Anneal, n.Anneal)
	}
	lines := [][2]string{
		{"file", in.File},
		{"name", in.Name},
		{"inputs", inputs},
		{"layers", layers},
		{"read-out", readout},
		{"parameters", strconv.Itoa(in.Parameters)},
		{"task", p.Task},
	}
	if p.Steps > 0 {
		lines = append(lines, [2]string{"trained", fmt.Sprintf("%d meta-steps on windows of %d of %d steps, meta learning rate %g, seed %d",
			p.MetaSteps, p.Unroll, p.Steps, p.MetaLearningRate, p.Seed)})
	}
	if p.ValidLoss != 0 {
		lines = append(lines, [2]string{"valid loss", fmt.Sprintf("%.4g", p.ValidLoss)})
	}
	lines = append(lines, [2]string{"source", p.Source}, [2]string{"version", p.Version}, [2]string{"command", p.Command})
	if in.Card != "" {
		lines = append(lines, [2]string{"model card", "metaopt inspect " + in.File + " --card"})
	}
	for _, line := range lines {
		if line[1] != "" {
			fmt.Fprintf(w, "%-11s %s\n", line[0], line[1])
		}
	}
	fmt.Fprintln(w)
	var rows [][]string
	for _, t := range in.Tensors {
		shape := make([]string, len(t.Shape))
		for i, d := range t.Shape {
			shape[i] = strconv.Itoa(d)
		}
		rows = append(rows, []string{t.Name, strings.Join(shape, "×"), digits(t.Mean), digits(t.Std), digits(t.MaxAbs), digits(t.L2)})
	}
	return report.Table(w, []string{"tensor", "shape", "mean", "std", "max |x|", "L2 norm"}, rows)
}

func digits(x float64) string { return fmt.Sprintf("%.4f", x) }
