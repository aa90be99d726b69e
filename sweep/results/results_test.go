package results

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"learnedopt/compare"
	"learnedopt/optimizer"
)

func TestCurveSteps(t *testing.T) {
	for _, steps := range []int{1, 7, 200, 201, 999, 10000} {
		at := curveSteps(steps)
		if len(at) > 201 || at[0] != 0 || at[len(at)-1] != steps || len(at) != min(steps, 200)+1 {
			t.Errorf("%d steps: %d points from %d to %d", steps, len(at), at[0], at[len(at)-1])
		}
		for i := 1; i < len(at); i++ {
			if gap := at[i] - at[i-1]; gap < 1 || float64(gap) > float64(steps)/float64(len(at)-1)+1 {
				t.Errorf("%d steps: a gap of %d at %d", steps, gap, at[i])
			}
		}
	}
}

// Computed by hand: two instances whose mean loss is 10 at steps 0 … 4 and then 9, 8, 7 …
func TestSpeedUpByHand(t *testing.T) {
	var a, b []float64
	for s := range 31 {
		mean := 10 - float64(max(0, s-4))
		a, b = append(a, mean+1), append(b, mean-1)
	}
	const steps = 10
	r := Record{Steps: steps}
	r.SetReach([]optimizer.Outcome{{Losses: a}, {Losses: b}}, 30)
	// The mean of the last five at step s ≥ 8 is 10 − (s − 4) + 2 = 16 − s.
	for _, c := range []struct {
		final     float64
		steps     float64
		censored  bool
		censoring string
	}{{10, 0, false, ""}, {8, 8, false, ""}, {3.5, 13, false, ""}, {-14, 30, false, ""}, {-14.5, 30, true, ""}} {
		s, ok := r.speedUp(compare.Number(c.final))
		if !ok || s.Steps != c.steps || s.Factor != c.steps/steps || s.Censored != c.censored {
			t.Errorf("a final loss of %v: %+v, want %v steps, censored: %v", c.final, s, c.steps, c.censored)
		}
	}
	if _, ok := r.speedUp(compare.Number(math.Inf(1))); ok {
		t.Error("a diverged rule has a speed-up")
	}
	// The search ends where a run diverged, at step 20.
	b = b[:20]
	r.SetReach([]optimizer.Outcome{{Losses: a}, {Losses: b}}, 30)
	if s, _ := r.speedUp(-10); !s.Censored || s.Steps != 19 {
		t.Errorf("after a divergence: %+v, want more than 19 steps", s)
	}
	if s, _ := r.speedUp(5); s.Censored || s.Steps != 11 {
		t.Errorf("before a divergence: %+v, want 11 steps", s)
	}
	// Reach keeps the lowest value even if the curve rises again.
	r = Record{Steps: 3}
	r.SetReach([]optimizer.Outcome{{Losses: []float64{5, 1, 9, 9}}}, 3)
	if want := []compare.Number{5, 3, 3, 3}; !reflect.DeepEqual(r.Reach, want) {
		t.Errorf("reach %v, want %v", r.Reach, want)
	}
	// On long horizons Reach has a value every T/200 steps.
	long := make([]float64, 4001)
	r = Record{Steps: 1000}
	if r.SetReach([]optimizer.Outcome{{Losses: long}}, 4000); r.ReachEvery != 5 || len(r.Reach) != 801 {
		t.Errorf("%d places, %d steps apart", len(r.Reach), r.ReachEvery)
	}
}

