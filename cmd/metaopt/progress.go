package main

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"
)

// A meter is a progress bar on a terminal, with the rate and the remaining time. If stderr is no terminal, or with --quiet,
// it shows nothing.
type meter struct {
	bar   *progressbar.ProgressBar
	max   int64
	began time.Time
	spent atomic.Int64 // time spent before began, in nanoseconds
	limit atomic.Int64 // end of a clock's time, in nanoseconds; 0 if the meter is no clock
	n     atomic.Int64
	text  atomic.Value // string
	unit  atomic.Value // string
	stop  chan struct{}
	done  chan struct{}
}

// meter returns a meter of a phase that ends at max.
func (a *app) meter(max int64, text string, more ...progressbar.Option) *meter {
	m := &meter{max: max, began: time.Now()}
	f := terminal(a.stderr)
	if f == nil || a.quiet {
		return m
	}
	m.text.Store(text)
	m.unit.Store("")
	m.bar = progressbar.NewOptions64(max, append([]progressbar.Option{
		progressbar.OptionSetWriter(f),
		progressbar.OptionSetDescription(text),
		progressbar.OptionSetWidth(24),
		progressbar.OptionSetPredictTime(false), // while the bar stands still, the prediction would be wrong
		progressbar.OptionSetElapsedTime(false),
		progressbar.OptionThrottle(50 * time.Millisecond),
		progressbar.OptionSetRenderBlankState(true),
		progressbar.OptionClearOnFinish(),
	}, more...)...)
	m.stop, m.done = make(chan struct{}), make(chan struct{})
	go m.run()
	return m
}

// count returns a meter that shows the number done beside the bar.
func (a *app) count(max int64, text string) *meter {
	return a.meter(max, text, progressbar.OptionShowCount())
}

// bytes returns a meter for a download. The bar itself shows the rate.
func (a *app) bytes(max int64, text string) *meter {
	return a.meter(max, text, progressbar.OptionShowBytes(true), progressbar.OptionShowTotalBytes(true))
}

// clock returns a meter that shows the elapsed time, up to limit. It needs no calls of set.
func (a *app) clock(limit time.Duration, text string) *meter {
	m := a.meter(limit.Milliseconds(), text)
	m.limit.Store(int64(limit))
	return m
}

// after adds the time that the phase took before it was interrupted.
func (m *meter) after(spent time.Duration) *meter {
	m.spent.Store(int64(spent))
	return m
}

// of sets the name of the counted units, for the rate.
func (m *meter) of(unit string) *meter {
	m.unit.Store(unit)
	return m
}

// run updates the times, also while the number done does not change.
func (m *meter) run() {
	defer close(m.done)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-m.stop:
			return
		case <-tick.C:
			elapsed := time.Since(m.began) + time.Duration(m.spent.Load())
			text := m.text.Load().(string)
			if limit := time.Duration(m.limit.Load()); limit > 0 {
				m.set(elapsed.Milliseconds())
				text += fmt.Sprintf(", %v left", left(limit-elapsed))
			} else {
				text += pace(m.n.Load(), m.max, elapsed, m.unit.Load().(string))
			}
			m.bar.Describe(text)
		}
	}
}

// pace returns the rate and the remaining time at this rate: ", 4.2 runs/s, 12s left". It returns "" before the first unit
// is done and after the last.
func pace(done, max int64, elapsed time.Duration, unit string) string {
	if done <= 0 || done >= max || elapsed <= 0 {
		return ""
	}
	each := elapsed.Seconds() / float64(done)
	text := fmt.Sprintf(", %v left", left(time.Duration(each*float64(max-done)*float64(time.Second))))
	switch {
	case unit == "":
		return text
	case each <= 1:
		return fmt.Sprintf(", %.3g %s/s", 1/each, unit) + text
	}
	return fmt.Sprintf(", %.3g %s/min", 60/each, unit) + text
}

// left rounds a time up to seconds; it is never negative.
func left(d time.Duration) time.Duration {
	return max(0, d+time.Second-1).Truncate(time.Second)
}

// set sets the number done. The bar never becomes completely full: a full bar disappears, and the work after the last step
// may take a while.
func (m *meter) set(done int64) {
	if m.bar != nil {
		m.n.Store(done)
		_ = m.bar.Set64(min(done, m.max-1))
	}
}

func (m *meter) describe(text string) {
	if m.bar != nil {
		m.text.Store(text)
	}
}

// progress is set with the signature of other packages' progress callbacks.
func (m *meter) progress(done, _ int) { m.set(int64(done)) }

// close removes the bar.
func (m *meter) close() {
	if m.bar == nil {
		return
	}
	close(m.stop)
	<-m.done
	_ = m.bar.Clear()
}
