package simulation

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"slices"

	"learnedopt/internal/stream"
)

// An event is something that happens at a time. Events of the same time happen in the order in which they were made.
type event struct {
	at float64
	n  int
	do func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].n < e[j].n
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// A station serves one after another.
type station struct{ free, busy float64 }

// serve returns when a service of a length ends that is asked for now.
func (s *station) serve(now, length float64) float64 {
	s.free = math.Max(s.free, now) + length
	s.busy += length
	return s.free
}

type worker struct {
	seconds float64 // of a unit, in the mean
	rng     *rand.Rand
	up      bool // it computes
	known   bool // the coordinator takes it for alive
	life    int  // number of its failures
	phi     int  // the latest version that it has
	queue   []*unit
	busy    bool
	held    int // episodes that it holds
	fresh   int // units that it was given and whose episodes it does not hold
}

// A slot is a place of the meta-batch, with one episode after another.
type slot struct {
	holder  *worker // nil if nobody holds the episode
	started int     // units
	window  int     // of the episode, the next one
	base    int     // the window at which a replay begins
	open    *unit   // that is being computed
}

// A unit is one window of a slot's episode.
type unit struct {
	slot    *slot
	index   int // in its slot
	version int // of φ
	worker  *worker
	life    int // of the worker
	fresh   bool
}

type simulator struct {
	Config
	now    float64
	made   int
	events events
	rng    *rand.Rand

	workers  []*worker
	slots    []*slot
	queue    station
	link     station
	version  int
	idle     []*slot     // that have no open unit
	flying   map[int]int // units that have begun and are not answered, by their version of φ
	inFlight int         // all of them
	lowest   int         // no unit of a version below is flying
	buffer   []*unit     // answers that are in and not used
	in       map[int]int // number of all answers so far, by their index
	pausing  bool        // a meta-step is being taken
	saving   bool        // nobody starts
	paused   float64
	saved    float64

	stale, replayed, failures, most, used int
	work                                  float64
}

// Run simulates.
func Run(c Config) (Result, error) {
	if err := c.Validate(); err != nil {
		return Result{}, err
	}
	s := &simulator{Config: c, rng: stream.New(c.Seed, "fleet", 0), flying: map[int]int{}, in: map[int]int{}}
	for i := range c.Workers {
		w := &worker{rng: stream.New(c.Seed, "fleet worker", uint64(i)), up: true, known: true, phi: -1}
		w.seconds = c.Unit * math.Exp(c.Spread*w.rng.NormFloat64())
		s.workers = append(s.workers, w)
		s.live(w)
	}
	for range c.Batch {
		s.slots = append(s.slots, &slot{window: s.rng.IntN(c.Windows)}) // episodes do not begin together
	}
	s.idle = slices.Clone(s.slots)
	s.start()
	var from Result
	for s.version < c.Steps {
		e := heap.Pop(&s.events).(event)
		s.now = e.at
		e.do()
		if from.Seconds == 0 && s.version >= c.Steps/5 {
			from = s.so()
			s.most = 0
		}
	}
	return s.since(from), nil
}

// so returns totals from the beginning until now: Busy, Queue, Link and Paused in seconds, MeanStale as a sum.
func (s *simulator) so() Result {
	return Result{s.now, s.version, s.used, s.work, s.queue.busy, s.link.busy, s.paused, s.replayed, s.failures, float64(s.stale), s.most}
}

// since returns the result since an earlier moment.
func (s *simulator) since(from Result) Result {
	r := s.so()
	r.Seconds -= from.Seconds
	r.MetaSteps -= from.MetaSteps
	r.Units -= from.Units
	r.Busy = (r.Busy - from.Busy) / r.Seconds / float64(s.Workers)
	r.Queue = (r.Queue - from.Queue) / r.Seconds
	r.Link = (r.Link - from.Link) / r.Seconds
	r.Paused = (r.Paused - from.Paused) / r.Seconds
	r.Replayed -= from.Replayed
	r.Failures -= from.Failures
	r.MeanStale = (r.MeanStale - from.MeanStale) / float64(r.Units)
	return r
}

