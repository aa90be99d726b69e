package distributed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"learnedopt/recipe"
)

// Options say how a coordinator runs a job.
type Options struct {
	// Lease is the time after which the work of a silent worker goes to others, and after which another coordinator may lead
	// the job of a silent one. Default DefaultLease.
	Lease time.Duration
	// AnyPath accepts workers of other builds, whose results may have other bits.
	AnyPath bool
	// Memory keeps the queue in the server's memory instead of on its disk. A restarted server has then lost it, and the
	// coordinator sends it again.
	Memory bool
	// Stopping, if set, ends waiting for workers while none is there, with an error.
	Stopping <-chan struct{}
	// Note, if set, is called with remarks: a worker that came, died or was refused, or that nobody is there.
	Note func(format string, args ...any)
}

// A queue is the coordinator's side of a job: it gives pieces of work to workers and takes their answers.
type queue struct {
	conn     *Conn
	options  Options
	job      job
	id       string
	session  string
	data     map[string][]byte // what is kept in the bucket and must stay there, by key
	objects  map[string][]byte // what is kept in the object store and must stay there, by name
	kv       jetstream.KeyValue
	store    jetstream.ObjectStore
	held     *lease
	incoming chan *answer
	lost     chan struct{} // the server may have lost what was there
	cancel   context.CancelFunc
	running  sync.WaitGroup
	failure  error
	calls    int // of run
	// ahead is the time for which a worker is given work in advance. 0 means that all work is given out at once.
	ahead time.Duration
	// fixed returns the part of an answer's body that is the same in all answers to a piece; nil means the whole.
	fixed func(body []byte) []byte

	crew *crew
	// used are the answers that were used last, by piece, and order their pieces in the order of use.
	used  map[string]usedAnswer
	order []string
}

// A usedAnswer is the worker and the checksum of an answer that was used.
type usedAnswer struct{ worker, sum string }

// keptAnswers is the number of answers whose checksums are kept, to compare late copies with them.
const keptAnswers = 4096

// openQueue leads a job: it takes the lease, prepares the server and announces the job. objects are what workers need beside
// the announcement, by the names in j.Objects.
func openQueue(ctx context.Context, c *Conn, j job, objects map[string][]byte, o Options) (_ *queue, err error) {
	if o.Lease == 0 {
		o.Lease = DefaultLease
	}
	if o.Lease < minLease || o.Lease > maxLease {
		return nil, fmt.Errorf("distributed: a lease of %v; it must be %v to %v", o.Lease, minLease, maxLease)
	}
	if o.Note == nil {
		o.Note = func(string, ...any) {}
	}
	j.Protocol, j.Build, j.AnyPath = Protocol, HereBuild(), o.AnyPath
	q := &queue{
		conn: c, options: o, session: nuid.Next(), objects: objects, data: map[string][]byte{},
		incoming: make(chan *answer, 256), lost: make(chan struct{}, 1), used: map[string]usedAnswer{},
	}
	if q.id, err = j.id(); err != nil {
		return nil, err
	}
	j.Lease = recipe.Duration(o.Lease)
	q.job = j
	if q.data[jobKey], err = json.Marshal(j); err != nil {
		return nil, err
	}
	if len(q.data[jobKey]) > maxJob {
		return nil, fmt.Errorf("distributed: the job takes %d bytes, at most %d", len(q.data[jobKey]), maxJob)
	}
	missing := func() {
		select {
		case q.lost <- struct{}{}:
		default:
		}
	}
	if q.held, err = takeLease(ctx, c, q.id, o.Lease, leaseHolder{process(), q.session}, missing); err != nil {
		return nil, err
	}
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	q.cancel = cancel
	q.crew = newCrew(q)
	defer func() {
		if err != nil {
			q.close()
		}
	}()
	if err = q.prepare(ctx, true); err != nil {
		return nil, err
	}
	if err = q.crew.listen(background); err != nil {
		return nil, err
	}
	q.running.Go(func() { q.receive(background) })
	q.running.Go(func() { q.announce(background) })
	q.running.Go(func() { q.crew.watch(background) })
	return q, nil
}

