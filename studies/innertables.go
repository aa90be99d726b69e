package studies

import (
	"fmt"
	"math"
	"strings"

	"learnedopt/report"
)

// racePicture draws residuals against CPU time. The interior point's are those that it was asked for: what it returns is nearer to the solution.
func racePicture(n int, races []race) Picture {
	p := Picture{Name: fmt.Sprintf("residual-%d", n), Title: fmt.Sprintf("Quadratic programs of %d variables", n), X: "CPU time, ms", Y: "KKT residual", LogX: true}
	for _, r := range races {
		s := report.Series{Name: r.name, Learned: r.learned}
		points := r.points
		if r.name == interiorPoint {
			points = nil
			for k, level := range levels {
				points = append(points, racePoint{seconds: r.time[k], residual: math.Log10(level)})
			}
		}
		last := 0.0
		for _, point := range points {
			// A lower level may take no longer.
			last = max(1000*point.seconds, last*(1+1e-9))
			s.X, s.Mean = append(s.X, last), append(s.Mean, math.Pow(10, point.residual))
		}
		p.Series = append(p.Series, s)
	}
	return p
}

// timesTable has the times and the gradients' errors of all sizes.
func timesTable(sizes []int, all [][]race) Table {
	t := Table{Title: "CPU time until the KKT residual is at most r, in ms, and the relative error of the gradient there", Header: []string{"n", "by"}}
	for _, level := range levels {
		t.Header = append(t.Header, fmt.Sprintf("r = %.0e", level))
	}
	for i, n := range sizes {
		t.Rows = append(t.Rows, timesRows(n, all[i])...)
	}
	return t
}

// timesRows are the rows of one size.
func timesRows(n int, races []race) (rows [][]string) {
	for _, r := range races {
		row := []string{fmt.Sprint(n), r.name}
		for k := range levels {
			switch {
			case math.IsNaN(r.time[k]):
				row = append(row, "not reached")
			case math.IsNaN(r.gradient[k]):
				row = append(row, fmt.Sprintf("%.3g", 1000*r.time[k]))
			default:
				row = append(row, fmt.Sprintf("%.3g (%.0e)", 1000*r.time[k], math.Pow(10, r.gradient[k])))
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// crossover says at which sizes each learned solver is faster than each other one that learned nothing.
func crossover(sizes []int, all [][]race) Table {
	t := Table{Title: "sizes n at which a learned solver is faster, by CPU time", Header: []string{"by", "until r ="}}
	for _, r := range all[0] {
		if !r.learned {
			t.Header = append(t.Header, "than "+r.name)
		}
	}
	for l, r := range all[0] {
		if !r.learned {
			continue
		}
		for k, level := range levels {
			row := []string{r.name, fmt.Sprintf("%.0e", level)}
			for o, other := range all[0] {
				if other.learned {
					continue
				}
				var faster []string
				for i, n := range sizes {
					// A residual that the other one does not reach is reached later.
					if a, b := all[i][l].time[k], all[i][o].time[k]; a < b || !math.IsNaN(a) && math.IsNaN(b) {
						faster = append(faster, fmt.Sprint(n))
					}
				}
				if faster == nil {
					faster = []string{"none"}
				}
				row = append(row, strings.Join(faster, ", "))
			}
			t.Rows = append(t.Rows, row)
		}
	}
	return t
}
