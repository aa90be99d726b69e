package results

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"

	"learnedopt/compare"
)

// WriteCSV writes a header and then a row for each optimizer, cell and instance. A row has the value of every
// axis, the task, the rule and its losses on that instance; the losses are empty if the rule diverged there. The last columns
// are the factor on a learned rule's updates and the time of a step; they are empty if there is none or it is not known.
func (res *Results) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	var axes []string
	for _, a := range res.Axes {
		if a.Key != StepsAxis && a.Key != TaskAxis { // they have their own columns, with or without an axis
			axes = append(axes, a.Key)
		}
	}
	header := append(slices.Clone(axes), "task", "steps", "rule", "kind", "tuned", "learning_rate", "seed", "instance", "mean_loss", "final_loss", "diverged", "key",
		"multiplier", "gradient_seconds", "update_seconds")
	rows := [][]string{header}
	number := func(x compare.Number) string {
		if !x.Finite() {
			return ""
		}
		return strconv.FormatFloat(float64(x), 'g', -1, 64)
	}
	optional := func(x *float64) string {
		if x == nil {
			return ""
		}
		return number(compare.Number(*x))
	}
	for _, c := range res.Cells {
		for _, r := range c.Records {
			rate, multiplier, gradient, update := optional(r.Rule.LearningRate), optional(r.Rule.Multiplier), "", ""
			if s := r.StepTime; s != nil {
				gradient, update = optional(&s.Gradient), optional(&s.Update)
			}
			for i := range r.MeanLosses {
				var row []string
				for _, key := range axes {
					row = append(row, c.Values[key])
				}
				rows = append(rows, append(row, c.Task, strconv.Itoa(c.Steps), r.Rule.Name, r.Rule.Kind, r.Rule.Tuned, rate,
					strconv.FormatUint(r.Seed, 10), strconv.Itoa(i), number(r.MeanLosses[i]), number(r.FinalLosses[i]),
					strconv.FormatBool(!r.MeanLosses[i].Finite()), r.Key,
					multiplier, gradient, update))
			}
		}
	}
	if err := out.WriteAll(rows); err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	return nil
}
