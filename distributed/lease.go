package distributed

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const leaseKey = "coordinator"

// A lease says that this process coordinates a job. It is one key that the server forgets when it is not renewed.
type lease struct {
	conn     *Conn
	job      string
	kv       jetstream.KeyValue
	span     time.Duration
	holder   leaseHolder
	revision uint64
	lost     chan error // gets the error that ends the lease
	cancel   context.CancelFunc
	done     chan struct{}
}

// A leaseHolder is the value of a lease's key.
type leaseHolder struct {
	By      string `json:"by"`
	Session string `json:"session"`
}

// takeLease takes the lease of a job and renews it until release. If another process holds it, takeLease waits to see whether
// that process still renews it. If so the error is a *LedError. missing is called, by another goroutine, when the lease was gone
// from the server and had to be made anew: then the server lost other things as well.
func takeLease(ctx context.Context, c *Conn, job string, span time.Duration, holder leaseHolder, missing func()) (*lease, error) {
	l := &lease{conn: c, job: job, span: span, holder: holder, lost: make(chan error, 1), done: make(chan struct{})}
	var seen uint64
	var err error
	for {
		if err = l.make(ctx); err == nil {
			break
		}
		if !errors.Is(err, jetstream.ErrKeyExists) {
			return nil, err
		}
		entry, getErr := l.kv.Get(ctx, leaseKey)
		switch {
		case errors.Is(getErr, jetstream.ErrKeyNotFound): // it has just ended
		case getErr != nil:
			return nil, getErr
		case seen != 0 && entry.Revision() != seen:
			return nil, &LedError{By: readHolder(entry.Value()).By}
		default:
			seen = entry.Revision()
		}
		if err := sleep(ctx, span/8); err != nil {
			return nil, err
		}
	}
	ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(l.done)
		for sleep(ctx, span/4) == nil {
			was := l.revision
			if err := l.renew(ctx); err != nil {
				l.lost <- err
				return
			}
			if was != 0 && l.revision == 0 {
				missing()
			}
		}
	}()
	return l, nil
}

// make makes the lease's key, which must not be there.
func (l *lease) make(ctx context.Context) (err error) {
	if l.kv, err = l.conn.bucket(ctx, jetstream.KeyValueConfig{Bucket: leaseBucket(l.job), TTL: l.span}); err != nil {
		return err
	}
	value, err := json.Marshal(l.holder)
	if err != nil {
		return err
	}
	l.revision, err = l.kv.Create(ctx, leaseKey, value)
	return err
}

// renew renews the lease. It returns an error only if another process has it; otherwise the next call tries again.
func (l *lease) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	value, err := json.Marshal(l.holder)
	if err != nil {
		return err
	}
	if l.revision == 0 {
		err = l.make(ctx)
	} else if revision, updateErr := l.kv.Update(ctx, leaseKey, value, l.revision); updateErr == nil {
		l.revision = revision
		return nil
	} else {
		err = updateErr
	}
	if err == nil || ctx.Err() != nil {
		return nil
	}
	entry, err := l.kv.Get(ctx, leaseKey)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound), errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrNoStreamResponse):
		l.revision = 0 // the lease has ended, or its bucket is gone
	case err != nil:
	default:
		holder := readHolder(entry.Value())
		if holder.Session != l.holder.Session {
			return &LedError{By: holder.By}
		}
		l.revision = entry.Revision() // the answer to an earlier renewal was lost
	}
	return nil
}

// release gives the lease back.
func (l *lease) release(ctx context.Context) {
	l.cancel()
	<-l.done
	if l.revision != 0 {
		_ = l.kv.Purge(ctx, leaseKey, jetstream.LastRevision(l.revision)) // otherwise it ends by itself
	}
}

// readHolder reads the value of a lease's key, as far as it is one.
func readHolder(data []byte) (h leaseHolder) {
	if len(data) <= maxText {
		_ = json.Unmarshal(data, &h) // a value that is none names nobody
	}
	if h.By = h.By[:min(len(h.By), 200)]; h.By == "" {
		h.By = "another process"
	}
	return h
}

// sleep waits, or returns the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
