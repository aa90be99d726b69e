package distributed

import (
	"bytes"
	"context"
	"encoding"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"learnedopt/internal/stream"
	"learnedopt/lstm"
	"learnedopt/metaopt"
	"learnedopt/metatrain"
	"learnedopt/recipe"
)

// A trainee computes the units of one training, and holds the episodes that it has computed.
type trainee struct {
	cfg    metatrain.TrainConfig
	net    *lstm.Network // any of the training's shape
	unroll int
	kv     jetstream.KeyValue
	store  jetstream.ObjectStore

	mu    sync.Mutex
	free  map[uint64][]*metatrain.InProcess // by seed: executors that compute nothing now
	held  map[string]*metatrain.Episode     // by the identity of its state
	order []string                          // of held, the oldest first
	nets  map[string]*lstm.Network          // by key
	used  []string                          // keys of nets, the oldest first
}

const (
	// keptNetworks is the number of φ's that a worker keeps.
	keptNetworks = 64
	// spareEpisodes is the number of meta-batches of episodes that a worker keeps: those that others go on with end here only
	// when newer ones push them out.
	spareEpisodes = 2
)

func newTrainee(j *job, objects map[string][]byte, kv jetstream.KeyValue, store jetstream.ObjectStore, w WorkerConfig) (*trainee, error) {
	local := recipe.Local{DataDir: w.DataDir}
	if j.Recipe.Init != "" { // never a file of that name here
		o, err := metaopt.Read(bytes.NewReader(objects[initObject]))
		if err != nil {
			return nil, fmt.Errorf("%w: the optimizer to start from: %w", ErrMessage, err)
		}
		local.Init = o
	}
	data, err := j.Recipe.Checksum(w.DataDir)
	if err != nil {
		return nil, err
	}
	if data != j.Data {
		return nil, &RefusedError{Reason: RefusedData, Here: data, There: j.Data}
	}
	cfg, err := j.Recipe.Config(local)
	if err != nil {
		return nil, err
	}
	t := &trainee{
		cfg: cfg, unroll: cfg.Unroll, kv: kv, store: store, net: cfg.Initial,
		free: map[uint64][]*metatrain.InProcess{}, held: map[string]*metatrain.Episode{}, nets: map[string]*lstm.Network{},
	}
	if t.net == nil {
		t.net, err = cfg.Init.Random(cfg.Network, stream.New(0, "init", 0))
	}
	return t, err
}

// compute implements computer.
func (t *trainee) compute(ctx context.Context, body []byte) ([]byte, int, error) {
	u, err := readUnit(body)
	if err != nil {
		return nil, 0, err
	}
	if u.Window != t.unroll || len(u.History)*t.unroll != u.Step-u.BaseStep || u.Length > t.cfg.Steps {
		return nil, 0, fmt.Errorf("%w: a unit of %d steps from %d of %d, after %d windows from %d", ErrMessage, u.Window, u.Step, u.Length, len(u.History), u.BaseStep)
	}
	x, err := t.executor(u.Seed)
	if err != nil {
		return nil, 0, err
	}
	defer t.putBack(u.Seed, x)
	from, replayed, err := t.state(ctx, x, u)
	if err != nil {
		return nil, replayed, err
	}
	answer, err := t.answer(ctx, x, u, from)
	return answer, replayed, err
}

// bytesOf is a state as bytes.
type bytesOf []byte

// MarshalBinary implements encoding.BinaryMarshaler.
func (b bytesOf) MarshalBinary() ([]byte, error) { return b, nil }

// answer computes the unit that starts with a state, or sends the state's bytes. The state is nil at the beginning of an episode.
func (t *trainee) answer(ctx context.Context, x *metatrain.InProcess, u *unitMessage, from encoding.BinaryMarshaler) ([]byte, error) {
	if u.Phi == "" {
		return t.send(ctx, u, from)
	}
	net, err := t.network(ctx, u.Phi)
	if err != nil {
		t.hold(u.From, from)
		return nil, err
	}
	r, err := t.window(ctx, x, net, u.Unit, from)
	if err != nil {
		return nil, err
	}
	if r.Window.Diverged != nil || u.Step+u.Window >= u.Length {
		err = closeState(r.State)
	} else {
		t.hold(next(u.From, u.Phi, u.Window), r.State)
	}
	if err != nil {
		return nil, err
	}
	return (&resultMessage{Result: r}).marshal()
}

