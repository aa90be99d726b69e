package report

import (
	"fmt"
	"math"
	"slices"
)

// When curves count as noisy: they have at least leastNoisy points, half of their steps change the value by more than
// noisyChange of itself, and at least noisyTurns of their points are higher or lower than both neighbours. Losses of
// independent minibatches turn at two thirds of the points.
const (
	leastNoisy  = 40
	noisyChange = 0.08
	noisyTurns  = 0.4
)

// Window returns the number of points that curves should be averaged over to be read: 0 if none of them is noisy, else an odd
// number, a twentieth of the longest curve's length, from 5 to 101. It is one number for all curves of a picture.
func Window(curves ...[]float64) int {
	longest := 0
	noisy := false
	for _, y := range curves {
		longest = max(longest, len(y))
		noisy = noisy || isNoisy(y)
	}
	if !noisy {
		return 0
	}
	return min(max(longest/20, 5), 101) | 1
}

func isNoisy(y []float64) bool {
	if len(y) < leastNoisy {
		return false
	}
	var changes []float64
	turns, before := 0, 0.0
	for i := 1; i < len(y); i++ {
		d := y[i] - y[i-1]
		size := (math.Abs(y[i]) + math.Abs(y[i-1])) / 2
		if !finite(d) || size == 0 {
			before = 0
			continue
		}
		changes = append(changes, math.Abs(d)/size)
		if d*before < 0 {
			turns++
		}
		before = d
	}
	if len(changes) < leastNoisy/2 {
		return false
	}
	slices.Sort(changes)
	return changes[len(changes)/2] > noisyChange && float64(turns) > noisyTurns*float64(len(changes))
}

// MovingAverage returns the means of window neighbouring points: as many before as after each point, so fewer near the start, where
// the first value is that of y, and fewer after it at the end. A window that holds a non-finite value gives NaN.
func MovingAverage(y []float64, window int) []float64 {
	if y == nil {
		return nil
	}
	means := make([]float64, len(y))
	for i := range y {
		reach := min(window/2, i)
		near := y[i-reach : min(i+reach+1, len(y))]
		sum := 0.0
		for _, v := range near {
			sum += v
		}
		if means[i] = sum / float64(len(near)); !finite(means[i]) {
			means[i] = math.NaN()
		}
	}
	return means
}

// smooth replaces the series of one picture by averages over window points, and returns what the axis of steps then says. A window of 0
// means that of Window, and 1 leaves the series as they are.
func smooth(window int, series ...[]Series) (note string) {
	if window == 0 {
		var means [][]float64
		for _, of := range series {
			for _, s := range of {
				means = append(means, s.Mean)
			}
		}
		window = Window(means...)
	}
	if window <= 1 {
		return ""
	}
	for _, of := range series {
		for i := range of {
			s := &of[i]
			s.raw, s.Mean, s.Lo, s.Hi = s.Mean, MovingAverage(s.Mean, window), MovingAverage(s.Lo, window), MovingAverage(s.Hi, window)
		}
	}
	return fmt.Sprintf(" (lines: means of %d points; faint: each point)", window)
}
