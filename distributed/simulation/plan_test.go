package simulation

import "testing"

// The plan says what the documentation draws from it: with one episode a worker, workers wait for the slowest; with eight, less; and
// coordinator and server bound what a thousand workers do.
func TestPlan(t *testing.T) {
	row := func(workers, ratio int) Row {
		r, err := simulate(t.Context(), Config{Workers: workers, Batch: workers * ratio, Windows: 5, Figures: Measured()})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%4d workers, %5d episodes: %6.1f units/s, busy %.3f, queue %.2f, link %.2f, paused %.2f", r.Workers, r.Batch, r.Rate(), r.Busy, r.Queue, r.Link, r.Paused)
		return r
	}
	if one, eight := row(40, 1).Busy, row(40, 8).Busy; one > 0.7 || eight < one+0.15 {
		t.Errorf("40 workers are busy %.2f of the time with one episode each, %.2f with eight", one, eight)
	}
	if r := row(1000, 1); r.Queue < 0.5 || r.Busy > 0.5 {
		t.Errorf("1,000 workers are busy %.2f of the time, the queue %.2f", r.Busy, r.Queue)
	}
}