// send puts the bytes of a state on the server, and answers with their name.
func (t *trainee) send(ctx context.Context, u *unitMessage, from encoding.BinaryMarshaler) ([]byte, error) {
	if from == nil {
		return nil, fmt.Errorf("%w: there is no state before the first window", ErrMessage)
	}
	data, err := from.MarshalBinary()
	if err != nil {
		return nil, errors.Join(err, closeState(from))
	}
	t.hold(u.From, from)
	object := statePrefix + u.From
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if _, err := t.store.PutBytes(limited, object, data); err != nil {
		return nil, fmt.Errorf("%w: %w", errMissing, err)
	}
	return (&resultMessage{Object: object}).marshal()
}

// window computes a unit that starts from a state. After an error the state is closed.
func (t *trainee) window(ctx context.Context, x *metatrain.InProcess, net *lstm.Network, u metatrain.Unit, from encoding.BinaryMarshaler) (metatrain.Result, error) {
	u.State = from
	results, err := x.Estimate(ctx, net, []metatrain.Unit{u})
	if err != nil {
		return metatrain.Result{}, errors.Join(err, closeState(from))
	}
	return results[0], nil
}

// state returns the state from which a unit starts, nil at the beginning. If the worker does not hold it, it begins with the
// latest one that it does hold, else with the one on the server or the beginning, and replays the windows from there. A state that
// a worker left behind spares the replay.
func (t *trainee) state(ctx context.Context, x *metatrain.InProcess, u *unitMessage) (from encoding.BinaryMarshaler, replayed int, err error) {
	at := begin(u.Seed, u.Episode, u.Length)
	if u.Base != "" {
		at = strings.TrimPrefix(u.Base, statePrefix)
	}
	ids := []string{at}
	for _, phi := range u.History {
		ids = append(ids, next(ids[len(ids)-1], phi, t.unroll))
	}
	last := len(u.History)
	if ids[last] != u.From {
		return nil, 0, fmt.Errorf("%w: a unit from the state %s, whose history leads to %s", ErrMessage, u.From, ids[last])
	}
	first := last
	for ; first >= 0; first-- {
		if ep := t.take(ids[first]); ep != nil {
			from = ep
			break
		}
	}
	if first < last {
		if there := t.left(ctx, ids[last]); there != nil {
			if first >= 0 {
				t.hold(ids[first], from)
			}
			return there, 0, nil
		}
	}
	if from == nil {
		first = 0
		if u.Base != "" {
			data, err := t.store.GetBytes(ctx, u.Base)
			if err != nil {
				return nil, 0, fmt.Errorf("%w: the state of episode %d: %w", errMissing, u.Episode, err)
			}
			from = bytesOf(data)
		}
	}
	unit := u.Unit
	unit.Seen = nil
	for i, phi := range u.History[first:] {
		unit.Step = u.BaseStep + (first+i)*t.unroll
		net, err := t.network(ctx, phi)
		if err != nil {
			t.hold(ids[first+i], from)
			return nil, i, err
		}
		r, err := t.window(ctx, x, net, unit, from)
		if err == nil && r.Window.Diverged != nil {
			err = errors.Join(fmt.Errorf("the replay of episode %d: %w", u.Episode, r.Window.Diverged), closeState(r.State))
		}
		if err != nil {
			return nil, i, err
		}
		from = r.State
	}
	return from, last - first, nil
}

