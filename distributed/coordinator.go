package distributed

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"learnedopt/lstm"
	"learnedopt/metaopt"
	"learnedopt/metatrain"
	"learnedopt/recipe"
)

// A Coordinator sends the units of a training to workers. Its Executors are what a trainer needs, one for each seed. All belong
// to one goroutine.
type Coordinator struct {
	queue *queue
	// phis are the φ's under which running episodes ran, by key, with the number of states that need each.
	phis    map[string]int
	garbage []func(context.Context) // what is not needed on the server any more
	states  map[*state]bool         // those that are open
	net     *lstm.Network           // any network of the training's shape, for its unroll
	unroll  int
}

// A Training is what is to be trained.
type Training struct {
	// Recipe is the training. Init is the optimizer from which it starts, if Recipe.Init is set. Data is the checksum of the
	// data sets (tasks.Checksum).
	Recipe recipe.Recipe
	Init   *metaopt.Optimizer
	Data   string
}

const (
	// initObject is the name of the object that holds the optimizer from which a training starts.
	initObject = "init"
	// statePrefix and a state's identity are the name of the object that holds it.
	statePrefix = "state-"
	// leftPrefix and a state's identity are the name of the object in which a worker that left has put it.
	leftPrefix = "left-"
)

// Coordinate begins to coordinate a training. It takes the training's lease: if another process has it, the error is a *LedError.
// Close ends it.
func Coordinate(ctx context.Context, c *Conn, t Training, o Options) (*Coordinator, error) {
	r := t.Recipe.WithDefaults()
	j, objects := job{Kind: trainingKind, Recipe: &r, Data: t.Data}, map[string][]byte{}
	if r.Init != "" && t.Init == nil {
		return nil, fmt.Errorf("distributed: the training starts from %s, and nobody has loaded it", r.Init)
	}
	if r.Init != "" {
		var b bytes.Buffer
		if err := metaopt.Write(&b, t.Init); err != nil {
			return nil, err
		}
		j.Objects, objects[initObject] = []string{initObject}, b.Bytes()
	}
	q, err := openQueue(ctx, c, j, objects, o)
	if err != nil {
		return nil, err
	}
	return &Coordinator{queue: q, phis: map[string]int{}, states: map[*state]bool{}, unroll: r.Unroll}, nil
}

// Close ends the job on the server, unless another coordinator has taken it over.
func (c *Coordinator) Close() { c.queue.close() }

// ID returns the job's identity on the server.
func (c *Coordinator) ID() string { return c.queue.id }

// Executor returns the executor of the training from one seed.
func (c *Coordinator) Executor(seed uint64) metatrain.Executor { return &executor{c, seed} }

type executor struct {
	*Coordinator
	seed uint64
}

var _ metatrain.Executor = (*executor)(nil)

// A state is the state of an episode that a worker holds. Its MarshalBinary gets the bytes from there.
type state struct {
	c       *Coordinator
	seed    uint64
	unit    metatrain.Unit // of the last window
	step    int            // number of steps taken
	id      string
	holder  string
	base    string // object from which others begin, "" for the episode's beginning
	from    int    // the step of base
	history []string
	data    []byte // the bytes of the state, if they are here
}

// Estimate implements metatrain.Executor. It waits as long as it takes for workers to compute the units. A unit's state is a
// value that an earlier call returned, or any other one, whose bytes are then sent. The states of results hold no more than
// what is needed to have them computed again.
func (x *executor) Estimate(ctx context.Context, net *lstm.Network, units []metatrain.Unit) ([]metatrain.Result, error) {
	c := x.Coordinator
	c.net = net
	data := writePhi(net.Params())
	phi := digestOf(data)
	if err := c.keep(ctx, phi, data); err != nil {
		return nil, err
	}
	defer c.drop(phi)
	pieces, states, results := make([]*piece, len(units)), make([]*state, len(units)), make([]metatrain.Result, len(units))
	fresh := map[*state]bool{} // to be closed after an error
	done := func(err error) ([]metatrain.Result, error) {
		for s := range fresh {
			_ = s.Close() // it returns no error
		}
		return nil, err
	}
	for i := range units {
		s, ours := units[i].State.(*state)
		if !ours || s.c != c {
			var err error
			if s, err = x.begin(ctx, &units[i]); err != nil {
				return done(err)
			}
			fresh[s] = true
		}
		if s.step != units[i].Step || s.seed != x.seed {
			return done(fmt.Errorf("distributed: a unit at step %d of episode %d, whose state stands at step %d", units[i].Step, units[i].Episode, s.step))
		}
		var err error
		if pieces[i], err = s.piece(units[i], phi); err != nil {
			return done(err)
		}
		states[i] = s
	}
	err := c.queue.run(ctx, pieces, func(p *piece, a *answer) error {
		i := p.order
		m, err := readResult(a.Body)
		if err == nil && m.Window.Diverged == nil && len(m.Gradient) != net.Size() {
			err = fmt.Errorf("%w: a meta-gradient of %d components, want %d", ErrMessage, len(m.Gradient), net.Size())
		}
		if err != nil {
			return fmt.Errorf("worker %s: %w", a.Worker, err)
		}
		results[i] = m.Result
		results[i].State = states[i]
		return nil
	})
	if err != nil {
		return done(err)
	}
	for i, s := range states {
		if err := replaced(units[i].State, s); err != nil {
			return nil, err
		}
		s.advance(units[i], phi, pieces[i].by)
	}
	c.collect(ctx)
	return results, nil
}

