package main

import (
	"strings"
	"testing"

	"learnedopt/sweep"
)

// Every cell is in one place of one sheet: at its values of the first two axes, under those of
// the others.
func TestSheetsPlaceEveryCell(t *testing.T) {
	axes := []sweep.Axis{{Key: "a", Values: []string{"1", "2", "3"}}, {Key: "b", Values: []string{"1", "2"}}, {Key: "c", Values: []string{"1", "2"}}, {Key: "d", Values: []string{"1", "2", "3"}}}
	for n := range len(axes) + 1 {
		res := &sweep.Results{Manifest: &sweep.Manifest{Axes: axes[:n]}}
		all := []map[string]string{{}}
		for _, a := range axes[:n] {
			var next []map[string]string
			for _, values := range all {
				for _, v := range a.Values {
					more := map[string]string{a.Key: v}
					for key, value := range values {
						more[key] = value
					}
					next = append(next, more)
				}
			}
			all = next
		}
		for _, values := range all {
			res.Cells = append(res.Cells, sweep.CellResult{Cell: sweep.Cell{Values: values}})
		}
		sheets, x, y, _ := sheets(res)
		seen := map[*sweep.CellResult]bool{}
		for _, s := range sheets {
			for i, row := range s.cells {
				for j, c := range row {
					seen[c] = true
					for key, want := range map[string]string{x.Key: x.Values[j], y.Key: y.Values[i]} {
						if c.Values[key] != want {
							t.Errorf("%d axes, sheet %q: cell %v is at %s %s", n, s.title, c.Values, key, want)
						}
					}
					for _, key := range []string{"c", "d"} {
						if v := c.Values[key]; v != "" && !strings.Contains(s.title, key+" "+v) {
							t.Errorf("%d axes: cell %v is in the sheet %q", n, c.Values, s.title)
						}
					}
				}
			}
		}
		if len(seen) != len(all) {
			t.Errorf("%d axes: %d cells are drawn, want %d", n, len(seen), len(all))
		}
	}
}

func TestSummaryText(t *testing.T) {
	res := &sweep.Results{Manifest: &sweep.Manifest{Axes: []sweep.Axis{{Key: "units"}}, Runs: 20}, Cells: []sweep.CellResult{{}, {
		Cell:  sweep.Cell{Values: map[string]string{"units": "80"}},
		Duels: []sweep.Duel{{Rule: "mine", Best: "sgd (tuned here)", Ratio: sweep.Ratio{Ratio: 1.5}}},
	}}}
	bound := sweep.SpeedUp{Factor: 4, Censored: true}
	s := sweep.Summary{Rule: "mine", Cells: 4, Won: 2, Lost: 1, Open: 1, Worst: 1, SpeedUps: []sweep.SpeedUp{{Factor: 0.5}, {Factor: 2}, bound}}
	const head = "mine: won 2 of 4 cells, lost 1, open 1. Worst cell: units=80, with 1.50 × the mean loss of sgd (tuned here)."
	for _, c := range []struct {
		ups  []sweep.SpeedUp
		want string
	}{
		{s.SpeedUps, head + " Tuned adam needs 2.00× as many steps to reach its final loss: the median of 3 cells, from 0.50× to more than 4×."},
		{[]sweep.SpeedUp{bound, bound}, head + " Tuned adam needs more than 4× as many steps to reach its final loss: the median of 2 cells."},
		{[]sweep.SpeedUp{{Factor: 0.5}}, head + " Tuned adam needs 0.50× as many steps to reach its final loss."},
		{nil, head},
	} {
		s.SpeedUps = c.ups
		if got := summaryText(res, s); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	res.Cells[1].Duels[0].Diverged = 3
	if got := summaryText(res, s); !strings.HasSuffix(got, "Worst cell: units=80, where it diverged in 3 of 20.") {
		t.Errorf("%q", got)
	}
}