// hand is a manifest of two cells with records written by hand: a learned rule, adam twice and sgd.
func hand() (*Manifest, map[string]Record) {
	m := &Manifest{Axes: []Axis{{"units", []string{"5", "10"}}}, Runs: 6, Tune: TuneBoth, Rules: []Rule{
		{Name: "mine", Kind: compare.Learned}, {Name: "adam (tuned here)", Kind: compare.Baseline, Baseline: "adam", Tuned: TuneCell},
		{Name: "adam (tuned on the base task)", Kind: compare.Baseline, Baseline: "adam", Tuned: TuneBase},
	}}
	records := map[string]Record{}
	add := func(cell string, k int, losses []compare.Number, diverged int, reach []compare.Number) {
		key := cell + m.Rules[k].Name
		records[key] = Record{Key: key, Steps: 10, Runs: 6, Seed: 12, Rule: m.Rules[k], MeanLosses: losses, FinalLosses: losses, Diverged: diverged, Reach: reach, ReachEvery: 1}
	}
	inf := compare.Number(math.Inf(1))
	add("5", 0, []compare.Number{1, 2, 3, 1, 2, 3}, 0, nil)
	add("5", 1, []compare.Number{2, 4, 6, 2, 4, 6}, 0, []compare.Number{9, 5, 2})
	add("5", 2, []compare.Number{3, 4, 6, 3, 4, 6}, 0, []compare.Number{9, 8})
	add("10", 0, []compare.Number{1, inf, 3, 1, inf, 3}, 1, nil)
	add("10", 1, []compare.Number{1, 1, 1, 1, 1, 1}, 0, []compare.Number{1})
	for _, v := range m.Axes[0].Values {
		c := Cell{Values: map[string]string{"units": v}, Task: "task " + v, Steps: 10}
		for _, r := range m.Rules {
			c.Keys = append(c.Keys, v+r.Name)
		}
		m.Cells = append(m.Cells, c)
	}
	return m, records
}

func TestResults(t *testing.T) {
	m, records := hand()
	res := m.Results(records)
	d := res.Cells[0].Duels[0]
	if d.Best != "adam (tuned here)" || d.Ratio.Ratio != 0.5 || d.Ratio.CI95 != [2]compare.Number{0.5, 0.5} || d.Ratio.Verdict != compare.Won || d.MeanLoss != 2 || d.BestMeanLoss != 4 {
		t.Errorf("first cell: %+v", d)
	}
	if d.SpeedUp == nil || d.SpeedUpAgainst != "adam (tuned here)" || d.SpeedUp.Steps != 2 || d.SpeedUp.Censored {
		t.Errorf("speed-up %+v against %s", d.SpeedUp, d.SpeedUpAgainst)
	}
	learned := res.Cells[0].Records[0]
	if s := learned.SpeedUp["adam (tuned on the base task)"]; !s.Censored || s.Steps != 1 {
		t.Errorf("against adam of the base task: %+v", s)
	}
	if r := learned.Paired["adam (tuned on the base task)"]; math.Abs(float64(r.Ratio)-6.0/13) > 1e-15 || r.Verdict != compare.Won {
		t.Errorf("paired with adam of the base task: %+v", r)
	}
	if len(records["5mine"].Paired) != 0 {
		t.Error("comparing changed the records")
	}
	d = res.Cells[1].Duels[0]
	if d.Ratio.Verdict != compare.Lost || d.Diverged != 1 || d.SpeedUp != nil || d.Ratio.Ratio.Finite() {
		t.Errorf("second cell: %+v", d)
	}
	if len(res.Summaries) != 1 {
		t.Errorf("%d summaries of one learned rule", len(res.Summaries))
	}
	s := res.Summaries[0]
	if s.Won != 1 || s.Lost != 1 || s.Open != 0 || s.Cells != 2 || s.Worst != 1 || !reflect.DeepEqual(s.SpeedUps, []SpeedUp{{2, 0.2, false}}) || res.Missing != 1 {
		t.Errorf("summary %+v, %d missing", s, res.Missing)
	}
	data, err := json.Marshal(res)
	if err != nil || !strings.Contains(string(data), `"ratio":null`) {
		t.Errorf("results in JSON: %v", err)
	}
	// Without divergences the largest ratio is the worst, wherever it stands.
	for k, losses := range [][2]compare.Number{{3, 2}, {2, 3}, {3, 3}} {
		worst := k % 2 // the first of equal ones
		m, records := hand()
		for cell, loss := range map[string]compare.Number{"5": losses[0], "10": losses[1]} {
			r := records[cell+"mine"]
			r.MeanLosses, r.Diverged = slices.Repeat([]compare.Number{loss}, 6), 0
			records[cell+"mine"] = r
			r = records[cell+"adam (tuned here)"]
			r.MeanLosses = slices.Repeat([]compare.Number{4}, 6)
			records[cell+"adam (tuned here)"] = r
		}
		if got := m.Results(records).Summaries[0].Worst; got != worst {
			t.Errorf("losses of %v: the worst cell is %d", losses, got)
		}
	}
	// Equal rules: nothing is decided.
	r := records["5mine"]
	r.MeanLosses = records["5adam (tuned here)"].MeanLosses
	records["5mine"] = r
	if d := m.Results(records).Cells[0].Duels[0]; d.Ratio.Verdict != Open || d.Ratio.Ratio != 1 {
		t.Errorf("against an equal: %+v", d)
	}
}

