package command

import (
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// A meter is a progress bar on a terminal, with the rate and the remaining time. If stderr is no terminal, or with --quiet,
// it shows nothing.
type meter struct {
	bar   *progressbar.ProgressBar
	file  *os.File // the terminal
	fixed int      // columns of the line beside the text
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

// Widths in columns of the parts of a meter's line.
const (
	widestBar, narrowestBar = 24, 5
	usualText               = 45
	frame                   = 9 // " 100% |" and "| "
	byteCount               = 26
)

// meter returns a meter of a phase that ends at max. beside is the number of columns that options add after the bar.
func (a *app) meter(max int64, text string, beside int, more ...progressbar.Option) *meter {
	m := &meter{max: max, began: time.Now()}
	f := terminal(a.stderr)
	if f == nil || a.quiet {
		return m
	}
	m.text.Store(text)
	m.unit.Store("")
	m.file = f
	width := min(widestBar, m.columns()-frame-beside-usualText)
	if width < narrowestBar {
		width = narrowestBar
	}
	m.fixed = frame + beside + width
	m.bar = progressbar.NewOptions64(max, append([]progressbar.Option{
		progressbar.OptionSetWriter(f),
		progressbar.OptionSetDescription(fit(text, "", m.columns()-m.fixed)),
		progressbar.OptionSetWidth(width),
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
	digits := len(strconv.FormatInt(max, 10))
	return a.meter(max, text, 2*digits+len("(/) "), progressbar.OptionShowCount())
}

// bytes returns a meter for a download. The bar itself shows the rate.
func (a *app) bytes(max int64, text string) *meter {
	return a.meter(max, text, byteCount, progressbar.OptionShowBytes(true), progressbar.OptionShowTotalBytes(true))
}

// clock returns a meter that shows the elapsed time, up to limit. It needs no calls of set.
func (a *app) clock(limit time.Duration, text string) *meter {
	m := a.meter(limit.Milliseconds(), text, 0)
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
			var end string
			if limit := time.Duration(m.limit.Load()); limit > 0 {
				m.set(elapsed.Milliseconds())
				end = fmt.Sprintf(", %v left", left(limit-elapsed))
			} else {
				end = pace(m.n.Load(), m.max, elapsed, m.unit.Load().(string))
			}
			m.bar.Describe(fit(m.text.Load().(string), end, m.columns()-m.fixed))
		}
	}
}

// columns returns the width of the terminal, less one: some terminals break a line that is full.
func (m *meter) columns() int {
	if width, _, err := term.GetSize(int(m.file.Fd())); err == nil && width > 0 {
		return width - 1
	}
	return 79
}

// fit returns text and end in at most the given number of columns. It shortens the text, and leaves out the end where there is no
// room for both.
func fit(text, end string, columns int) string {
	const least = 8 // of the text before the end
	room := columns - utf8.RuneCountInString(end)
	if room < least && room < utf8.RuneCountInString(text) {
		end, room = "", columns
	}
	if letters := []rune(text); len(letters) > room {
		text = ""
		if room > 0 {
			text = string(letters[:room-1]) + "…"
		}
	}
	return text + end
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
