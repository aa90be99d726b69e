package reproduce

import (
	"math"
	"slices"
	"strings"
	"testing"

	"learnedopt/compare"
	"learnedopt/metaopt"
	"learnedopt/report"
)

// The paper's values, as its figures have them: learned below the best hand-designed rule by these ratios.
func TestPapersRatios(t *testing.T) {
	for name, want := range map[string]float64{"quadratics": 0.765, "mnist": 0.766, "mnist-200": 0.808, "units-40": 0.645, "two-layers": 0.471, "relu": 6.944} {
		f := figures[slices.Index(FigureNames(), name)]
		last := f.paper[len(f.paper)-1]
		if _, best := last.best(); last.Step != f.steps || math.Abs(last.LSTM/best-want) > 5e-4 {
			t.Errorf("%s: %v at step %d, want %v at %d", name, last.LSTM/best, last.Step, want, f.steps)
		}
	}
}

// Each kind of bound, met and missed.
func TestBounds(t *testing.T) {
	result := func(mean, final, last float64) compare.Result {
		return compare.Result{MeanLoss: compare.Number(mean), FinalLoss: compare.Number(final), Curve: []compare.Number{1, compare.Number(last)}}
	}
	tuned := []compare.Result{result(0.5, 0.4, 0.3), result(0.6, 0.2, 0.25)}
	ours := result(0.43, 0.2, 0.2)
	for _, c := range []struct {
		goal goal
		text string
		met  bool
	}{
		{goal{mean: 0.44}, "mean ≤ 0.44", true},
		{goal{mean: 0.42}, "mean ≤ 0.42", false},
		{goal{final: 0.19}, "last five ≤ 0.19", false},
		{goal{meanRatio: 0.85}, "mean ≤ 0.85 × tuned = 0.425", false},
		{goal{meanRatio: 0.9}, "mean ≤ 0.9 × tuned = 0.45", true},
		{goal{finalRatio: 1}, "last five ≤ tuned = 0.2", true},
		{goal{lastRatio: 0.7}, "last ≤ 0.7 × tuned = 0.175", false},
		{goal{finite: true}, "no divergence", true},
	} {
		got := c.goal.bounds(ours, tuned)
		if len(got) != 1 || got[0].text != c.text || got[0].met() != c.met {
			t.Errorf("%+v: %+v, want %q met %v", c.goal, got, c.text, c.met)
		}
	}
	inf := result(math.Inf(1), math.Inf(1), math.Inf(1))
	inf.Diverged = 1
	if g := (goal{meanRatio: 0.85}).bounds(inf, []compare.Result{inf}); g[0].met() {
		t.Error("what diverged is as good as what diverged")
	}
	for _, b := range (goal{mean: 1, finite: true, finalRatio: 1}).bounds(inf, tuned) {
		if b.met() {
			t.Errorf("%q is met by what diverged", b.text)
		}
	}
	for _, row := range resultRows() {
		if row.goal == (goal{}) {
			t.Errorf("%s has no target", row.name)
		}
	}
	if n := len(resultRows()); n != 22 {
		t.Errorf("%d rows, want 5 of MNIST, 3 of each of five architectures, 2 of quadratics", n)
	}
}

// Of several targets each gets its own optimizers.
func TestOptimizersForTheirTasks(t *testing.T) {
	made := func(name, task string) entrant {
		return entrant{name: name, optimizer: &metaopt.Optimizer{Provenance: metaopt.Provenance{Task: task}}}
	}
	r := &Reproduction{shipped: map[string]entrant{}}
	r.entrants = []entrant{made("m", "mnist units=20"), made("q", "quadratic dims=10"), made("u", "quadratic-uniform dims=10")}
	for task, want := range map[string]string{"mnist": "m", "quadratic": "q", "quadratic-uniform": "u"} {
		if got, err := r.learned(task); err != nil || len(got) != 1 || got[0].name != want {
			t.Errorf("%s gets %v, %v; want %s", task, got, err, want)
		}
	}
	r.entrants = r.entrants[:1]
	if got, err := r.learned("quadratic-uniform"); err != nil || len(got) != 1 || got[0].path != "pretrained:quadratic-uniform" {
		t.Errorf("quadratics get %v, %v; want a pretrained one", got, err)
	}
	r.one = true
	if got, err := r.learned("quadratic"); err != nil || len(got) != 1 || got[0].name != "m" {
		t.Errorf("one figure gets %v, %v; want what was named", got, err)
	}
}

// gridComparisons are made-up results: 1/units, more with more layers.
func gridComparisons(f Figure) []*compare.Comparison {
	var all []*compare.Comparison
	for _, a := range f.grid {
		c := &compare.Comparison{Runs: 20}
		for k, name := range append([]string{"mine"}, defaultRules...) {
			kind := compare.Baseline
			if k == 0 {
				kind = compare.Learned
			}
			x := compare.Number(0.1 + float64(a.layers*(k+2))/float64(a.units+5))
			c.Rules = append(c.Rules, compare.Result{Name: name, Kind: kind, Curve: []compare.Number{2, x},
				CurveCI95: [2][]compare.Number{{2, 0.9 * x}, {2, 1.1 * x}}})
		}
		all = append(all, c)
	}
	return all
}

func TestArchitectures(t *testing.T) {
	f := figures[slices.Index(FigureNames(), "architectures")]
	comparisons := gridComparisons(f)
	comparisons[0].Rules = slices.Delete(comparisons[0].Rules, 1, 2) // sgd could not be tuned
	var b strings.Builder
	if err := f.printGrid(&b, report.Table, comparisons, []string{"mine"}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")
	if fields := strings.Fields(lines[3]); !slices.Equal(fields, []string{"1", "5", "0.3", "–", "0.5", "0.6", "0.7", "0.6", "0.59", "0.575", "1.03"}) {
		t.Errorf("the first row is %q in\n%s", fields, b.String())
	}
	if strings.Contains(b.String(), "NaN") || strings.Contains(b.String(), "Inf") {
		t.Errorf("not for people:\n%s", b.String())
	}
	plot, err := f.plotGrid(comparisons, []string{"mine"})
	if err != nil {
		t.Fatal(err)
	}
	var svg strings.Builder
	if err := plot.Encode(&svg, report.SVG); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1 hidden layer", "2 hidden layers", "mine (learned)", "nesterov", paperBest, "f(θ_100)"} {
		if !strings.Contains(svg.String(), want) {
			t.Errorf("the picture lacks %q", want)
		}
	}
}
