package htmlreport

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// How often a stream looks for changes, how often it sends a sign of life, and how long a write may take.
const (
	pollEvery   = 250 * time.Millisecond
	pingEvery   = 15 * time.Second
	writeWithin = 10 * time.Second
)

// A cursor holds which part of a reader's content a page has received.
type cursor struct {
	told                       bool
	epoch, version, comparison int
	episodes, validations      int
}

// message returns the next message for a page and moves the cursor. The event is "reset" with the whole
// content, "append" with the changes, or "" if nothing has changed. In an "append" lists hold only their new elements,
// Cells holds only the changed cells, and Comparison is nil if it has not changed.
func (c *cursor) message(r *reader) (event string, s *Source) {
	if c.told && c.version == r.version {
		return "", nil
	}
	s = r.source()
	fresh := !c.told || c.epoch != r.epoch
	compared := c.comparison != r.comparison
	from := *c
	*c = cursor{told: true, epoch: r.epoch, version: r.version, comparison: r.comparison}
	if s.Run != nil {
		c.episodes, c.validations = len(s.Run.Episodes), len(s.Run.Validations)
	}
	changed := r.cells
	r.cells = map[int]bool{}
	if fresh {
		return "reset", s
	}
	if s.Run != nil {
		run := *s.Run
		run.Episodes, run.Validations = run.Episodes[from.episodes:], run.Validations[from.validations:]
		if !compared {
			run.Comparison = nil
		}
		s.Run = &run
	}
	if s.Sweep != nil {
		sweep := *s.Sweep
		sweep.Cells = slices.DeleteFunc(slices.Clone(sweep.Cells), func(c Cell) bool { return !changed[c.Index] })
		s.Sweep = &sweep
	}
	return "append", s
}

// stream sends server-sent events until the client disconnects or the server ends. next returns an
// event and its data; the event "" means that there is nothing to send.
func (d *dashboard) stream(w http.ResponseWriter, req *http.Request, next func() (string, any)) {
	select {
	case d.streams <- struct{}{}:
		defer func() { <-d.streams }()
	default:
		w.Header().Set("Retry-After", "5")
		http.Error(w, "too many pages are open; close one", http.StatusServiceUnavailable)
		return
	}
	control := http.NewResponseController(w)
	// The time limits of an ordinary request would end the stream.
	if err := control.SetReadDeadline(time.Time{}); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	send := func(format string, args ...any) bool {
		if control.SetWriteDeadline(time.Now().Add(writeWithin)) != nil {
			return false
		}
		if _, err := fmt.Fprintf(w, format, args...); err != nil {
			return false
		}
		return control.Flush() == nil
	}
	if req.Method == http.MethodHead || !send("retry: 1000\n\n") {
		return
	}
	tick := time.NewTicker(d.every)
	defer tick.Stop()
	for last := time.Now(); ; {
		event, v := next()
		if event != "" {
			data, err := json.Marshal(v) // on one line
			if err != nil || !send("event: %s\ndata: %s\n\n", event, data) {
				return
			}
			last = time.Now()
		} else if time.Since(last) > pingEvery {
			if !send(": here\n\n") {
				return
			}
			last = time.Now()
		}
		select {
		case <-req.Context().Done():
			return
		case <-tick.C:
		}
	}
}
