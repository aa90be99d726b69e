package distributed

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"learnedopt/distributed/fleet"
)

// A crew is what a coordinator knows of the workers of its job. It decides who gets a piece of work, who is dead, and who is
// slow.
type crew struct {
	q       *queue
	changed chan struct{} // something is to be reviewed
	sub     *nats.Subscription

	mu      sync.Mutex
	workers map[string]*member
	refused map[string]bool // workers that were reported
	spans   []float64       // seconds of the answers of this call
	began   time.Time       // of this call
	waiting int             // pieces of this call that are not answered
	units   int             // answers that were used
	again   int             // copies beyond the first of a piece
	lonely  time.Time       // since when there is no worker; zero if there is one
	told    bool            // whether that was reported
}

// A member is a worker that serves the job.
type member struct {
	name    string
	process string
	slots   int
	units   int // its answers that were used
	replays int // windows that it computed again for them
	seen    time.Time
	misses  int     // pings in a row that nobody received
	pending int     // copies that it was given and did not answer
	fresh   int     // those of them whose episodes it does not hold
	held    int     // states of episodes that it holds
	seconds float64 // of one piece, smoothed; 0 before the first
}

// silence is the number of pings in a row without a receiver after which a worker is dead: its process has ended. Whose
// connection is broken has not lost its receiver, and is dead after the lease.
const silence = 3

// most is the largest number of pieces that a worker is given in advance.
const most = 64

// room returns how many pieces a worker may have: those that it computes, the next one, and as many as it computes in the time ahead. If
// ahead is 0, there is always room.
func (m *member) room(ahead time.Duration) int {
	switch {
	case ahead == 0:
		return math.MaxInt
	case m.seconds == 0:
		return m.slots + 1
	}
	return m.slots + 1 + int(math.Min(most, ahead.Seconds()/m.seconds*float64(m.slots)))
}

func newCrew(q *queue) *crew {
	return &crew{q: q, changed: make(chan struct{}, 1), workers: map[string]*member{}, refused: map[string]bool{}}
}

func (c *crew) change() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// listen begins to hear what workers say, and asks who is there.
func (c *crew) listen(context.Context) (err error) {
	c.sub, err = c.q.conn.nc.Subscribe(aliveSubject, func(m *nats.Msg) { c.heard(m.Data) })
	if err == nil {
		err = c.q.conn.nc.Publish(helloSubject, nil)
	}
	return err
}

func (c *crew) close() {
	if c.sub != nil {
		_ = c.sub.Unsubscribe() // the connection may be closed already
	}
}

// heard takes in what a worker says.
func (c *crew) heard(data []byte) {
	p, err := readPresence(data)
	if err != nil {
		return // a stranger's; the real ones come again
	}
	mine, known := p.Jobs[c.q.id]
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.workers[p.Name]
	switch {
	case !known || mine.Refused != "" || p.Protocol != Protocol:
		if mine.Refused != "" && !c.refused[p.Name] && len(c.refused) < maxSlots {
			c.refused[p.Name] = true
			c.q.options.Note("worker %s does not take part: %.300s", p.Name, mine.Refused)
		}
		if m != nil { // it has left
			m.seen = time.Time{}
			c.change()
		}
		return
	case m == nil:
		if len(c.workers) >= maxSlots {
			return
		}
		m = &member{name: p.Name, process: p.Process}
		c.workers[p.Name] = m
		c.q.options.Note("worker %s takes part: %s, %d units at a time", p.Name, p.Process, p.Slots)
		c.change()
	}
	m.slots, m.seen, m.misses = c.q.job.atATime(p.Slots), time.Now(), 0
}

// watch pings the workers that have work, to find soon that one has ended.
func (c *crew) watch(ctx context.Context) {
	every := min(c.q.options.Lease/8, 250*time.Millisecond)
	for sleep(ctx, every) == nil {
		c.mu.Lock()
		var busy []string
		for name, m := range c.workers {
			if m.pending > 0 {
				busy = append(busy, name)
			}
		}
		c.mu.Unlock()
		var wg sync.WaitGroup
		for _, name := range busy {
			wg.Go(func() {
				_, err := c.q.conn.nc.Request(pingSubject(name), nil, every)
				c.mu.Lock()
				defer c.mu.Unlock()
				m := c.workers[name]
				switch {
				case m == nil:
				case errors.Is(err, nats.ErrNoResponders):
					if m.misses++; m.misses >= silence {
						c.change()
					}
				case err == nil:
					m.misses, m.seen = 0, time.Now()
				}
			})
		}
		wg.Wait()
	}
}

// start begins a call with a number of pieces.
func (c *crew) start(pieces int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spans, c.began, c.waiting = c.spans[:0], time.Now(), pieces
}

// place chooses the worker for one more copy of a piece, or returns nil if there is none: the one that the piece prefers, else
// the one that would have done it first.
func (c *crew) place(p *piece) *copyOf {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	var best *member
	if m := c.workers[p.prefer]; m != nil && !p.has(p.prefer) {
		best = m
	} else {
		known, sum := 0, 0.0
		for _, m := range c.workers {
			if m.seconds > 0 {
				known, sum = known+1, sum+m.seconds
			}
		}
		least := 0.0
		for _, m := range c.workers {
			if p.has(m.name) || p.failed == m.name && len(c.workers) > 1 || m.pending >= m.room(c.q.ahead) {
				continue
			}
			seconds := m.seconds
			if seconds == 0 {
				seconds = 1
				if known > 0 {
					seconds = sum / float64(known)
				}
			}
			// Each episode that it holds is one unit of this meta-step, whether it was given out already or not.
			ends := seconds * float64(m.held+m.fresh+1) / float64(m.slots)
			if best == nil || ends < least || ends == least && m.name < best.name {
				best, least = m, ends
			}
		}
	}
	if best == nil {
		return nil
	}
	fresh := best.name != p.prefer
	best.pending++
	if fresh {
		best.fresh++
	}
	p.copies = append(p.copies, &copyOf{best.name, now, fresh})
	return p.copies[len(p.copies)-1]
}