// leave puts the states of all episodes on the server. Those that do not get there are replayed by others.
func (t *trainee) leave(ctx context.Context) {
	t.mu.Lock()
	ids := slices.Clone(t.order)
	t.mu.Unlock()
	for _, id := range slices.Backward(ids) { // the latest are wanted most
		if ep := t.take(id); ep != nil {
			data, err := ep.MarshalBinary()
			_ = ep.Close() // nobody is left to be told
			if err == nil {
				_, err = t.store.PutBytes(ctx, leftPrefix+id, data)
			}
			if err != nil {
				return
			}
		}
	}
}

// left takes the state with an identity from the server, where a worker that left has put it. It returns nil if there is none.
func (t *trainee) left(ctx context.Context, id string) encoding.BinaryMarshaler {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	data, err := t.store.GetBytes(limited, leftPrefix+id)
	if err != nil {
		return nil
	}
	_ = t.store.Delete(limited, leftPrefix+id) // what stays goes with the job
	return bytesOf(data)
}

// take takes an episode out of those that are held, nil if it is not.
func (t *trainee) take(id string) *metatrain.Episode {
	t.mu.Lock()
	defer t.mu.Unlock()
	ep := t.held[id]
	if ep != nil {
		delete(t.held, id)
		for i, other := range t.order {
			if other == id {
				t.order = append(t.order[:i], t.order[i+1:]...)
				break
			}
		}
	}
	return ep
}

// hold keeps a state if it is an episode, and ends the oldest ones if there are too many.
func (t *trainee) hold(id string, state encoding.BinaryMarshaler) {
	ep, ok := state.(*metatrain.Episode)
	if !ok {
		return
	}
	ep.Workspace = nil // it belongs to the executor that computed the episode
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := t.held[id]; old != nil {
		_ = old.Close() // two answers to the same piece
	} else {
		t.order = append(t.order, id)
	}
	t.held[id] = ep
	for len(t.order) > spareEpisodes*t.cfg.Batch {
		_ = t.held[t.order[0]].Close() // nobody is left to be told
		delete(t.held, t.order[0])
		t.order = t.order[1:]
	}
}

func closeState(s encoding.BinaryMarshaler) error {
	if c, ok := s.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// executor returns an executor for one goroutine; putBack gives it back.
func (t *trainee) executor(seed uint64) (*metatrain.InProcess, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if all := t.free[seed]; len(all) > 0 {
		t.free[seed] = all[:len(all)-1]
		return all[len(all)-1], nil
	}
	cfg := t.cfg
	cfg.Seed = seed
	return metatrain.NewInProcess(cfg)
}

func (t *trainee) putBack(seed uint64, x *metatrain.InProcess) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for old := range t.free {
		if old != seed { // the seeds come one after another
			delete(t.free, old)
		}
	}
	t.free[seed] = append(t.free[seed], x)
}

// network returns the network with the φ of the given key.
func (t *trainee) network(ctx context.Context, key string) (*lstm.Network, error) {
	t.mu.Lock()
	net := t.nets[key]
	t.mu.Unlock()
	if net != nil {
		return net, nil
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	entry, err := t.kv.Get(limited, phiKey(key))
	if err != nil {
		return nil, fmt.Errorf("%w: φ: %w", errMissing, err)
	}
	if digestOf(entry.Value()) != key {
		return nil, fmt.Errorf("%w: φ with another checksum", ErrMessage)
	}
	if net, err = readPhi(t.net, entry.Value()); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.nets[key] == nil {
		t.nets[key] = net
		if t.used = append(t.used, key); len(t.used) > keptNetworks {
			delete(t.nets, t.used[0])
			t.used = t.used[1:]
		}
	}
	return net, nil
}

// leaveWithin bounds the time in which a worker that leaves sends the states of its episodes.
const leaveWithin = 20 * time.Second

// close ends all episodes. A worker that leaves puts their states on the server first, so that others need not replay them.
func (t *trainee) close(leaves bool) {
	if leaves {
		ctx, cancel := context.WithTimeout(context.Background(), leaveWithin)
		defer cancel()
		t.leave(ctx)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, ep := range t.held {
		_ = ep.Close() // nobody is left to be told
		delete(t.held, id)
	}
	t.order = nil
}
