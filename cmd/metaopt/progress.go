package main

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// A meter is a progress bar on a terminal. Elsewhere, and with --quiet, it
// shows nothing.
type meter struct {
	bar *progressbar.ProgressBar

	// Of a clock.
	text atomic.Value // string: the description, without the time
	stop chan struct{}
	done chan struct{}
}

// meter returns a meter of a phase that ends at max.
func (a *app) meter(max int64, text string, more ...progressbar.Option) *meter {
	f, ok := a.stderr.(*os.File)
	if !ok || a.quiet || !term.IsTerminal(int(f.Fd())) {
		return &meter{}
	}
	return &meter{bar: progressbar.NewOptions64(max, append([]progressbar.Option{
		progressbar.OptionSetWriter(f),
		progressbar.OptionSetDescription(text),
		progressbar.OptionSetWidth(24),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionSetElapsedTime(false),
		progressbar.OptionThrottle(50 * time.Millisecond),
		progressbar.OptionSetRenderBlankState(true),
		progressbar.OptionClearOnFinish(),
	}, more...)...)}
}

// count returns a meter that shows the number done beside the bar.
func (a *app) count(max int64, text string) *meter {
	return a.meter(max, text, progressbar.OptionShowCount())
}

// bytes returns a meter of a download.
func (a *app) bytes(max int64, text string) *meter {
	return a.meter(max, text, progressbar.OptionShowBytes(true), progressbar.OptionShowTotalBytes(true))
}

// clock returns a meter that follows the time by itself, up to limit.
func (a *app) clock(limit time.Duration, text string) *meter {
	m := a.meter(limit.Milliseconds(), text)
	if m.bar == nil {
		return m
	}
	m.stop, m.done = make(chan struct{}), make(chan struct{})
	m.text.Store(text)
	began := time.Now()
	go func() {
		defer close(m.done)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-m.stop:
				return
			case <-tick.C:
				elapsed := min(time.Since(began), limit)
				m.bar.Describe(fmt.Sprintf("%v/%v %s", elapsed.Truncate(time.Second), limit, m.text.Load()))
				// Short of the end, which would finish the bar.
				m.set(min(elapsed.Milliseconds(), limit.Milliseconds()-1))
			}
		}
	}()
	return m
}

func (m *meter) set(done int64) {
	if m.bar != nil {
		_ = m.bar.Set64(done)
	}
}

func (m *meter) describe(text string) {
	switch {
	case m.bar == nil:
	case m.stop != nil:
		m.text.Store(text)
	default:
		m.bar.Describe(text)
	}
}

// progress is set as the callback that other packages know.
func (m *meter) progress(done, _ int) { m.set(int64(done)) }

// close removes the bar.
func (m *meter) close() {
	if m.bar == nil {
		return
	}
	if m.stop != nil {
		close(m.stop)
		<-m.done
	}
	_ = m.bar.Clear()
}
