package studies

import (
	"context"
	"fmt"
	"math"
	"slices"

	"learnedopt/baselines"
	"learnedopt/lagrange"
	"learnedopt/report"
)

// maxentStudy solves maximum-entropy problems by the method of multipliers with hand-designed and learned rules, and compares with the dual.
func maxentStudy(ctx context.Context, b *bench) error {
	die := &lagrange.MaximumEntropy{Functions: [][]float64{{1, 2, 3, 4, 5, 6}}, Target: []float64{4.5}}
	gauss := &lagrange.MaximumEntropy{Functions: [][]float64{{}, {}}, Target: []float64{0, 1}}
	for i := range 15 {
		x := -2.5 + 5*float64(i)/14
		gauss.Functions[0] = append(gauss.Functions[0], x)
		gauss.Functions[1] = append(gauss.Functions[1], x*x)
	}
	steps := b.pick(1000, 300)
	choices := append([]Rule{{"nesterov", baselines.Nesterov{LearningRate: 0.2, Momentum: 0.9}}, adam(0.1, steps)}, b.Rules...)
	for _, c := range []struct {
		name    string
		problem *lagrange.MaximumEntropy
	}{{"Jaynes' die: six faces, mean 4.5", die}, {"15 points from −2.5 to 2.5, mean 0, variance 1", gauss}} {
		p, nu, err := c.problem.Dual()
		if err != nil {
			return err
		}
		entropy := 0.0
		for _, v := range p {
			entropy -= v * math.Log(v)
		}
		t := Table{Title: c.name, Header: []string{"by", "multipliers", "entropy", "largest error of p", "violation", "outer", "steps"},
			Rows: [][]string{{"dual Newton", fmt.Sprintf("%.6f", nu), fmt.Sprintf("%.6f", entropy), "", "", "", ""}}}
		picture := Picture{Name: fmt.Sprintf("p-%d", len(p)), Title: c.name, X: "outcome", Y: "probability", Top: 1.1 * slices.Max(p),
			Series: []report.Series{{Name: "dual Newton", Mean: p, X: c.problem.Functions[0]}}}
		for _, rule := range choices {
			b.note(c.name + ", " + rule.Name)
			r, err := lagrange.Method{Rule: rule.Rule, Steps: steps, Outer: 50}.Solve(ctx, c.problem, make([]float64, len(p)), len(nu))
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				b.note(err.Error()) // its point is in the table
			}
			got, off := make([]float64, len(p)), 0.0
			if len(r.X) != len(p) {
				return err
			}
			lagrange.Softmax(got, r.X)
			for i, v := range got {
				off = max(off, math.Abs(v-p[i]))
			}
			t.Rows = append(t.Rows, []string{rule.Name, fmt.Sprintf("%.6f", r.Nu), fmt.Sprintf("%.6f", -r.Value), fmt.Sprintf("%.1e", off), fmt.Sprintf("%.1e", r.Violation), fmt.Sprint(r.Outer), fmt.Sprint(r.Steps)})
			picture.Series = append(picture.Series, report.Series{Name: rule.Name, Mean: got, X: c.problem.Functions[0]})
		}
		b.Tables = append(b.Tables, t)
		b.Pictures = append(b.Pictures, picture)
	}
	return nil
}