// replaced closes the state of a unit that is not the state of its result.
func replaced(was any, is *state) error {
	if c, ok := was.(interface{ Close() error }); ok && was != any(is) {
		return c.Close()
	}
	return nil
}

// begin returns the state from which a unit starts whose state is not one of ours: the beginning, or an episode's bytes.
func (x *executor) begin(ctx context.Context, u *metatrain.Unit) (*state, error) {
	s := &state{c: x.Coordinator, seed: x.seed, step: u.Step, id: begin(x.seed, u.Episode, u.Length)}
	if u.State == nil {
		if u.Step != 0 {
			return nil, fmt.Errorf("distributed: step %d of episode %d without its state", u.Step, u.Episode)
		}
		x.states[s] = true
		return s, nil
	}
	data, err := u.State.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("distributed: the state of episode %d: %w", u.Episode, err)
	}
	s.id = digest("bytes", s.id, digestOf(data))
	s.base, s.from, s.data = statePrefix+s.id, u.Step, data
	x.queue.objects[s.base] = data
	if err := x.queue.put(ctx, s.base, data); err != nil {
		delete(x.queue.objects, s.base)
		return nil, err
	}
	x.states[s] = true
	return s, nil
}

// message returns the message about a unit that starts from the state.
func (s *state) message(u metatrain.Unit, phi string) *unitMessage {
	return &unitMessage{Seed: s.seed, Unit: u, Phi: phi, From: s.id, Base: s.base, BaseStep: s.from, History: s.history}
}

func (s *state) piece(u metatrain.Unit, phi string) (*piece, error) {
	m := s.message(u, phi)
	if len(s.history) > maxHistory {
		return nil, fmt.Errorf("distributed: an episode of more than %d windows; a larger --unroll, or a shorter --save-every, makes them fewer", maxHistory)
	}
	body, err := m.marshal()
	return &piece{id: m.id(), what: m.what(), body: body, prefer: s.holder}, err
}

// advance moves the state on by a unit's window.
func (s *state) advance(u metatrain.Unit, phi, worker string) {
	u.State, u.Seen = nil, nil
	s.unit, s.step, s.id = u, u.Step+u.Window, next(s.id, phi, u.Window)
	s.history = append(s.history, phi)
	s.c.phis[phi]++
	s.data = nil
	s.moved(worker)
}

// moved says which worker holds the state; "" is nobody.
func (s *state) moved(worker string) {
	if s.holder != worker {
		s.c.queue.crew.holds(s.holder, -1)
		s.c.queue.crew.holds(worker, 1)
		s.holder = worker
	}
}

// MarshalBinary implements encoding.BinaryMarshaler. It gets the bytes from the workers that hold the states, of all open states
// at once, and leaves them on the server: from then on they are where a replay begins.
func (s *state) MarshalBinary() ([]byte, error) {
	if s.data == nil {
		if err := s.c.fetch(context.Background()); err != nil {
			return nil, err
		}
	}
	return s.data, nil
}

// Close implements io.Closer.
func (s *state) Close() error {
	if s.c.states[s] {
		delete(s.c.states, s)
		s.moved("")
		s.rebase("", 0)
	}
	return nil
}

