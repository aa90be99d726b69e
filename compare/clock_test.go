package compare

import (
	"testing"
	"time"
)

// A busy core makes wall times longer and CPU times not. Short parts, and parts in which the process waits for something
// else, are wall times; so are all where the CPU time is not known.
func TestMedianOfTwoClocks(t *testing.T) {
	for _, c := range []struct {
		what      string
		wall, cpu []time.Duration // milliseconds
		want      float64
	}{
		{"computing alone", []time.Duration{4, 4, 5}, []time.Duration{4, 4, 5}, 0.004},
		{"interrupted", []time.Duration{40, 60, 12}, []time.Duration{4, 5, 4}, 0.004},
		{"waiting", []time.Duration{40, 60, 12}, []time.Duration{0, 1, 0}, 0.040},
		{"without a CPU clock", []time.Duration{40, 60, 12}, []time.Duration{0, 0, 0}, 0.040},
		{"on two cores", []time.Duration{4, 4, 4}, []time.Duration{8, 8, 8}, 0.004},
		{"short", []time.Duration{0, 0, 12}, []time.Duration{0, 0, 3}, 0},
	} {
		var s spans
		begin := time.Now()
		for i := range c.wall {
			s.add(clocks{begin, time.Hour}, clocks{begin.Add(c.wall[i] * time.Millisecond), time.Hour + c.cpu[i]*time.Millisecond})
		}
		if got := s.median(); got != c.want {
			t.Errorf("%s: %v s, want %v", c.what, got, c.want)
		}
	}
}

// CPU time goes on while this process computes, and no faster than the wall clock on so many threads.
func TestCPUTime(t *testing.T) {
	begin := readClocks()
	if begin.cpu == 0 {
		t.Skip("this system does not tell the CPU time of a process")
	}
	x := 1.0
	for readClocks().cpu-begin.cpu < 20*time.Millisecond {
		for range 10000 {
			x = 1/x + 1
		}
		if time.Since(begin.wall) > time.Minute {
			t.Fatalf("a minute of computing (%v) took %v of CPU time", x, readClocks().cpu-begin.cpu)
		}
	}
}