func (s *simulator) after(span float64, do func()) { s.at(s.now+span, do) }

func (s *simulator) at(when float64, do func()) {
	s.made++
	heap.Push(&s.events, event{when, s.made, do})
}

// service is the time that a part of the work of coordinator and server takes, beside watching the workers.
func (s *simulator) service(length float64) float64 {
	return length / (1 - s.Watch*float64(s.Workers))
}

// start starts the units that may start.
func (s *simulator) start() {
	waiting := s.idle[:0]
	for _, l := range s.idle {
		if !s.begin(l) {
			waiting = append(waiting, l)
		}
	}
	s.idle = waiting
}

// begin starts a slot's next unit, if it may start and there is a worker.
func (s *simulator) begin(l *slot) bool { return !s.saving && s.mayStart(l) && s.send(l) }

func (s *simulator) mayStart(l *slot) bool {
	if s.Mode == Delayed {
		return l.started <= s.version+s.Stale
	}
	// Units are used in the order of their φ, a meta-batch of them in each meta-step. So no unit that starts now is used too late, if
	// those before it are fewer than what the next Stale + 1 meta-steps use.
	steps := s.Stale + 1
	if s.pausing { // one has been taken
		steps--
	}
	return len(s.buffer)+s.inFlight < s.Batch*steps
}

// send sends a slot's next unit to a worker. It returns false if there is none.
func (s *simulator) send(l *slot) bool {
	version := s.version
	if s.Mode == Delayed {
		version = max(l.started-s.Stale, 0)
	}
	u := &unit{slot: l, index: l.started, version: version}
	if !s.give(u) {
		return false
	}
	l.started++
	l.open = u
	s.flying[u.version]++
	s.inFlight++
	return true
}

// give gives a unit to the holder of its episode, else to the worker that would end it first.
func (s *simulator) give(u *unit) bool {
	w := u.slot.holder
	if w == nil {
		least := math.Inf(1)
		for _, other := range s.workers {
			if ends := other.seconds * float64(other.held+other.fresh+1); other.known && ends < least {
				w, least = other, ends
			}
		}
		if w == nil {
			return false
		}
	}
	u.fresh = u.slot.holder != w
	if u.fresh {
		w.fresh++
	}
	u.worker, u.life = w, w.life
	s.at(s.queue.serve(s.now, s.service(s.Queue/2)), func() {
		arrives := s.now
		if w.phi < u.version {
			w.phi = u.version
			arrives = s.link.serve(s.now, s.Phi/s.Link)
		}
		s.at(arrives+2*s.Latency, func() {
			if w.up && w.life == u.life {
				w.queue = append(w.queue, u)
				s.compute(w)
			}
		})
	})
	return true
}

// compute has a worker compute the next unit of its queue, if it has time.
func (s *simulator) compute(w *worker) {
	if w.busy || len(w.queue) == 0 {
		return
	}
	u := w.queue[0]
	w.queue = w.queue[1:]
	w.busy = true
	windows, life := 1, w.life
	if l := u.slot; l.holder != w {
		windows += l.window - l.base
		s.replayed += windows - 1
	}
	span := 0.0
	for range windows {
		span = w.seconds * math.Exp(s.Jitter*w.rng.NormFloat64())
	}
	s.after(span*float64(windows), func() {
		if w.life != life {
			return
		}
		w.busy = false
		s.work += span
		if u.slot.holder != w && u.slot.open == u {
			u.slot.holder = w
			w.held++
			w.fresh--
		}
		s.after(s.Latency, func() { s.at(s.link.serve(s.now, s.Gradient/s.Link), func() { s.answered(u) }) })
		s.compute(w)
	})
}

