package compare_test

import (
	"math"
	"testing"

	"learnedopt/compare"
	"learnedopt/optimizer"
)

// wantInterval checks an interval, averaged over many seeds, against the 95 % interval mean ± 1.96 σ/√n. Each end is a
// quantile of 2,000 resamples. Its standard deviation is 3 % of the half-width, and 0.8 % after averaging 16 seeds. A
// 90 % interval would be 16 % narrower, and a 99 % interval 31 % wider.
func wantInterval(t *testing.T, what string, mean, sigma float64, n int, of func(seed uint64) [2]compare.Number) {
	t.Helper()
	const seeds = 16
	half := 1.96 * sigma / math.Sqrt(float64(n))
	var ends [2]float64
	for seed := range uint64(seeds) {
		for i, x := range of(seed) {
			ends[i] += float64(x) / seeds
		}
	}
	for i, want := range []float64{mean - half, mean + half} {
		if math.Abs(ends[i]-want) > 0.05*half {
			t.Errorf("%s: end %d of the interval is %v, want %v", what, i, ends[i], want)
		}
	}
}

// Half of the instances lie above the mean and half below: by 2 at step 0, by 0 at steps 1 to 5, by 3 at the last five
// steps. So every interval has a different width, and its ends are known.
func TestIntervalsAreOf95Percent(t *testing.T) {
	const n, steps = 400, 10
	outcomes := make([]optimizer.Outcome, n)
	for i := range outcomes {
		sign := float64(1 - 2*(i%2))
		for s := range steps + 1 {
			by := 0.0
			switch {
			case s == 0:
				by = 2
			case s > 5:
				by = 3
			}
			outcomes[i].Losses = append(outcomes[i].Losses, 10+by*sign)
		}
	}
	at := []int{0, 3, 8}
	found := map[uint64]compare.Result{}
	of := func(seed uint64) compare.Result {
		if _, ok := found[seed]; !ok {
			found[seed] = compare.NewResult(compare.Contender{Name: "x", Kind: compare.Learned}, outcomes, at, seed)
		}
		return found[seed]
	}
	wantInterval(t, "mean loss", 10, (2+5*3)/11., n, func(seed uint64) [2]compare.Number { return of(seed).MeanLossCI95 })
	wantInterval(t, "final loss", 10, 3, n, func(seed uint64) [2]compare.Number { return of(seed).FinalLossCI95 })
	for k, sigma := range []float64{2, 0, 3} {
		wantInterval(t, "curve", 10, sigma, n, func(seed uint64) [2]compare.Number {
			r := of(seed)
			return [2]compare.Number{r.CurveCI95[0][k], r.CurveCI95[1][k]}
		})
	}
	if r := of(0); math.Abs(float64(r.MeanLoss-10)) > 1e-10 || math.Abs(float64(r.FinalLoss-10)) > 1e-10 {
		t.Errorf("mean loss %v, final loss %v; want 10", r.MeanLoss, r.FinalLoss)
	}
}

func TestPairedIntervalsAreOf95Percent(t *testing.T) {
	const n = 400
	var a, b []float64
	for i := range n {
		sign := float64(1 - 2*(i%2))
		a, b = append(a, 24+2*sign), append(b, 20)
	}
	of := func(seed uint64) compare.Paired {
		return compare.PairOf(result("a", compare.Learned, a...), result("b", compare.Baseline, b...), seed)
	}
	wantInterval(t, "ratio", 1.2, 0.1, n, func(seed uint64) [2]compare.Number { return of(seed).RatioCI95 })
	wantInterval(t, "difference", 4, 2, n, func(seed uint64) [2]compare.Number { return of(seed).DifferenceCI95 })
	if p := of(0); math.Abs(float64(p.Ratio-1.2)) > 1e-12 || math.Abs(float64(p.Difference-4)) > 1e-12 || p.Verdict != compare.Lost {
		t.Errorf("%+v", p)
	}
}