// prepare makes the streams and buckets of the job and fills them. fresh empties the streams of what an earlier coordinator
// left.
func (q *queue) prepare(ctx context.Context, fresh bool) (err error) {
	storage := jetstream.FileStorage
	if q.options.Memory {
		storage = jetstream.MemoryStorage
	}
	js := q.conn.js
	for name, subjects := range map[string]string{workStream(q.id): workSubject(q.id, ">"), answerStream(q.id): answerSubject(q.id, ">")} {
		stream, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
			Name: name, Subjects: []string{subjects}, Retention: jetstream.WorkQueuePolicy, Storage: storage, Discard: jetstream.DiscardNew,
		})
		if err == nil && fresh {
			err = stream.Purge(ctx)
		}
		if err != nil {
			return fmt.Errorf("distributed: the queue %s: %w", name, err)
		}
	}
	if q.kv, err = q.conn.bucket(ctx, jetstream.KeyValueConfig{Bucket: bucketOf(q.id), Storage: storage}); err != nil {
		return err
	}
	if q.store, err = js.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: bucketOf(q.id), Storage: storage}); err != nil {
		return fmt.Errorf("distributed: the object store of the job: %w", err)
	}
	for name, data := range q.objects {
		if _, err := q.store.PutBytes(ctx, name, data); err != nil {
			return fmt.Errorf("distributed: the object %s: %w", name, err)
		}
	}
	for key, data := range q.data {
		if _, err := q.kv.Put(ctx, key, data); err != nil {
			return fmt.Errorf("distributed: %s: %w", key, err)
		}
	}
	return nil
}

// close ends the job: workers forget it, and the server too.
func (q *queue) close() {
	q.cancel()
	q.running.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if !errors.As(q.failure, new(*LedError)) {
		_ = q.beat(true) // who misses it forgets the job later
		js := q.conn.js
		_ = errors.Join(js.DeleteStream(ctx, workStream(q.id)), js.DeleteStream(ctx, answerStream(q.id)), js.DeleteKeyValue(ctx, bucketOf(q.id)),
			js.DeleteObjectStore(ctx, bucketOf(q.id))) // what stays is emptied by the next coordinator
	}
	q.crew.close()
	q.held.release(ctx)
}

// A heartbeat says that a job goes on, or that it has ended.
type heartbeat struct {
	Protocol int    `json:"protocol"`
	Job      string `json:"job"`
	Kind     string `json:"kind"`
	Process  string `json:"process"`
	Ended    bool   `json:"ended,omitempty"`
}

func (q *queue) beat(ended bool) error {
	data, err := json.Marshal(heartbeat{Protocol, q.id, q.job.Kind, process(), ended})
	if err != nil {
		return err
	}
	return q.conn.nc.Publish(jobSubject, data)
}

// announce sends heartbeats.
func (q *queue) announce(ctx context.Context) {
	for {
		_ = q.beat(false) // the next one may get through
		if sleep(ctx, min(q.options.Lease/4, time.Second)) != nil {
			return
		}
	}
}

// receive passes answers on. It makes its consumer anew whenever the server has lost it.
func (q *queue) receive(ctx context.Context) {
	for ctx.Err() == nil {
		consumer, err := q.conn.js.CreateOrUpdateConsumer(ctx, answerStream(q.id), jetstream.ConsumerConfig{
			Durable: "coordinator", AckPolicy: jetstream.AckExplicitPolicy, AckWait: patience, MaxAckPending: -1,
		})
		if err == nil {
			err = q.receiveFrom(ctx, consumer)
		}
		if err != nil && sleep(ctx, retryEvery/5) != nil {
			return
		}
	}
}