// answered takes in an answer that is at the server.
func (s *simulator) answered(u *unit) {
	s.after(s.Latency, func() {
		s.at(s.queue.serve(s.now, s.service(s.Queue/2)), func() {
			l, w := u.slot, u.worker
			if l.open != u || w.life != u.life {
				return // another worker has it
			}
			s.landed(u)
			l.open = nil
			if l.window++; l.window == s.Windows {
				l.window, l.base, l.holder = 0, 0, nil
				w.held--
			}
			s.buffer = append(s.buffer, u)
			s.in[u.index]++
			s.step()
			if !s.begin(l) {
				s.idle = append(s.idle, l)
			}
		})
	})
}

// landed says that a unit is not under way any more.
func (s *simulator) landed(u *unit) {
	s.inFlight--
	if s.flying[u.version]--; s.flying[u.version] == 0 {
		delete(s.flying, u.version)
	}
}

// ready returns the answers of the next meta-step, or nil if they are not in.
func (s *simulator) ready() []*unit {
	if s.pausing || len(s.buffer) < s.Batch {
		return nil
	}
	if s.Mode == Delayed {
		if s.in[s.version] < s.Batch {
			return nil
		}
		return slices.DeleteFunc(slices.Clone(s.buffer), func(u *unit) bool { return u.index != s.version })
	}
	for s.flying[s.lowest] == 0 && s.lowest < s.version {
		s.lowest++
	}
	if s.Stale > 0 && s.lowest <= s.version-s.Stale {
		return nil // a gradient that is on its way would be too old afterwards
	}
	slices.SortStableFunc(s.buffer, func(a, b *unit) int { return a.version - b.version })
	return slices.Clone(s.buffer[:s.Batch])
}

// step takes a meta-step if its answers are in.
func (s *simulator) step() {
	batch := s.ready()
	if batch == nil {
		return
	}
	taken, ages, oldest := map[*unit]bool{}, 0, 0
	for _, u := range batch {
		taken[u] = true
		ages += s.version - u.version
		oldest = max(oldest, s.version-u.version)
	}
	s.buffer = slices.DeleteFunc(s.buffer, func(u *unit) bool { return taken[u] })
	s.pausing = true
	pause := 0.0
	if s.ValidEvery > 0 && (s.version+1)%s.ValidEvery == 0 {
		pause += s.Valid
	}
	if s.SaveEvery > 0 && s.now-s.saved >= s.SaveEvery {
		pause += s.State * float64(s.Batch) / s.Link
		s.saved = s.now
		s.saving = true
		for _, l := range s.slots {
			l.base = l.window
		}
	}
	s.paused += pause
	s.after(s.Step+pause, func() {
		s.version++
		s.used += len(batch)
		s.stale += ages
		s.most = max(s.most, oldest)
		s.pausing, s.saving = false, false
		s.step()
		s.start()
	})
}

// live has a worker fail some time from now.
func (s *simulator) live(w *worker) {
	if s.Lifetime == 0 {
		return
	}
	s.after(s.Lifetime*w.rng.ExpFloat64(), func() {
		s.failures++
		w.up, w.busy, w.queue = false, false, nil
		w.life++
		s.after(s.Notice, func() { s.noticed(w) })
		s.after(max(s.Away, s.Notice), func() {
			w.up, w.known, w.phi = true, true, -1
			s.live(w)
			s.start()
		})
	})
}

// noticed gives the work and the episodes of a failed worker to others.
func (s *simulator) noticed(w *worker) {
	w.known, w.fresh, w.held = false, 0, 0
	for _, l := range s.slots {
		if l.holder == w {
			l.holder = nil
		}
		if u := l.open; u != nil && u.worker == w {
			if !s.give(u) { // everybody is away: it is sent with the others
				s.landed(u)
				l.started--
				l.open = nil
				s.idle = append(s.idle, l)
			}
		}
	}
}
