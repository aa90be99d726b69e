package command

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	for _, c := range []struct {
		done, max int64
		elapsed   time.Duration
		unit      string
		want      string
	}{
		{0, 10, time.Minute, "runs", ""},
		{5, 10, 10 * time.Second, "runs", ", 30 runs/min, 10s left"},
		{5, 10, 2 * time.Second, "runs", ", 2.5 runs/s, 2s left"},
		{1, 3601, time.Second, "runs", ", 1 runs/s, 1h0m0s left"},
		{4, 10, 10 * time.Second, "", ", 15s left"},
		{10, 10, 10 * time.Second, "runs", ""},
		{3, 10, time.Second, "runs", ", 3 runs/s, 3s left"}, // rounded up
	} {
		if got := pace(c.done, c.max, c.elapsed, c.unit); got != c.want {
			t.Errorf("%d of %d in %v: %q, want %q", c.done, c.max, c.elapsed, got, c.want)
		}
	}
	if got := left(-time.Second); got != 0 {
		t.Errorf("%v are left", got)
	}
}