// A step of mine takes 10 ms and one of adam 2.5 ms: where adam needs 0.2 times the steps, it needs 0.05 times the time. Without one
// of the two times there is nothing to say.
func TestSpeedUpInTime(t *testing.T) {
	m, records := hand()
	set := func(key string, s *compare.StepTime) {
		r := records[key]
		r.StepTime = s
		records[key] = r
	}
	set("5mine", &compare.StepTime{Gradient: 0.002, Update: 0.008})
	res := m.Results(records)
	if d := res.Cells[0].Duels[0]; d.SpeedUpInTime != nil || d.StepTime.Update != 0.008 || len(res.Summaries[0].InTime) != 0 {
		t.Errorf("without adam's time: %+v in time, %+v", d.SpeedUpInTime, res.Summaries[0])
	}
	set("5adam (tuned on the base task)", &compare.StepTime{Gradient: 1}) // not the one that counts
	set("5adam (tuned here)", &compare.StepTime{Gradient: 0.002, Update: 0.0005})
	res = m.Results(records)
	if d := res.Cells[0].Duels[0]; d.SpeedUpInTime == nil || math.Abs(d.SpeedUpInTime.Factor-0.05) > 1e-12 || d.SpeedUpInTime.Censored || d.SpeedUp.Factor != 0.2 {
		t.Errorf("speed-up %+v, in time %+v", d.SpeedUp, d.SpeedUpInTime)
	}
	if s := res.Summaries[0]; len(s.InTime) != 1 || s.InTime[0].Steps != 2 {
		t.Errorf("summary %+v", s)
	}
	// A bound stays one. There is none in time for a rule that takes no time.
	if s := (SpeedUp{Factor: 4, Censored: true}).inTime(&compare.StepTime{Update: 1}, &compare.StepTime{Update: 2}); s.Factor != 2 || !s.Censored {
		t.Errorf("%+v", s)
	}
	if s := (SpeedUp{Factor: 4}).inTime(&compare.StepTime{Update: 1}, &compare.StepTime{}); s != nil {
		t.Errorf("%+v", s)
	}
}

func TestMedianSpeedUp(t *testing.T) {
	exact := func(factors ...float64) (all []SpeedUp) {
		for _, f := range factors {
			all = append(all, SpeedUp{Factor: f})
		}
		return all
	}
	bound := SpeedUp{Factor: 4, Censored: true}
	for _, c := range []struct {
		ups     []SpeedUp
		want    float64
		atLeast bool
		text    string
	}{
		{exact(3), 3, false, "3.00×"}, {exact(1, 2, 9), 2, false, "2.00×"}, {exact(0.05, 0.05, 3, 4), 0.05, false, "0.05×"},
		{append(exact(1, 2), bound), 2, false, "2.00×"}, {append(exact(1), bound, bound), 4, true, "at least 4×"},
		{[]SpeedUp{{Factor: 1, Censored: true}, {Factor: 2}, {Factor: 3}}, 2, true, "at least 2×"},
		{[]SpeedUp{{Factor: 2, Censored: true}, {Factor: 2}, {Factor: 1}, {Factor: 3}}, 2, false, "2.00×"}, // 2 before the bound 2
		{[]SpeedUp{{Factor: 2, Censored: true}, {Factor: 2}, {Factor: 1}, {Factor: 3}, {Factor: 3}}, 2, true, "at least 2×"},
	} {
		shuffled := slices.Clone(c.ups)
		slices.Reverse(shuffled)
		before := slices.Clone(shuffled)
		got, ok := MedianOf(shuffled)
		if !ok || got.Factor != c.want || got.AtLeast != c.atLeast {
			t.Errorf("median of %v: %v", c.ups, got)
		}
		if text := got.String(); text != c.text {
			t.Errorf("median of %v: %q, want %q", c.ups, text, c.text)
		}
		if !slices.Equal(shuffled, before) {
			t.Errorf("the median of %v put them into another order", before)
		}
	}
	if _, ok := MedianOf(nil); ok {
		t.Error("a median of nothing")
	}
}

