package distributed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// A Worker serves the jobs of a server: it computes what coordinators ask for, until its context ends.
type Worker struct {
	conn    *Conn
	config  WorkerConfig
	name    string
	slots   chan struct{} // holds one value for each unit that may be computed now
	changed chan struct{}
	wrap    func(computer) computer // for tests of faults; nil for none

	mu   sync.Mutex
	jobs map[string]*served
}

// WorkerConfig configures a worker.
type WorkerConfig struct {
	// Slots is the number of units that it computes at a time. Default: GOMAXPROCS.
	Slots int
	// DataDir is the folder of data sets that are read from files. If it is "", tasks.DataDir looks it up.
	DataDir string
	// Build is what the worker says it is. Default: HereBuild().
	Build Build
	// Protocol is the version of the protocol that it speaks. Default: Protocol.
	Protocol int
	// Note, if set, is called with remarks: a job that began, ended or was refused.
	Note func(format string, args ...any)
}

// A served job is one that a worker knows of.
type served struct {
	id     string
	heard  time.Time
	cancel context.CancelCauseFunc
	done   chan struct{}
	// whole is the context of computing. abort ends it when nobody waits for the answers any more.
	whole context.Context
	abort context.CancelFunc
	gate  chan struct{} // holds one value for each piece of the job that is being computed
	spare int           // pieces that wait here for the gate
	JobPresence
	ready bool
	lease time.Duration
}

// computer computes the pieces of one job. It may be called by several goroutines.
type computer interface {
	// compute returns the body of the answer to a piece with the given body, and how many windows it had to compute again. An
	// error that wraps errMissing says that something was not on the server.
	compute(ctx context.Context, body []byte) (answer []byte, replayed int, err error)
	// close ends it. If the worker leaves a job that goes on, it first puts what it holds on the server.
	close(leaves bool)
}

var errJobEnded = errors.New("the job has ended")

var errMissing = errors.New("not on the server")

// NewWorker returns a worker.
func NewWorker(c *Conn, cfg WorkerConfig) (*Worker, error) {
	if cfg.Slots == 0 {
		cfg.Slots = min(runtime.GOMAXPROCS(0), maxSlots)
	}
	if cfg.Slots < 0 || cfg.Slots > maxSlots {
		return nil, fmt.Errorf("distributed: %d units at a time; it must be 1 to %d", cfg.Slots, maxSlots)
	}
	if cfg.Build == (Build{}) {
		cfg.Build = HereBuild()
	}
	if cfg.Protocol == 0 {
		cfg.Protocol = Protocol
	}
	if cfg.Note == nil {
		cfg.Note = func(string, ...any) {}
	}
	w := &Worker{conn: c, config: cfg, name: nuid.Next(), slots: make(chan struct{}, cfg.Slots), changed: make(chan struct{}, 1), jobs: map[string]*served{}}
	for range cfg.Slots {
		w.slots <- struct{}{}
	}
	return w, nil
}

// Name returns the worker's name, which no other worker has.
func (w *Worker) Name() string { return w.name }

// Run serves jobs until the context ends. Then it ends the units that it is computing, and says good-bye.
func (w *Worker) Run(ctx context.Context) error {
	var subs []*nats.Subscription
	subscribe := func(subject string, f nats.MsgHandler) error {
		sub, err := w.conn.nc.Subscribe(subject, f)
		if err != nil {
			return fmt.Errorf("distributed: %s: %w", subject, err)
		}
		subs = append(subs, sub)
		return nil
	}
	err := errors.Join(
		subscribe(pingSubject(w.name), func(m *nats.Msg) { _ = m.Respond(nil) }),
		subscribe(helloSubject, func(*nats.Msg) { w.change() }),
		subscribe(jobSubject, func(m *nats.Msg) { w.heard(ctx, m.Data) }),
	)
	for err == nil {
		w.forgetOld(time.Now())
		w.say()
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-w.changed:
		case <-time.After(w.interval()):
		}
	}
	for _, sub := range subs[min(len(subs), 1):] { // pings are answered to the end
		_ = sub.Unsubscribe()
	}
	w.mu.Lock()
	jobs := make([]*served, 0, len(w.jobs))
	for _, s := range w.jobs {
		jobs = append(jobs, s)
	}
	w.mu.Unlock()
	for _, s := range jobs {
		w.end(s)
	}
	w.say() // without jobs
	_ = w.conn.nc.FlushTimeout(time.Second)
	for _, sub := range subs[:min(len(subs), 1)] {
		_ = sub.Unsubscribe()
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (w *Worker) change() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// interval is the time between two messages that the worker is there: a quarter of the shortest lease, at most half a second.
func (w *Worker) interval() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := 500 * time.Millisecond
	for _, s := range w.jobs {
		if s.lease > 0 {
			d = min(d, s.lease/4)
		}
	}
	return d
}