// drop forgets the copy of a piece that a worker has.
func (c *crew) drop(p *piece, worker string) {
	i := slices.IndexFunc(p.copies, func(copy *copyOf) bool { return copy.worker == worker })
	if i < 0 {
		return
	}
	given := p.copies[i]
	p.copies = slices.Delete(p.copies, i, i+1)
	c.free(given)
}

func (c *crew) free(given *copyOf) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.workers[given.worker]; m != nil {
		m.pending = max(m.pending-1, 0)
		if given.fresh {
			m.fresh = max(m.fresh-1, 0)
		}
	}
}

// done says that a piece was answered.
func (c *crew) done(p *piece, a *answer) {
	began := c.began
	for _, copy := range p.copies {
		c.free(copy)
		if copy.worker == a.Worker {
			began = copy.since
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spans = append(c.spans, time.Since(began).Seconds())
	c.waiting--
	c.units++
	if m := c.workers[a.Worker]; m != nil {
		m.seen = time.Now()
		m.units++
		m.replays += a.Replayed
		if a.Replayed == 0 && a.Seconds > 0 {
			if m.seconds == 0 {
				m.seconds = a.Seconds
			}
			m.seconds += (a.Seconds - m.seconds) / 8
		}
	}
}

// redelivered says that the server took a copy of a piece beyond the first.
func (c *crew) redelivered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.again++
}

// status returns what is known of the workers, by name. Rates are left out.
func (c *crew) status() fleet.Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := fleet.Status{Units: c.units, Waiting: c.waiting, Redelivered: c.again, Workers: []fleet.Worker{}}
	for _, name := range slices.Sorted(maps.Keys(c.workers)) {
		m := c.workers[name]
		s.Workers = append(s.Workers, fleet.Worker{
			Name: name, Process: m.process, Slots: m.slots, Units: m.units, Seconds: m.seconds, Waiting: m.pending, Held: m.held, Replayed: m.replays,
		})
	}
	return s
}

// holds says how many states a worker holds more, or fewer.
func (c *crew) holds(worker string, more int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.workers[worker]; m != nil {
		m.held = max(m.held+more, 0)
	}
}

func (c *crew) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.workers)
}

func (c *crew) empty() bool { return c.count() == 0 }

// review returns the pieces that need one more copy: those that nobody has, and those whose worker is slow. It forgets dead
// workers first.
func (c *crew) review(ctx context.Context, pending map[string]*piece) (again []*piece) {
	now := time.Now()
	if c.q.conn.nc.IsConnected() {
		for _, name := range c.dead(now) {
			for _, p := range pending {
				if p.has(name) {
					c.drop(p, name)
				}
			}
			c.q.options.Note("worker %s has gone; others go on with its episodes", name)
			c.forget(ctx, name)
		}
	} else {
		c.excuse(now)
	}
	limit, slow := c.slow()
	for _, p := range pending {
		switch {
		case now.Before(p.tryAt):
		case len(p.copies) == 0:
			again = append(again, p)
		case slow && len(p.copies) == 1 && now.Sub(p.copies[0].since) > limit && c.idle(p):
			c.q.options.Note("worker %s is slow with %s; another one computes it too", p.copies[0].worker, p.what)
			p.prefer = ""
			again = append(again, p)
		}
	}
	slices.SortFunc(again, func(a, b *piece) int { return a.order - b.order })
	c.alone(now, len(pending))
	return again
}

// dead returns the workers that have ended, left, or been silent for the lease, and takes them off the list.
func (c *crew) dead(now time.Time) (names []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, m := range c.workers {
		if m.misses >= silence || now.Sub(m.seen) > c.q.options.Lease {
			names = append(names, name)
			delete(c.workers, name)
		}
	}
	slices.Sort(names)
	return names
}

// forget empties a dead worker's queue, so that it has nothing old to do if it comes back.
func (c *crew) forget(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if stream, err := c.q.conn.js.Stream(ctx, workStream(c.q.id)); err == nil {
		_ = stream.Purge(ctx, jetstream.WithPurgeSubject(workSubject(c.q.id, name))) // old work costs time and no more
	}
}

// excuse says that nobody could be heard until now, because the server is not there.
func (c *crew) excuse(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.workers {
		m.seen, m.misses = now, 0
	}
}

// slow returns the time after which a piece is late: four times the median of this call's answers, and at least half a lease. ok
// is false before the first answer.
func (c *crew) slow() (limit time.Duration, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.spans) == 0 {
		return 0, false
	}
	sorted := slices.Sorted(slices.Values(c.spans))
	limit = time.Duration(4 * sorted[len(sorted)/2] * float64(time.Second))
	return max(limit, c.q.options.Lease/2), true
}

// idle reports whether a worker other than those that have a piece has nothing to do.
func (c *crew) idle(p *piece) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, m := range c.workers {
		if m.pending == 0 && !p.has(name) {
			return true
		}
	}
	return false
}

// alone notes, once, that there is work and nobody to do it.
func (c *crew) alone(now time.Time, pending int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case len(c.workers) > 0:
		c.lonely, c.told = time.Time{}, false
	case c.lonely.IsZero():
		c.lonely = now
	case !c.told && now.Sub(c.lonely) > time.Second:
		c.told = true
		c.q.options.Note("%d pieces of work wait, and no worker is there; start one on any machine: metaopt worker --nats URL", pending)
	}
}
