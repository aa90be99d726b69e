package compare_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"learnedopt/baselines"
	"learnedopt/compare"
	"learnedopt/optimizer"
)

// result is a Result with the given mean losses.
func result(name, kind string, losses ...float64) compare.Result {
	r := compare.Result{Name: name, Kind: kind}
	for _, x := range losses {
		r.MeanLosses = append(r.MeanLosses, compare.Number(x))
		r.MeanLoss += compare.Number(x / float64(len(losses)))
		if math.IsInf(x, 1) {
			r.Diverged++
		}
	}
	return r
}

// Instances differ tenfold, and the rules differ by a tenth on each instance. The two intervals of the means overlap,
// yet every pair says the same.
func TestPairingDecidesWhatIntervalsCannot(t *testing.T) {
	inf := math.Inf(1)
	hard := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	scaled := func(factor float64) (y []float64) {
		for _, x := range hard {
			y = append(y, factor*x)
		}
		return y
	}
	wavering := scaled(1)
	for i := range wavering {
		wavering[i] += float64(1 - 2*(i%2))
	}
	broken := scaled(0.1)
	broken[3] = inf
	b := result("adam", compare.Baseline, hard...)
	for _, c := range []struct {
		name          string
		losses        []float64
		verdict       string
		ratio, lo, hi float64 // of the ratio
	}{
		{"lower", scaled(0.9), compare.Won, 0.9, 0.9, 0.9},
		{"higher", scaled(1.1), compare.Lost, 1.1, 1.1, 1.1},
		{"equal", hard, compare.Undecided, 1, 1, 1},
		{"diverged", broken, compare.Lost, inf, inf, inf},
	} {
		cmp := compare.Comparison{Runs: 10, Rules: []compare.Result{
			result(c.name, compare.Learned, c.losses...), result("worse", compare.Baseline, scaled(2)...), b,
		}}
		cmp.Pair()
		if len(cmp.Paired) != 1 {
			t.Fatalf("%s: %d pairs, want 1", c.name, len(cmp.Paired))
		}
		p := cmp.Paired[0]
		got := []float64{float64(p.Ratio), float64(p.RatioCI95[0]), float64(p.RatioCI95[1])}
		for i, want := range []float64{c.ratio, c.lo, c.hi} {
			if got[i] != want && !near(got[i], want, 1e-12) {
				t.Errorf("%s: ratio %v, want %v %v %v", c.name, got, c.ratio, c.lo, c.hi)
			}
		}
		if p.Name != c.name || p.Against != "adam" || p.Verdict != c.verdict {
			t.Errorf("%s is said to have %s against %s, want %s", p.Name, p.Verdict, p.Against, c.verdict)
		}
	}
	cmp := compare.Comparison{Runs: 10, Rules: []compare.Result{result("wavering", compare.Learned, wavering...), b}}
	cmp.Pair()
	p := cmp.Paired[0]
	// Differences of ±1: the mean of ten has the standard deviation 1/√10, the interval ±0.62 in the limit.
	if p.Verdict != compare.Undecided || !near(1+float64(p.Difference), 1, 1e-12) || p.DifferenceCI95[0] < -0.8 || p.DifferenceCI95[0] > -0.4 ||
		p.DifferenceCI95[1] < 0.4 || p.DifferenceCI95[1] > 0.8 {
		t.Errorf("differences of ±1 give %+v", p)
	}
}

