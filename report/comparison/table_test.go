package comparison

import (
	"math"
	"strings"
	"testing"

	"learnedopt/compare"
	"learnedopt/report"
)

// row is a result with an interval of ±10 %.
func row(name, kind string, mean float64, diverged int) compare.Result {
	return compare.Result{
		Name: name, Kind: kind, MeanLoss: compare.Number(mean), FinalLoss: compare.Number(mean / 2), Diverged: diverged,
		MeanLossCI95: [2]compare.Number{compare.Number(0.9 * mean), compare.Number(1.1 * mean)},
		Curve:        []compare.Number{2, compare.Number(mean)},
		CurveCI95:    [2][]compare.Number{{1, 0.1}, {3, 9}},
	}
}

func TestTableIsSortedAndSaysWhoWon(t *testing.T) {
	inf := math.Inf(1)
	for _, c := range []struct {
		rules []compare.Result
		order []string
		last  string
	}{
		{
			[]compare.Result{row("learned", "learned", 0.1, 0), row("sgd", "baseline", 0.4, 0), row("adam", "baseline", 0.2, 0)},
			[]string{"learned", "adam", "sgd"}, "learned has the lowest mean loss: 50% below the best tuned rule, adam.",
		},
		{
			[]compare.Result{row("mine", "learned", 0.2, 0), row("sgd", "baseline", 0.198, 0)},
			[]string{"sgd", "mine (learned)"}, "The tuned sgd has the lowest mean loss: 1.0% below mine. Their intervals overlap: more --runs would tell.",
		},
		{
			[]compare.Result{row("learned", "learned", inf, 3), row("sgd", "baseline", inf, 1), row("adam", "baseline", 7, 0)},
			[]string{"adam", "sgd", "learned"}, "Mean loss:",
		},
	} {
		var b strings.Builder
		if err := Write(&b, &compare.Comparison{Task: "t", Steps: 1, Runs: 5, Rules: c.rules}, report.Table); err != nil {
			t.Fatal(err)
		}
		text := strings.TrimSpace(b.String())
		at := -1
		for _, name := range c.order {
			next := strings.Index(text, "\n"+name)
			if next <= at {
				t.Errorf("%s is not in its place:\n%s", name, text)
			}
			at = next
		}
		if last := text[strings.LastIndex(text, "\n")+1:]; !strings.HasPrefix(last, c.last) {
			t.Errorf("the table ends with %q, want %q", last, c.last)
		}
		if strings.Contains(text, "Inf") || strings.Contains(text, "NaN") {
			t.Errorf("not for people:\n%s", text)
		}
	}
}

func TestLossDigits(t *testing.T) {
	for x, want := range map[float64]string{0.12345: "0.1235", 0: "0", 0.00001234: "1.234e-05", 12.3456: "12.35", math.Inf(1): "–", math.NaN(): "–"} {
		if got := Loss(compare.Number(x)); got != want {
			t.Errorf("%v is printed as %s, want %s", x, got, want)
		}
	}
}

// What the pairs say stands below the table, in place of the overlap of intervals.
func TestTableSaysWhatThePairsSay(t *testing.T) {
	c := &compare.Comparison{Task: "t", Steps: 1, Runs: 6, Rules: []compare.Result{row("mine", "learned", 0.2, 0), row("sgd", "baseline", 0.198, 0)}}
	c.Paired = []compare.Paired{
		{Name: "mine", Against: "sgd", Ratio: 1.01, RatioCI95: [2]compare.Number{0.9, 1.1}, DifferenceCI95: [2]compare.Number{-1, 1}, Verdict: compare.Undecided},
		{Name: "low", Against: "sgd", Ratio: 0.5, RatioCI95: [2]compare.Number{0.4, 0.6}, DifferenceCI95: [2]compare.Number{-2, -1}, Verdict: compare.Won},
	}
	var b strings.Builder
	if err := Write(&b, c, report.Markdown); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| rule ", "|---", "\nThe tuned sgd has the lowest mean loss: 1.0% below mine.\n",
		"\nmine against sgd on the same instances: undecided, 1.0100 × its mean loss (95% interval of the pairs 0.9000–1.1000): more --runs would tell.\n",
		"\nlow against sgd on the same instances: won, 0.5000 × its mean loss (95% interval of the pairs 0.4000–0.6000).\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if c.Runs = 5; !strings.HasSuffix(PairedText(c, c.Paired[0]), ": more --runs would tell; a verdict takes 6.") {
		t.Errorf("of 5 runs: %s", PairedText(c, c.Paired[0]))
	}
}

// If a rule diverged, the sentence says how often each rule did, and shows no losses that do not exist.
func TestTableSaysWhoDiverged(t *testing.T) {
	inf := compare.Number(math.Inf(1))
	rule := func(name, kind string, losses ...compare.Number) compare.Result {
		r := row(name, kind, 0, 0)
		r.MeanLosses, r.MeanLoss = losses, 0
		for _, x := range losses {
			if r.MeanLoss += x / compare.Number(len(losses)); !x.Finite() {
				r.Diverged++
			}
		}
		return r
	}
	for _, c := range []struct {
		rules []compare.Result
		want  string
	}{
		{[]compare.Result{rule("mine", "learned", 3, 3, 3), rule("sgd", "baseline", 2, inf, 2), rule("adam", "baseline", inf, inf, 1)},
			"mine against sgd on the same instances: won, since it diverged in 0 of 3 runs and sgd in 1."},
		{[]compare.Result{rule("mine", "learned", inf, 1, inf), rule("sgd", "baseline", 2, 2, 2)},
			"mine against sgd on the same instances: lost, since it diverged in 2 of 3 runs and sgd in 0."},
		{[]compare.Result{rule("mine", "learned", inf, 1, 1), rule("sgd", "baseline", 2, inf, 2)},
			"mine against sgd on the same instances: undecided, since both diverged in 1 of 3 runs."},
	} {
		cmp := &compare.Comparison{Task: "t", Steps: 1, Runs: 3, Rules: c.rules}
		cmp.Pair()
		var b strings.Builder
		if err := Write(&b, cmp, report.Table); err != nil {
			t.Fatal(err)
		}
		if text := strings.TrimSpace(b.String()); !strings.HasSuffix(text, "\n"+c.want) || strings.Contains(text, "Inf") {
			t.Errorf("no %q at the end of\n%s", c.want, text)
		}
	}
}