// rebase sets where a replay begins, and lets go of what it needed before.
func (s *state) rebase(base string, step int) {
	if was := s.base; was != "" && was != base {
		delete(s.c.queue.objects, was)
		s.c.garbage = append(s.c.garbage, func(ctx context.Context) { _ = s.c.queue.store.Delete(ctx, was) })
	}
	for _, phi := range s.history {
		s.c.drop(phi)
	}
	s.base, s.from, s.history = base, step, nil
}

// fetch gets the bytes of all open states that are not here.
func (c *Coordinator) fetch(ctx context.Context) error {
	var pieces []*piece
	var states []*state
	for s := range c.states {
		if s.data != nil || len(s.history) == 0 { // those without a window are of a call that failed
			continue
		}
		u := s.unit
		u.Step = s.step
		p, err := s.piece(u, "")
		if err != nil {
			return err
		}
		pieces, states = append(pieces, p), append(states, s)
	}
	defer c.collect(ctx)
	return c.queue.run(ctx, pieces, func(p *piece, a *answer) error {
		s := states[p.order]
		m, err := readResult(a.Body)
		if err != nil {
			return fmt.Errorf("worker %s: %w", a.Worker, err)
		}
		data, err := c.queue.get(ctx, m.Object)
		if err != nil {
			return err
		}
		s.data = data
		s.rebase(m.Object, s.step)
		c.queue.objects[m.Object] = data
		s.moved(a.Worker)
		return nil
	})
}

// keep puts φ on the server, once, and says that somebody needs it. drop says that it is not needed any more.
func (c *Coordinator) keep(ctx context.Context, key string, data []byte) error {
	if c.phis[key] == 0 {
		c.queue.data[phiKey(key)] = data
		if err := c.queue.putKey(ctx, phiKey(key), data); err != nil {
			return err
		}
	}
	c.phis[key]++
	return nil
}

func (c *Coordinator) drop(key string) {
	if c.phis[key]--; c.phis[key] > 0 {
		return
	}
	delete(c.phis, key)
	delete(c.queue.data, phiKey(key))
	c.garbage = append(c.garbage, func(ctx context.Context) {
		if c.phis[key] == 0 {
			_ = c.queue.kv.Purge(ctx, phiKey(key))
		}
	})
}

// collect removes from the server what is not needed any more. What it fails to remove goes when the job ends.
func (c *Coordinator) collect(ctx context.Context) {
	for _, remove := range c.garbage {
		remove(ctx)
	}
	c.garbage = c.garbage[:0]
}

func phiKey(digest string) string { return "phi." + digest }

// put, putKey and get keep trying while the server is away or full.
func (q *queue) put(ctx context.Context, name string, data []byte) error {
	return q.insist(ctx, "the object "+name, func(ctx context.Context) error {
		_, err := q.store.PutBytes(ctx, name, data)
		return err
	})
}

func (q *queue) putKey(ctx context.Context, key string, data []byte) error {
	return q.insist(ctx, key, func(ctx context.Context) error {
		_, err := q.kv.Put(ctx, key, data)
		return err
	})
}

func (q *queue) get(ctx context.Context, name string) (data []byte, err error) {
	err = q.insist(ctx, "the object "+name, func(ctx context.Context) (err error) {
		data, err = q.store.GetBytes(ctx, name)
		return err
	})
	return data, err
}

// insist calls f until it succeeds. The lease's loss, the end of the program, and an error that cannot pass end it.
func (q *queue) insist(ctx context.Context, what string, f func(context.Context) error) error {
	for told := false; ; {
		limited, cancel := context.WithTimeout(ctx, patience)
		err := f(limited)
		cancel()
		if err == nil {
			return nil
		}
		if errors.Is(err, jetstream.ErrObjectNotFound) || errors.Is(err, nats.ErrMaxPayload) {
			return q.fail(fmt.Errorf("distributed: %s: %w", what, err))
		}
		if !told {
			told = true
			q.options.Note("the server does not take %s: %v; it is tried again", what, err)
		}
		select {
		case err := <-q.held.lost:
			return q.fail(err)
		case <-q.lost:
			_, _ = q.remake(ctx) // the next try says what is wrong
		case <-q.options.Stopping:
			return q.fail(&stoppedError{context.Canceled})
		default:
		}
		if err := sleep(ctx, retryEvery); err != nil {
			return q.fail(err)
		}
	}
}