// A run that diverged has no mean loss. So ratio and difference are unknown, and the numbers of divergences decide. The
// verdict survives JSON.
func TestDivergencesDecide(t *testing.T) {
	inf := math.Inf(1)
	for _, c := range []struct {
		learned, baseline []float64
		own, other        int
		verdict           string
	}{
		{[]float64{3, 3, 3, 3}, []float64{1, 1, inf, 1}, 0, 1, compare.Won},
		{[]float64{1, inf, 1, inf}, []float64{3, 3, inf, 3}, 2, 1, compare.Lost},
		{[]float64{inf, 1, 1, 1}, []float64{3, 3, 3, 3}, 1, 0, compare.Lost},
		{[]float64{inf, 1, 1, 1}, []float64{inf, 3, 3, 3}, 1, 1, compare.Undecided},
		{[]float64{inf, 1, 1, 1}, []float64{3, inf, 3, 3}, 1, 1, compare.Undecided},
		{[]float64{inf, inf, inf, inf}, []float64{inf, inf, inf, inf}, 4, 4, compare.Undecided},
		{[]float64{1e308, 1e308, 1e308, 1e308}, []float64{1, 1, 1, 1}, 0, 0, compare.Undecided}, // the sum overflows float64
	} {
		cmp := compare.Comparison{Runs: 4, Rules: []compare.Result{
			result("same name", compare.Learned, c.learned...), result("same name", compare.Baseline, c.baseline...),
		}}
		cmp.Pair()
		data, err := json.Marshal(cmp)
		if err != nil {
			t.Fatal(err)
		}
		var read compare.Comparison
		if err := json.Unmarshal(data, &read); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(read.Paired, cmp.Paired) {
			t.Errorf("%v against %v: JSON made %+v of %+v", c.learned, c.baseline, read.Paired, cmp.Paired)
		}
		p := cmp.Paired[0]
		for _, x := range []compare.Number{p.Ratio, p.RatioCI95[0], p.RatioCI95[1], p.Difference, p.DifferenceCI95[0], p.DifferenceCI95[1]} {
			if !math.IsInf(float64(x), 1) {
				t.Errorf("%v against %v: %v is known", c.learned, c.baseline, x)
			}
		}
		if own, other := cmp.Diverged(p); own != c.own || other != c.other || p.Verdict != c.verdict {
			t.Errorf("%v against %v: %s by %d to %d divergences, want %s by %d to %d", c.learned, c.baseline, p.Verdict, own, other, c.verdict, c.own, c.other)
		}
	}
}

// The best rule has the fewest divergences, then the lowest mean loss. Among equal rules the first one wins. The order of
// the rules does not matter otherwise.
func TestBest(t *testing.T) {
	inf := math.Inf(1)
	of := func(name string, losses ...float64) compare.Result { return result(name, compare.Baseline, losses...) }
	for _, c := range []struct {
		rules []compare.Result
		want  int
	}{
		{nil, -1}, {[]compare.Result{result("l", compare.Learned, 1)}, -1},
		{[]compare.Result{of("a", 1, 1), of("b", 2, 2)}, 0}, {[]compare.Result{of("a", 2, 2), of("b", 1, 1)}, 1},
		{[]compare.Result{of("a", 1, 1), of("b", 1, 1), of("c", 1, 1)}, 0}, {[]compare.Result{of("a", inf, 0), of("b", 9, 9)}, 1},
		{[]compare.Result{result("l", compare.Learned, 0), of("a", 3), of("b", 2)}, 2},
	} {
		if got := compare.Best(c.rules); got != c.want {
			t.Errorf("the best of %+v is %d, want %d", c.rules, got, c.want)
		}
	}
}

// Among several rules, Diverged counts the divergences of the two rules in the pair.
func TestDivergedCountsTheTwoRules(t *testing.T) {
	inf := math.Inf(1)
	c := compare.Comparison{Runs: 2, Rules: []compare.Result{
		result("l", compare.Learned, 1, inf), result("m", compare.Learned, inf, inf), result("sgd", compare.Baseline, 1, 2), result("adam", compare.Baseline, inf, inf),
	}}
	c.Pair()
	for i, want := range []int{1, 2} {
		if own, other := c.Diverged(c.Paired[i]); own != want || other != 0 {
			t.Errorf("%+v: %d and %d divergences, want %d and 0", c.Paired[i], own, other, want)
		}
	}
	if own, other := c.Diverged(compare.Paired{Name: "l", Against: "adam"}); own != 1 || other != 2 {
		t.Errorf("against adam: %d and %d divergences, want 1 and 2", own, other)
	}
}