func TestCSV(t *testing.T) {
	m, records := hand()
	rate := 0.05
	tuned := records["5adam (tuned here)"]
	tuned.Rule.LearningRate = &rate
	records[tuned.Key] = tuned
	by, other := 0.3, records["10mine"]
	other.Rule.Multiplier, other.StepTime = &by, &compare.StepTime{Gradient: 0.001, Update: 0.004}
	records[other.Key] = other
	var b bytes.Buffer
	if err := m.Results(records).WriteCSV(&b); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 1+5*6 {
		t.Fatalf("%d rows, want a header and five records of six instances", len(rows))
	}
	want := [][]string{
		{"units", "task", "steps", "rule", "kind", "tuned", "learning_rate", "seed", "instance", "mean_loss", "final_loss", "diverged", "key",
			"multiplier", "gradient_seconds", "update_seconds"},
		{"5", "task 5", "10", "mine", "learned", "", "", "12", "0", "1", "1", "false", "5mine", "", "", ""},
	}
	if !reflect.DeepEqual(rows[:2], want) {
		t.Errorf("rows %q, want %q", rows[:2], want)
	}
	if got := rows[7]; got[3] != "adam (tuned here)" || got[5] != TuneCell || got[6] != "0.05" {
		t.Errorf("a tuned rule's row is %q", got)
	}
	if got := rows[20]; !reflect.DeepEqual(got[13:], []string{"0.3", "0.001", "0.004"}) {
		t.Errorf("a timed rule's row is %q", got)
	}
	if got := rows[20]; got[0] != "10" || got[8] != "1" || got[9] != "" || got[11] != "true" {
		t.Errorf("a diverged run's row is %q", got)
	}
}

