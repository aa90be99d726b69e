package distributed

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"learnedopt/distributed/embedded"
	"learnedopt/metatrain"
)

// A cable is a connection to a server that can be cut: then nothing passes, and nobody is told.
type cable struct {
	mu   sync.Mutex
	cond *sync.Cond
	cut  bool
	addr string
}

func lay(t *testing.T, to string) *cable {
	t.Helper()
	c := &cable{}
	c.cond = sync.NewCond(&c.mu)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c.addr = l.Addr().String()
	go func() {
		for {
			a, err := l.Accept()
			if err != nil {
				return
			}
			b, err := net.Dial("tcp", to)
			if err != nil {
				a.Close()
				continue
			}
			go c.pass(a, b)
			go c.pass(b, a)
		}
	}()
	return c
}

func (c *cable) pass(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	_, _ = io.Copy(c.through(to), from) // it ends when either side does
}

type gate struct {
	c  *cable
	to io.Writer
}

func (c *cable) through(to io.Writer) io.Writer { return gate{c, to} }

func (g gate) Write(b []byte) (int, error) {
	g.c.mu.Lock()
	for g.c.cut {
		g.c.cond.Wait()
	}
	g.c.mu.Unlock()
	return g.to.Write(b)
}

func (c *cable) set(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cut
	c.cond.Broadcast()
}

// A worker is cut off in the middle of a unit: after the lease others go on with its episodes. When it is back, its late answer
// is compared with the one that was used, and it takes part again.
func TestPartitionHeals(t *testing.T) {
	server := start(t, embedded.Config{})
	r := parse(t, `"meta_steps": 30, "meta_batch": 3`)
	line := lay(t, strings.TrimPrefix(server.URL(), "nats://"))
	c, n := lead(t, server.URL(), r, Options{Lease: 500 * time.Millisecond})
	hire(t, "nats://"+line.addr, WorkerConfig{}, func(inner computer) computer {
		return &wrapped{computer: inner, before: func(k int) {
			if k == 4 {
				line.set(true)
			}
		}}
	})
	n.wait(t, "takes part")
	hire(t, server.URL(), WorkerConfig{}, nil)
	got, err := train(t.Context(), r, c.Executor(r.Seed), nil, func(tr *metatrain.Trainer) error {
		if tr.MetaSteps() == 15 {
			n.wait(t, "has gone")
			line.set(false)
			for strings.Count(n.String(), "takes part") < 3 {
				time.Sleep(10 * time.Millisecond)
			}
		}
		return nil
	})
	line.set(false)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, alone(t, r))
}

// fill fills a server's store, with a stream that may be purged.
func fill(ctx context.Context, conn *Conn) (jetstream.Stream, error) {
	filler, err := conn.js.CreateStream(ctx, jetstream.StreamConfig{Name: "filler", Subjects: []string{"filler"}})
	if err != nil {
		return nil, err
	}
	for size := 1 << 20; size >= 16; {
		if _, err := conn.js.Publish(ctx, "filler", bytes.Repeat([]byte{1}, size)); err != nil {
			size /= 2
		}
	}
	return filler, nil
}

// A full store takes no work, and no answers. Both are sent again when there is room.
func TestFullStoreTakesNoWork(t *testing.T) {
	server := start(t, embedded.Config{MaxStore: 8 << 20})
	c, n := lead(t, server.URL(), parse(t, trainings["backprop"]), Options{})
	conn := connect(t, server.URL())
	again := make(chan jetstream.Stream, 1)
	hire(t, server.URL(), WorkerConfig{}, func(inner computer) computer {
		return &wrapped{computer: sleeper{inner, 0}, before: func(int) {
			filler, err := fill(t.Context(), conn) // it is there already
			if err != nil {
				t.Error(err)
			}
			again <- filler
		}}
	})
	n.wait(t, "takes part")
	filler, err := fill(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		n.wait(t, "the server does not take work")
		_ = filler.Purge(t.Context())
		_ = (<-again).Purge(t.Context())
	}()
	answers := 0
	err = c.queue.run(t.Context(), []*piece{{id: "p", what: "a piece", body: make([]byte, 1<<10)}}, func(*piece, *answer) error { answers++; return nil })
	if err != nil || answers != 1 {
		t.Errorf("%d answers, error %v", answers, err)
	}
}

// The server's store is full for a while. Nothing is lost, and the training goes on when there is room.
func TestFullStore(t *testing.T) {
	server := start(t, embedded.Config{MaxStore: 8 << 20})
	r := parse(t, trainings["backprop"])
	hire(t, server.URL(), WorkerConfig{}, nil)
	conn := connect(t, server.URL())
	c, n := lead(t, server.URL(), r, Options{})
	full := false
	got, err := train(t.Context(), r, c.Executor(r.Seed), nil, func(tr *metatrain.Trainer) error {
		if tr.MetaSteps() != 5 || full {
			return nil
		}
		full = true
		filler, err := fill(t.Context(), conn)
		go func() {
			n.wait(t, "the server does not take")
			_ = filler.Purge(t.Context())
		}()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, alone(t, r))
	if !full || !strings.Contains(n.String(), "the server does not take") {
		t.Errorf("the store was never full: %s", n)
	}
}