func (q *queue) receiveFrom(ctx context.Context, consumer jetstream.Consumer) error {
	messages, err := consumer.Messages(jetstream.PullHeartbeat(time.Second), jetstream.PullExpiry(5*time.Second))
	if err != nil {
		return err
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		a, err := readAnswer(m.Data())
		if err != nil {
			q.options.Note("an answer is ignored: %v", err)
		} else {
			select {
			case q.incoming <- a:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		_ = m.Ack() // otherwise it comes again, as a late copy
	}
}

// A piece is a piece of work that is to be done.
type piece struct {
	id, what string
	order    int // its place among the pieces of a call
	body     []byte
	prefer   string // the worker that has what the piece needs; "" if nobody has

	copies []*copyOf
	sent   int    // number of copies sent so far
	failed string // the worker whose answer was an error
	by     string // the worker whose answer was taken
	tryAt  time.Time
}

// A copyOf is a piece that a worker was given.
type copyOf struct {
	worker string
	since  time.Time
	fresh  bool // the worker does not hold the episode
}

func (p *piece) has(worker string) bool {
	return slices.ContainsFunc(p.copies, func(c *copyOf) bool { return c.worker == worker })
}

// run has all pieces done. It calls take with each piece and the first answer to it, in the order of arrival.
func (q *queue) run(ctx context.Context, pieces []*piece, take func(*piece, *answer) error) error {
	return q.runBatches(ctx, pieces, func(all []answered) error {
		for _, d := range all {
			if err := take(d.piece, d.answer); err != nil {
				return err
			}
		}
		return nil
	})
}

// An answered piece has the first answer to it.
type answered struct {
	piece  *piece
	answer *answer
}

// runBatches is run for a take that prefers many answers at a time: all that are here.
func (q *queue) runBatches(ctx context.Context, pieces []*piece, take func([]answered) error) error {
	if q.failure != nil {
		return q.failure
	}
	pending := make(map[string]*piece, len(pieces))
	for i, p := range pieces {
		p.order = i
		pending[p.id] = p
	}
	q.calls++
	q.crew.start(len(pieces))
	q.send(ctx, pieces)
	tick := time.NewTicker(min(100*time.Millisecond, q.options.Lease/8))
	defer tick.Stop()
	for len(pending) > 0 {
		select {
		case a := <-q.incoming:
			var all []answered
			for ; a != nil; a = q.another() {
				p := pending[a.ID]
				if err := q.check(p, a); err != nil {
					return q.fail(err)
				}
				if p == nil {
					continue
				}
				if a.Failed != "" {
					if err := q.refused(ctx, p, a); err != nil {
						return q.fail(err)
					}
					continue
				}
				delete(pending, a.ID)
				p.by = a.Worker
				q.crew.done(p, a)
				all = append(all, answered{p, a})
			}
			if q.ahead > 0 && len(pending) > 0 { // before the results are written, so that nobody waits for that
				q.send(ctx, q.crew.review(ctx, pending))
			}
			if err := take(all); err != nil {
				return q.fail(err)
			}
		case <-q.lost:
			q.restore(ctx, pending)
		case err := <-q.held.lost:
			return q.fail(err)
		case <-q.crew.changed:
			q.send(ctx, q.crew.review(ctx, pending))
		case <-tick.C:
			q.send(ctx, q.crew.review(ctx, pending))
		case <-q.options.Stopping:
			if q.crew.empty() {
				return q.fail(&stoppedError{context.Canceled})
			}
			// Workers are there: they end the meta-step.
			if err := sleep(ctx, retryEvery/5); err != nil {
				return q.fail(err)
			}
			q.send(ctx, q.crew.review(ctx, pending))
		case <-ctx.Done():
			return q.fail(ctx.Err())
		}
	}
	return nil
}

// another returns one more answer that is here, nil if there is none.
func (q *queue) another() *answer {
	select {
	case a := <-q.incoming:
		return a
	default:
		return nil
	}
}

// fail keeps the first error: after it, nothing can be computed any more.
func (q *queue) fail(err error) error {
	if q.failure == nil {
		q.failure = err
	}
	return err
}

// check compares an answer with the one that was used before for the same piece, if any; p is nil unless the piece is pending.
func (q *queue) check(p *piece, a *answer) error {
	if p != nil || a.Failed != "" {
		if p != nil && a.Failed == "" {
			q.used[a.ID] = usedAnswer{a.Worker, q.sum(a)}
			if q.order = append(q.order, a.ID); len(q.order) > keptAnswers {
				delete(q.used, q.order[0])
				q.order = q.order[1:]
			}
		}
		return nil
	}
	first, known := q.used[a.ID]
	if !known || first.sum == q.sum(a) {
		return nil
	}
	err := &DisagreementError{First: first.worker, Second: a.Worker, What: "piece " + a.ID}
	if q.options.AnyPath {
		q.options.Note("%v", err)
		return nil
	}
	return err
}

// sum is the checksum of what must be the same in every answer to the same piece.
func (q *queue) sum(a *answer) string {
	if q.fixed == nil {
		return a.sum()
	}
	return digest(string(q.fixed(a.Body)))
}

// refused handles an answer that is an error: the piece goes to another worker, once. What is missing on the server is put there
// again first.
func (q *queue) refused(ctx context.Context, p *piece, a *answer) error {
	if a.Missing {
		q.options.Note("worker %s misses something on the server (%s); it is sent again", a.Worker, a.Failed)
		if err := q.prepare(ctx, false); err != nil {
			q.options.Note("%v", err) // the worker asks again
		}
	} else if p.failed != "" && p.failed != a.Worker || p.failed == a.Worker && q.crew.count() < 2 {
		return &WorkError{Worker: a.Worker, What: p.what, Text: a.Failed}
	} else {
		p.failed = a.Worker
		q.options.Note("worker %s could not compute %s (%s); another one is asked", a.Worker, p.what, a.Failed)
	}
	q.crew.drop(p, a.Worker)
	p.prefer = ""
	q.send(ctx, []*piece{p})
	return nil
}

// restore makes everything anew on a server that has lost it, and sends all pending pieces again.
func (q *queue) restore(ctx context.Context, pending map[string]*piece) {
	remade, err := q.remake(ctx)
	if err != nil {
		q.options.Note("the server: %v", err)
		select {
		case q.lost <- struct{}{}: // again
		default:
		}
		_ = sleep(ctx, retryEvery)
		return
	}
	if !remade {
		return // only the lease was late
	}
	for _, p := range pending {
		for len(p.copies) > 0 {
			q.crew.drop(p, p.copies[0].worker)
		}
	}
}

// remake makes everything anew on a server that has lost it. It reports whether that was so.
func (q *queue) remake(ctx context.Context) (bool, error) {
	_, err := q.conn.js.Stream(ctx, workStream(q.id))
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return false, err
	}
	q.options.Note("the server has lost the queue; it is made anew")
	return true, q.prepare(ctx, false)
}

// send gives each piece to one worker more. A piece for which there is none, or that the server does not take, is left for the
// next review.
func (q *queue) send(ctx context.Context, pieces []*piece) {
	type sent struct {
		p      *piece
		c      *copyOf
		future jetstream.PubAckFuture
	}
	var all []sent
	for _, p := range pieces {
		c := q.crew.place(p)
		if c == nil {
			if q.ahead > 0 && p.failed == "" && len(p.copies) == 0 {
				break // nobody has room, for later pieces either
			}
			continue
		}
		// The server drops what it has seen, so a piece that an earlier call asked for too needs another message id, and its answer.
		session := fmt.Sprint(q.session, "-", q.calls)
		data, err := (&work{session, p.id, p.body}).marshal()
		var future jetstream.PubAckFuture
		if err == nil {
			m := &nats.Msg{Subject: workSubject(q.id, c.worker), Data: data}
			future, err = q.conn.js.PublishMsgAsync(m, jetstream.WithMsgID(fmt.Sprint(session, "-", p.id, "-", p.sent)), jetstream.WithRetryAttempts(5))
		}
		if err != nil {
			q.unsent(p, c, err)
			continue
		}
		all = append(all, sent{p, c, future})
	}
	limit := time.After(patience)
	for _, s := range all {
		select {
		case <-s.future.Ok():
			if s.p.sent++; s.p.sent > 1 {
				q.crew.redelivered()
			}
		case err := <-s.future.Err():
			q.unsent(s.p, s.c, err)
		case <-limit:
			q.unsent(s.p, s.c, errors.New("the server does not answer"))
			limit = time.After(0)
		case <-ctx.Done():
			return
		}
	}
}

// unsent takes a copy back that the server did not take.
func (q *queue) unsent(p *piece, c *copyOf, err error) {
	q.crew.drop(p, c.worker)
	p.tryAt = time.Now().Add(retryEvery)
	q.options.Note("the server does not take work: %v; it is tried again", err)
}