// Pairs use the same resamples as the other intervals: the difference from a rule with zero losses is the mean loss
// itself, with the same interval.
func TestPairsAreResampledLikeMeans(t *testing.T) {
	own := compareLines(t).Rules[0]
	p := compare.PairOf(own, result("nothing", compare.Baseline, make([]float64, len(own.MeanLosses))...), 3)
	for i := range 2 {
		if !near(float64(p.DifferenceCI95[i]), float64(own.MeanLossCI95[i]), 1e-12) {
			t.Errorf("interval of the difference %v, of the mean loss %v", p.DifferenceCI95, own.MeanLossCI95)
		}
	}
	if p.Ratio.Finite() || p.RatioCI95[0].Finite() {
		t.Errorf("a ratio to a loss of 0: %v %v", p.Ratio, p.RatioCI95)
	}
}

// Of fewer pairs than LeastPairs there is no verdict, however clear they are. Of so many there is.
func TestFewPairsHaveNoVerdict(t *testing.T) {
	var a, b []float64
	for n := 1; n <= compare.LeastPairs+1; n++ {
		a, b = append(a, 1+0.01*float64(n)), append(b, 2)
		p := compare.PairOf(result("a", compare.Learned, a...), result("b", compare.Baseline, b...), 1)
		want := compare.Won
		if n < compare.LeastPairs {
			want = compare.Undecided
		}
		if p.Verdict != want || !(p.RatioCI95[1] < 0.6) {
			t.Errorf("%d pairs: %s, ratio %v", n, p.Verdict, p.RatioCI95)
		}
	}
}

// If the sum of the losses is not positive, there is no ratio, and the difference decides.
func TestLossesThatAreNotPositiveHaveNoRatio(t *testing.T) {
	cmp := compare.Comparison{Runs: 6, Rules: []compare.Result{result("a", compare.Learned, -5, -4, -3, -5, -4, -3), result("b", compare.Baseline, -2, 0, 2, -2, 0, 2)}}
	cmp.Pair()
	p := cmp.Paired[0]
	if p.Ratio.Finite() || p.Verdict != compare.Won || p.Difference != -4 || !(p.DifferenceCI95[0] < -4 && p.DifferenceCI95[1] < 0) {
		t.Errorf("%+v", p)
	}
}

func TestNothingToPair(t *testing.T) {
	cmp := compare.Comparison{Runs: 1, Rules: []compare.Result{result("a", compare.Learned, 1)}}
	cmp.Pair()
	if cmp.Paired != nil {
		t.Errorf("no hand-designed rule, and %+v", cmp.Paired)
	}
	defer func() {
		if recover() == nil {
			t.Error("two runs, one loss: no panic")
		}
	}()
	cmp.Runs = 2
	cmp.Pair()
}

// Results of separate evaluations, put together, equal the results of one evaluation.
func TestResultsPutTogether(t *testing.T) {
	contenders := []compare.Contender{
		{Name: "sgd", Kind: compare.Baseline, Rule: baselines.SGD{LearningRate: 0.1}, LearningRate: 0.1},
		{Name: "learned", Kind: compare.Learned, Rule: baselines.Adam{LearningRate: 0.001}},
	}
	evaluate := func(c ...compare.Contender) *compare.Comparison {
		cmp, err := compare.Evaluate(t.Context(), compare.EvalConfig{
			Family: family(func(rng *rand.Rand) (optimizer.Problem, error) {
				return &line{c: float64(1 + rng.IntN(9))}, nil
			}),
			Contenders: c, Steps: 7, Runs: 5, Seed: 3,
		})
		if err != nil {
			t.Fatal(err)
		}
		return cmp
	}
	together, apart, learned := evaluate(contenders...), evaluate(contenders[0]), evaluate(contenders[1])
	apart.Rules = append(apart.Rules, learned.Rules...)
	apart.Pair()
	a, _ := json.Marshal(together)
	b, _ := json.Marshal(apart)
	if string(a) != string(b) || len(together.Paired) != 1 {
		t.Errorf("together\n%s\napart\n%s", a, b)
	}
}