// A failed write is an error.
func TestCSVPassesErrorsOn(t *testing.T) {
	m, records := hand()
	full := errors.New("the disk is full")
	if err := m.Results(records).WriteCSV(failing{full}); !errors.Is(err, full) {
		t.Errorf("error %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// Best is the tuned rule with the fewest divergences. If it diverged there is a verdict but no finite ratio, and the cell does
// not count as the worst.
func TestABestRuleThatDiverged(t *testing.T) {
	m, records := hand()
	inf := compare.Number(math.Inf(1))
	for key, losses := range map[string][]compare.Number{"5mine": {9, 9, 9}, "5adam (tuned here)": {1, inf, 1}, "5adam (tuned on the base task)": {inf, 1, inf},
		"10mine": {1, 1, 1}, "10adam (tuned here)": {4, 4, 4}} {
		r := records[key]
		losses = slices.Concat(losses, losses)
		r.MeanLosses, r.Diverged = losses, 0
		for _, x := range losses {
			if !x.Finite() {
				r.Diverged++
			}
		}
		records[key] = r
	}
	res := m.Results(records)
	d := res.Cells[0].Duels[0]
	if d.Best != "adam (tuned here)" || d.BestDiverged != 2 || d.BestMeanLoss.Finite() || d.Ratio.Verdict != compare.Won || d.Ratio.Ratio.Finite() || d.Ratio.CI95[0].Finite() {
		t.Errorf("%+v", d)
	}
	if s := res.Summaries[0]; s.Won != 2 || s.Worst != 1 {
		t.Errorf("%+v", s)
	}
	data, err := json.Marshal(res)
	if err != nil || strings.Contains(string(data), "Inf") {
		t.Errorf("results in JSON: %v", err)
	}
}

// A learned rule is paired with the hand-designed rules that ran on the same instances for the same number of steps, and with
// no other learned rule.
func TestOnlyTheSameInstancesArePaired(t *testing.T) {
	record := func(name, kind string, change func(*Record)) Record {
		r := validRecord()
		r.Rule = Rule{Name: name, Kind: kind}
		change(&r)
		return r
	}
	as := func(*Record) {}
	c := Compare(Cell{}, []Record{
		record("l", compare.Learned, as), record("other", compare.Learned, as), record("adam", compare.Baseline, as),
		record("another seed", compare.Baseline, func(r *Record) { r.Seed++ }), record("longer", compare.Baseline, func(r *Record) { r.Steps++ }),
		record("more runs", compare.Baseline, func(r *Record) { r.Runs, r.MeanLosses, r.FinalLosses = 1, r.MeanLosses[:1], r.FinalLosses[:1] }),
	})
	for k, name := range []string{"l", "other"} {
		if p := c.Records[k].Paired; len(p) != 1 || p["adam"].Verdict != Open || len(c.Records[k].SpeedUp) != 1 {
			t.Errorf("%s is paired with %v, speed-ups %v", name, p, c.Records[k].SpeedUp)
		}
	}
	if len(c.Duels) != 2 || c.Duels[1].Rule != "other" || c.Duels[1].Best != "adam" {
		t.Errorf("duels %+v", c.Duels)
	}
}

// Cells that have no record of a learned rule yet are not counted for it.
func TestCellsToCome(t *testing.T) {
	m, records := hand()
	delete(records, "5mine")
	res := m.Results(records)
	if s := res.Summaries[0]; s.Cells != 1 || s.Lost != 1 || s.Worst != 1 || len(res.Cells[0].Duels) != 0 || res.Missing != 2 {
		t.Errorf("%+v, %d missing", s, res.Missing)
	}
	delete(records, "10mine")
	if s := m.Results(records).Summaries[0]; s.Cells != 0 || s.Worst != -1 {
		t.Errorf("%+v", s)
	}
}

// The speed-up is against adam as it was tuned in the cell, wherever it stands, or else on the base task.
func TestWhichAdamSpeedsAreMeasuredBy(t *testing.T) {
	record := func(name, tuned string) Record {
		r := validRecord()
		r.Rule = Rule{Name: name, Kind: compare.Baseline, Tuned: tuned}
		return r
	}
	learned := validRecord()
	learned.Rule = Rule{Name: "l", Kind: compare.Learned}
	here, base := record("here", TuneCell), record("base", TuneBase)
	for _, c := range []struct {
		tuned []Record
		want  string
	}{{[]Record{here, base}, "here"}, {[]Record{base, here}, "here"}, {[]Record{base}, "base"}, {nil, ""}} {
		d := Compare(Cell{}, append([]Record{learned}, c.tuned...)).Duels[0]
		if d.SpeedUpAgainst != c.want || (d.SpeedUp != nil) != (c.want != "") {
			t.Errorf("of %d rules the speed-up %v is against %q, want %q", len(c.tuned), d.SpeedUp, d.SpeedUpAgainst, c.want)
		}
	}
}

// A record is of the horizon's steps, though the runs are longer: what diverges beyond does not count.
func TestNewRecord(t *testing.T) {
	inf := compare.Number(math.Inf(1))
	diverged := func(step int) *optimizer.DivergedError { return &optimizer.DivergedError{Step: step, What: "update"} }
	r := NewRecord(compare.Contender{Name: "x", Kind: compare.Baseline}, []optimizer.Outcome{
		{Losses: []float64{3, 2, 1, 9}}, {Losses: []float64{5, 4}, Diverged: diverged(1)}, {Losses: []float64{6, 6, 6, 7}, Diverged: diverged(3)},
	}, 2, 7)
	r.Key = "k" // the caller's
	if err := r.Validate(); err != nil {
		t.Error(err)
	}
	if r.Steps != 2 || r.Runs != 3 || r.Seed != 7 || r.Diverged != 1 || len(r.DivergedAt) != 1 || !strings.HasPrefix(r.DivergedAt[0], "instance 1: optimizer: diverged at step 1") {
		t.Errorf("%+v", r)
	}
	if !slices.Equal(r.MeanLosses, []compare.Number{2, inf, 6}) || !slices.Equal(r.CurveSteps, []int{0, 1, 2}) || r.Curve[0] < 4.66 || r.Curve[0] > 4.67 || r.Curve[1] != 4 || r.Curve[2] != inf {
		t.Errorf("losses %v, curve %v at %v", r.MeanLosses, r.Curve, r.CurveSteps)
	}
}
