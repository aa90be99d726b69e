package comparison

import (
	"math"
	"strings"
	"testing"

	"learnedopt/compare"
	"learnedopt/report"
)

// timedRules are a learned rule whose step takes 10 ms, 8 of them for the update, adam at 2.5 ms, and sgd that nobody timed. Their
// losses fall by one a step from 100 and from 200.
func timedRules() *compare.Comparison {
	c := &compare.Comparison{Task: "t", Steps: 40, Runs: 5, Rules: []compare.Result{row("mine", "learned", 0.1, 0), row("adam", "baseline", 0.2, 0), row("sgd", "baseline", 0.4, 0)}}
	for i, start := range []float64{100, 200, 300} {
		r := &c.Rules[i]
		r.Curve, r.CurveCI95 = nil, [2][]compare.Number{}
		for t := range 41 {
			x := compare.Number(start - float64(t))
			r.Curve, r.CurveCI95[0], r.CurveCI95[1] = append(r.Curve, x), append(r.CurveCI95[0], x-1), append(r.CurveCI95[1], x+1)
		}
		r.FinalLoss = compare.Number(start - 38)
	}
	c.Rules[0].StepTime = &compare.StepTime{Gradient: 0.002, Update: 0.008}
	c.Rules[1].StepTime = &compare.StepTime{Gradient: 0.002, Update: 0.0005}
	c.Paired = []compare.Paired{{Name: "mine", Against: "adam", Verdict: compare.Won}}
	return c
}

// The table has the time of a step and the update's part of it where they are known, and says what they mean for the pair: in
// 100 ms adam does 40 steps and the learned rule 10, whose last five losses are 94 to 90.
func TestTableSaysWhatTimeTells(t *testing.T) {
	var b strings.Builder
	if err := Write(&b, timedRules(), report.Markdown); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"diverged | ms a step | update |", " 0/5 | 10 | 80% |", " 0/5 | 2.5 | 20% |", " 0/5 | – | – |", "\n" + timeNote + "\n",
		"\nA step of mine takes 4.00 × as long as one of adam; the update is 80% of it. In the time of the 40 steps of adam, mine does 10: its final loss is then 92, that of adam 162.\n",
	} {
		if !strings.Contains(spaces(b.String()), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	// A rule with cheaper steps than the best tuned rule, a learned rule that does no step in that time, one that diverged.
	c := timedRules()
	c.Rules[1].StepTime = &compare.StepTime{Gradient: 0.002, Update: 0.018}
	if got, want := timeText(c, c.Paired[0]), "A step of mine takes 0.50 × as long as one of adam; the update is 80% of it. In the time of the 40 steps of mine, adam does 20: its final loss is then 182, that of mine 62."; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	c.Rules[1].StepTime = &compare.StepTime{Gradient: 0.0001}
	if got, want := timeText(c, c.Paired[0]), "A step of mine takes 100 × as long as one of adam; the update is 80% of it. That is more than all 40 steps of adam."; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	c = timedRules()
	c.Rules[0].Curve[8] = compare.Number(math.Inf(1))
	if got := timeText(c, c.Paired[0]); !strings.HasSuffix(got, "mine does 10.") {
		t.Errorf("of a rule that diverged: %q", got)
	}
	// Without times nothing is said of them.
	for i := range c.Rules {
		c.Rules[i].StepTime = nil
	}
	b.Reset()
	if err := Write(&b, c, report.Markdown); err != nil || strings.Contains(b.String(), "ms a step") || strings.Contains(b.String(), "A step of") {
		t.Errorf("error %v:\n%s", err, b.String())
	}
}

// spaces makes one space of several.
func spaces(s string) string {
	for strings.Contains(s, "  ") {
		s = strings.ReplaceAll(s, "  ", " ")
	}
	return s
}

// A multiplier stands in the place of a learning rate.
func TestTableShowsMultipliers(t *testing.T) {
	c, by := timedRules(), 0.31622776601683794
	c.Rules[0].Multiplier = &by
	var b strings.Builder
	if err := Write(&b, c, report.Markdown); err != nil || !strings.Contains(spaces(b.String()), "| mine (learned) | × 0.316 |") {
		t.Errorf("error %v:\n%s", err, b.String())
	}
}

// The picture against time has a curve for each rule that was timed; long runs are in seconds.
func TestPlotTime(t *testing.T) {
	c := timedRules()
	p, err := PlotTime(c)
	if err != nil {
		t.Fatal(err)
	}
	text := svg(t, p)
	for want, there := range map[string]bool{"mine (learned)": true, "adam": true, "sgd": false, "wall time on one core (ms)": true, ">10<": true, ">1<": false} {
		if strings.Contains(text, want) != there {
			t.Errorf("%q is in the picture: %v", want, !there)
		}
	}
	c.Rules[0].StepTime.Update = 1
	if p, err = PlotTime(c); err != nil || !strings.Contains(svg(t, p), "wall time on one core (s)") {
		t.Errorf("40 seconds are not in seconds, error %v", err)
	}
	c.Rules[0].StepTime, c.Rules[1].StepTime = nil, nil
	if p, err = PlotTime(c); p != nil || err != nil {
		t.Errorf("nothing was timed: %v, %v", p, err)
	}
}

func svg(t *testing.T, p *report.Plot) string {
	t.Helper()
	var b strings.Builder
	if err := p.Encode(&b, report.SVG); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
