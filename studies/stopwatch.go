package studies

import (
	"time"

	"learnedopt/internal/cputime"
)

// A stopwatch reads the CPU time of this process, or the wall clock where the system does not tell it, without the time for which it was
// paused. It runs from reset on.
type stopwatch struct {
	spent, from time.Duration
	began       time.Time
	paused      bool
}

func (w *stopwatch) now() time.Duration {
	if t := cputime.Used(); t > 0 {
		return t
	}
	return time.Since(w.began)
}

func (w *stopwatch) reset() {
	*w = stopwatch{began: time.Now()}
	w.from = w.now()
}

func (w *stopwatch) pause() {
	w.spent += w.now() - w.from
	w.paused = true
}

func (w *stopwatch) resume() {
	w.from = w.now()
	w.paused = false
}

// seconds returns the time so far.
func (w *stopwatch) seconds() float64 {
	if w.paused {
		return w.spent.Seconds()
	}
	return (w.spent + w.now() - w.from).Seconds()
}