// say tells coordinators what the worker does.
func (w *Worker) say() {
	w.mu.Lock()
	p := Presence{Protocol: w.config.Protocol, Name: w.name, Process: process(), Build: w.config.Build, Slots: w.config.Slots, Jobs: map[string]JobPresence{}}
	for id, s := range w.jobs {
		if s.ready || s.Refused != "" {
			p.Jobs[id] = s.JobPresence
		}
	}
	w.mu.Unlock()
	if data, err := json.Marshal(p); err == nil {
		_ = w.conn.nc.Publish(aliveSubject, data) // the next one may get through
	}
}

// abandoned is the time after which a job is forgotten whose coordinator is silent. Until then the episodes are kept for a
// coordinator that resumes.
const abandoned = 10 * time.Minute

// forgetOld ends the jobs of coordinators that have been silent for long.
func (w *Worker) forgetOld(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.jobs {
		if now.Sub(s.heard) > abandoned {
			s.abort()
			go w.end(s)
			s.heard = now
		}
	}
}

// heard takes in what a coordinator says.
func (w *Worker) heard(ctx context.Context, data []byte) {
	var h heartbeat
	if len(data) > maxText || json.Unmarshal(data, &h) != nil || !validName(h.Job) || ctx.Err() != nil {
		return // a stranger's
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.jobs[h.Job]
	switch {
	case h.Ended && s != nil:
		s.abort()
		go w.end(s)
	case h.Ended:
	case s != nil:
		s.heard = time.Now()
	case len(w.jobs) < maxJobs:
		s = &served{id: h.Job, heard: time.Now(), done: make(chan struct{})}
		jobCtx, cancel := context.WithCancelCause(ctx)
		s.cancel = cancel
		s.whole, s.abort = context.WithCancel(context.WithoutCancel(ctx))
		w.jobs[h.Job] = s
		go func() {
			defer close(s.done)
			defer cancel(nil)
			w.serve(jobCtx, s, h)
		}()
	}
}

// end ends a job, after the units that are being computed, and forgets it.
func (w *Worker) end(s *served) {
	s.cancel(errJobEnded)
	<-s.done
	s.abort()
	w.mu.Lock()
	known := w.jobs[s.id] == s
	if known {
		delete(w.jobs, s.id)
	}
	w.mu.Unlock()
	if known && s.Refused == "" {
		w.config.Note("job %s: served, %d units", s.id, s.Units)
	}
}

// serve serves a job until its context ends. A job that it cannot serve is refused, with the reason.
func (w *Worker) serve(ctx context.Context, s *served, h heartbeat) {
	j, c, err := w.open(ctx, h)
	if err != nil {
		if ctx.Err() == nil {
			w.config.Note("job %s is refused: %v", s.id, err)
			w.mu.Lock()
			s.Refused = err.Error()[:min(len(err.Error()), maxText)]
			w.mu.Unlock()
			w.change()
			<-ctx.Done()
		}
		return
	}
	if w.wrap != nil {
		c = w.wrap(c)
	}
	defer func() { c.close(!errors.Is(context.Cause(ctx), errJobEnded)) }()
	w.config.Note("job %s: a %s of %.200s", s.id, j.Kind, h.Process)
	lease := time.Duration(j.Lease)
	s.gate = make(chan struct{}, j.atATime(w.config.Slots))
	s.spare = 1 // the next cell
	if j.Kind == trainingKind {
		s.spare = w.config.Slots // units are short
	}
	w.mu.Lock()
	s.lease = lease
	w.mu.Unlock()
	cfg := jetstream.ConsumerConfig{
		Durable: w.name, FilterSubject: workSubject(s.id, w.name), AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: lease, MaxAckPending: -1, InactiveThreshold: max(10*lease, time.Minute),
	}
	for ctx.Err() == nil {
		limited, cancel := context.WithTimeout(ctx, patience)
		consumer, err := w.conn.js.CreateOrUpdateConsumer(limited, workStream(s.id), cfg)
		cancel()
		if err == nil {
			if !s.ready {
				w.mu.Lock()
				s.ready = true
				w.mu.Unlock()
				w.change()
			}
			w.pull(ctx, s, c, consumer, lease)
		}
		_ = sleep(ctx, retryEvery/5) // the loop's condition sees the end
	}
}

// open reads the announcement of a job and prepares to compute its pieces.
func (w *Worker) open(ctx context.Context, h heartbeat) (j job, c computer, err error) {
	if h.Protocol != w.config.Protocol {
		return j, nil, &RefusedError{Reason: RefusedProtocol, Here: fmt.Sprint(w.config.Protocol), There: fmt.Sprint(h.Protocol)}
	}
	var kv jetstream.KeyValue
	var store jetstream.ObjectStore
	var entry jetstream.KeyValueEntry
	for { // the coordinator may be making them
		limited, cancel := context.WithTimeout(ctx, patience)
		if kv, err = w.conn.js.KeyValue(limited, bucketOf(h.Job)); err == nil {
			if store, err = w.conn.js.ObjectStore(limited, bucketOf(h.Job)); err == nil {
				entry, err = kv.Get(limited, jobKey)
			}
		}
		cancel()
		if err == nil {
			break
		}
		if err := sleep(ctx, retryEvery/5); err != nil {
			return j, nil, err
		}
	}
	if j, err = readJob(entry.Value()); err == nil {
		err = j.fits(w.config.Build)
	}
	if err != nil {
		return j, nil, err
	}
	objects := map[string][]byte{}
	for _, name := range j.Objects {
		if objects[name], err = store.GetBytes(ctx, name); err != nil {
			return j, nil, fmt.Errorf("the object %s: %w", name, err)
		}
	}
	if j.Kind == sweepKind {
		c, err = newSweeper(&j, objects, w.config)
	} else {
		c, err = newTrainee(&j, objects, kv, store, w.config)
	}
	return j, c, err
}

// pull takes pieces from the server and computes them, as many at a time as there are slots, until the context ends or the
// server has lost the consumer. While it computes, as many more are on their way, so that it need not wait for the server.
func (w *Worker) pull(ctx context.Context, s *served, c computer, consumer jetstream.Consumer, lease time.Duration) {
	messages, err := consumer.Messages(jetstream.PullMaxMessages(1), jetstream.PullExpiry(5*time.Second), jetstream.PullHeartbeat(time.Second))
	if err != nil {
		return
	}
	defer messages.Stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	// Pieces that this job has here: those that are computed, and the next ones.
	mine := make(chan struct{}, cap(s.gate)+s.spare)
	for {
		select {
		case mine <- struct{}{}:
		case <-ctx.Done():
			return
		}
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return
		}
		wg.Go(func() {
			defer func() { <-mine }()
			w.answer(ctx, s, c, m, lease)
		})
	}
}

