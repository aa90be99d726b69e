package distributed

import (
	"context"
	"time"

	"learnedopt/distributed/fleet"
)

// Watch calls show with the state of the queue and its workers, now and then once in every span, until the context ends. It may run
// beside the training. Rates are of the last span; they are 0 at first.
func (c *Coordinator) Watch(ctx context.Context, every time.Duration, show func(*fleet.Status)) {
	var before fleet.Status
	last := time.Now()
	for {
		s := c.queue.crew.status()
		now := time.Now()
		rates(&s, &before, now.Sub(last))
		show(&s)
		before, last = s, now
		if sleep(ctx, every) != nil {
			return
		}
	}
}

// rates fills in the rates of a status from one that is older by span.
func rates(s, before *fleet.Status, span time.Duration) {
	if len(before.Workers) == 0 && before.Units == 0 || span <= 0 {
		return
	}
	s.Rate = float64(s.Units-before.Units) / span.Seconds()
	units := map[string]int{}
	for _, w := range before.Workers {
		units[w.Name] = w.Units
	}
	for i := range s.Workers {
		w := &s.Workers[i]
		w.Rate = max(float64(w.Units-units[w.Name]), 0) / span.Seconds() // one that has gone and come back counts anew
	}
}