// answer computes one piece and sends its answer. The piece is this worker's until it is acknowledged. A unit that has begun is
// ended even if the worker is to end.
func (w *Worker) answer(ctx context.Context, s *served, c computer, m jetstream.Msg, lease time.Duration) {
	p, err := readWork(m.Data())
	if err != nil {
		w.config.Note("job %s: a piece of work is ignored: %v", s.id, err)
		_ = m.Term()
		return
	}
	working, done := context.WithCancel(s.whole)
	defer done()
	go func() {
		for sleep(working, lease/4) == nil {
			_ = m.InProgress() // otherwise it comes again, and its second answer is dropped
		}
	}()
	select {
	case s.gate <- struct{}{}:
	case <-ctx.Done():
		return // it has not begun: another worker gets it
	}
	<-w.slots
	began := time.Now()
	a := &answer{ID: p.ID, Worker: w.name}
	a.Body, a.Replayed, err = c.compute(s.whole, p.Body)
	w.slots <- struct{}{}
	<-s.gate
	if s.whole.Err() != nil {
		return
	}
	a.Seconds = math.Min(time.Since(began).Seconds(), math.MaxInt32/2)
	if err != nil {
		a.Body, a.Failed, a.Missing = nil, err.Error(), errors.Is(err, errMissing)
	}
	w.mu.Lock()
	s.Units++
	s.Replayed += a.Replayed
	s.Failed += flag(err != nil)
	s.Seconds += a.Seconds
	w.mu.Unlock()
	if w.deliver(ctx, s, p, a) {
		_ = m.Ack() // otherwise it comes again, as above
	}
}

// deliver sends an answer, as long as it takes; when the job has ended, once. It reports whether the server has it. An answer with
// the same content is sent under the same message id, so the server keeps one of them. Errors are all kept: each is a try.
func (w *Worker) deliver(ctx context.Context, s *served, p *work, a *answer) bool {
	data, err := a.marshal()
	if err != nil {
		w.config.Note("job %s: %v", s.id, err)
		return false
	}
	id := p.Session + "-" + p.ID + "-" + a.sum()
	if a.Failed != "" {
		id += "-" + nuid.Next()
	}
	for {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		_, err := w.conn.js.PublishMsg(limited, &nats.Msg{Subject: answerSubject(s.id, p.Session), Data: data}, jetstream.WithMsgID(id))
		cancel()
		if err == nil {
			return true
		}
		if errors.Is(err, nats.ErrMaxPayload) && a.Failed == "" {
			a.Failed, a.Body = fmt.Sprintf("the answer of %d bytes is larger than the server's max_payload, %d; raise it", len(data), w.conn.nc.MaxPayload()), nil
			return w.deliver(ctx, s, p, a)
		}
		if sleep(ctx, retryEvery) != nil {
			return false
		}
	}
}
