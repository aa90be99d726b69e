package distributed

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"learnedopt/distributed/embedded"
	"learnedopt/metatrain"
	"learnedopt/recipe"
)

// A training has the bits of one in this process, with one worker and with three, whose states are saved after every third
// meta-step.
func TestManyWorkersGiveTheBitsOfOneProcess(t *testing.T) {
	server := start(t, embedded.Config{})
	for name, options := range trainings {
		r := parse(t, options)
		want := alone(t, r)
		for _, workers := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s, %d workers", name, workers), func(t *testing.T) {
				for range workers {
					hire(t, server.URL(), WorkerConfig{}, nil)
				}
				c, _ := lead(t, server.URL(), r, Options{})
				got, err := train(t.Context(), r, c.Executor(r.Seed), nil, func(tr *metatrain.Trainer) error {
					if tr.MetaSteps()%3 != 0 {
						return nil
					}
					_, err := tr.MarshalBinary()
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
				same(t, got, want)
			})
		}
	}
}

// Workers' processes are killed in the middle of a unit, again and again; others replay their episodes.
func TestKilledWorkers(t *testing.T) {
	server := start(t, embedded.Config{})
	r := parse(t, trainings["backprop"])
	c, n := lead(t, server.URL(), r, Options{})
	for range 2 {
		spawn(t, "dying worker", server.URL())
	}
	spawn(t, "worker", server.URL())
	got, err := train(t.Context(), r, c.Executor(r.Seed), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, alone(t, r))
	if gone := strings.Count(n.String(), "has gone"); gone != 2 {
		t.Errorf("%d workers died, want 2: %s", gone, n)
	}
}

// stateEnv names the file of a trainer's state.
const stateEnv = "METAOPT_TEST_STATE"

// dyingCoordinatorRole trains, saves its state before each meta-step, and is killed in the seventh.
func dyingCoordinatorRole(url string) error {
	conn, err := Connect(context.Background(), Server{URL: url}, "test")
	if err != nil {
		return err
	}
	r, err := recipe.Parse([]byte("{" + tiny + ", " + trainings["pes, random steps"] + "}"))
	if err != nil {
		return err
	}
	c, err := Coordinate(context.Background(), conn, Training{Recipe: r}, Options{Lease: 3 * time.Second})
	if err != nil {
		return err
	}
	_, err = train(context.Background(), r, c.Executor(r.Seed), nil, func(tr *metatrain.Trainer) error {
		state, err := tr.MarshalBinary()
		if err == nil {
			err = os.WriteFile(os.Getenv(stateEnv), state, 0o600)
		}
		if tr.MetaSteps() == 7 {
			go func() { // in the middle of the meta-step, or before it
				time.Sleep(time.Millisecond)
				kill()
			}()
		}
		return err
	})
	return errors.Join(err, errors.New("it was not killed"))
}

// The coordinator's process is killed, and another one resumes its training while the workers go on. It waits for the lease of
// the first one.
func TestKilledCoordinator(t *testing.T) {
	server := start(t, embedded.Config{})
	for range 2 {
		hire(t, server.URL(), WorkerConfig{}, nil)
	}
	file := filepath.Join(t.TempDir(), "state")
	first := spawn(t, "dying coordinator", server.URL(), stateEnv+"="+file)
	if err := first.Wait(); err == nil {
		t.Fatal("it was not killed")
	}
	state, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r := parse(t, trainings["pes, random steps"])
	c, _ := lead(t, server.URL(), r, Options{Lease: 3 * time.Second})
	got, err := train(t.Context(), r, c.Executor(r.Seed), state, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := alone(t, r)
	want.Events = want.Events[len(want.Events)-len(got.Events):]
	same(t, got, want)
	if len(got.Events) < 2 {
		t.Errorf("events %q of the second part", got.Events)
	}
}

// The server is restarted in the middle of a training: with its store, and with an empty one.
func TestRestartedServer(t *testing.T) {
	for _, kept := range []bool{true, false} {
		t.Run(fmt.Sprint("store kept ", kept), func(t *testing.T) {
			store := t.TempDir()
			server, err := embedded.Start(embedded.Config{Listen: "127.0.0.1:0", Store: store})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { server.Close() }) // whichever it is then; after coordinator and workers, which say good-bye to it
			listen := strings.TrimPrefix(server.URL(), "nats://")
			r := parse(t, trainings["backprop"])
			for range 2 {
				hire(t, server.URL(), WorkerConfig{}, nil)
			}
			c, n := lead(t, server.URL(), r, Options{Lease: 3 * time.Second})
			got, err := train(t.Context(), r, c.Executor(r.Seed), nil, func(tr *metatrain.Trainer) error {
				if tr.MetaSteps() == 5 {
					server.Close()
					if !kept {
						store = t.TempDir()
					}
					server, err = embedded.Start(embedded.Config{Store: store, Listen: listen})
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, alone(t, r))
			if lost := strings.Contains(n.String(), "lost the queue"); lost == kept {
				t.Errorf("notes: %s", n)
			}
		})
	}
}

// Answers come twice and out of order, pieces are given out twice, and strangers send whatever they like to every subject.
func TestDuplicatesReorderingsAndStrangers(t *testing.T) {
	server := start(t, embedded.Config{})
	r := parse(t, trainings["backprop"])
	c, n := lead(t, server.URL(), r, Options{})
	conn := connect(t, server.URL())
	rng := rand.New(rand.NewPCG(1, 2))
	noise := func(subject string) {
		junk := make([]byte, rng.IntN(200))
		for i := range junk {
			junk[i] = byte(rng.Uint32())
		}
		for _, data := range [][]byte{junk, []byte(`{"name":"x"}`), []byte(`{"job":"../..","protocol":1}`)} {
			_ = conn.nc.Publish(subject, data)
		}
	}
	for range 3 {
		hire(t, server.URL(), WorkerConfig{Slots: 2}, func(inner computer) computer {
			return &wrapped{computer: inner, before: func(k int) {
				if k%2 == 0 {
					time.Sleep(3 * time.Millisecond) // after a later one
				}
			}}
		})
	}
	again, err := conn.nc.Subscribe("metaopt.*.*.>", func(m *nats.Msg) {
		if m.Header.Get("Nats-Msg-Id") == "" { // a copy, or a stranger's
			return
		}
		for range 2 {
			_ = conn.nc.Publish(m.Subject, m.Data) // without an id the server takes it for a new one
		}
		noise(m.Subject)
		noise(jobSubject)
		noise(aliveSubject)
		noise(helloSubject)
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := train(t.Context(), r, c.Executor(r.Seed), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	same(t, got, alone(t, r))
	if !strings.Contains(n.String(), "an answer is ignored") {
		t.Errorf("no stranger was noticed: %s", n)
	}
}

// A worker hangs in a unit: another one computes it too, and the first answer counts.
func TestSlowWorker(t *testing.T) {
	server := start(t, embedded.Config{})
	r := parse(t, trainings["backprop"])
	c, n := lead(t, server.URL(), r, Options{Lease: 3 * time.Second})
	release := make(chan struct{})
	hanging := hire(t, server.URL(), WorkerConfig{}, func(inner computer) computer {
		return &wrapped{computer: inner, before: func(k int) {
			if k == 2 {
				<-release
			}
		}}
	})
	n.wait(t, "takes part")
	hire(t, server.URL(), WorkerConfig{}, nil)
	got, err := train(t.Context(), r, c.Executor(r.Seed), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	close(release)
	hanging()
	same(t, got, alone(t, r))
	if !strings.Contains(n.String(), "is slow") {
		t.Errorf("notes: %s", n)
	}
}

// A worker that answers a unit with other bits ends the training, if another answer to the unit is there to compare with.
func TestDisagreement(t *testing.T) {
	server := start(t, embedded.Config{})
	r := parse(t, trainings["backprop"])
	for _, any := range []bool{false, true} {
		c, n := lead(t, server.URL(), r, Options{AnyPath: any})
		conn := connect(t, server.URL())
		liar, err := conn.nc.Subscribe(answerSubject(c.ID(), ">"), func(m *nats.Msg) {
			a, err := readAnswer(m.Data)
			if err != nil || a.Worker == "liar" {
				return
			}
			result, err := readResult(a.Body)
			if err != nil || len(result.Gradient) == 0 {
				return
			}
			result.Gradient[0] += 1e-9
			a.Worker = "liar"
			if a.Body, err = result.marshal(); err == nil {
				if data, err := a.marshal(); err == nil {
					_ = conn.nc.Publish(m.Subject, data)
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		stop := hire(t, server.URL(), WorkerConfig{}, nil)
		_, err = train(t.Context(), r, c.Executor(r.Seed), nil, nil)
		var wrong *DisagreementError
		if any {
			if err != nil || !strings.Contains(n.String(), "different bits") {
				t.Errorf("with AnyPath: %v; %s", err, n)
			}
		} else if !errors.As(err, &wrong) || wrong.First == "liar" && wrong.Second == "liar" {
			t.Errorf("error %v", err)
		}
		if err := liar.Unsubscribe(); err != nil {
			t.Fatal(err)
		}
		stop()
		c.Close()
	}
}

// A second coordinator of the same training is refused; when the first one has ended, it leads.
func TestSecondCoordinator(t *testing.T) {
	server := start(t, embedded.Config{})
	r := parse(t, trainings["backprop"])
	first, _ := lead(t, server.URL(), r, Options{Lease: 3 * time.Second})
	_, err := Coordinate(t.Context(), connect(t, server.URL()), Training{Recipe: r}, Options{Lease: 3 * time.Second})
	var led *LedError
	if !errors.As(err, &led) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("error %v", err)
	}
	other := r
	other.Seed++
	lead(t, server.URL(), other, Options{}) // another training
	first.Close()
	lead(t, server.URL(), r, Options{Lease: 3 * time.Second})
}

// A coordinator that lost its lease to another one ends.
func TestLostLease(t *testing.T) {
	server := start(t, embedded.Config{})
	r := parse(t, trainings["backprop"])
	c, _ := lead(t, server.URL(), r, Options{Lease: 3 * time.Second})
	if _, err := c.queue.held.kv.Put(t.Context(), leaseKey, []byte(`{"by":"somebody","session":"x"}`)); err != nil {
		t.Fatal(err)
	}
	_, err := train(t.Context(), r, c.Executor(r.Seed), nil, nil)
	var led *LedError
	if !errors.As(err, &led) || led.By != "somebody" {
		t.Errorf("error %v", err)
	}
}

// Workers of another protocol, of another build, and with other data are refused, and the coordinator says so.
func TestRefusedWorkers(t *testing.T) {
	server := start(t, embedded.Config{})
	r := parse(t, trainings["backprop"])
	otherBuild := HereBuild()
	otherBuild.Kernels = "abacus"
	c, n := lead(t, server.URL(), r, Options{})
	hire(t, server.URL(), WorkerConfig{Protocol: 99}, nil)
	n.wait(t, "version 99 of the protocol")
	hire(t, server.URL(), WorkerConfig{Build: otherBuild}, nil)
	n.wait(t, "with the kernels abacus")
	if strings.Contains(n.String(), "takes part") {
		t.Errorf("a refused worker takes part: %s", n)
	}
	c.Close()
	c, n = lead(t, server.URL(), r, Options{AnyPath: true})
	n.wait(t, "takes part")
	if _, err := train(t.Context(), r, c.Executor(r.Seed), nil, nil); err != nil {
		t.Error(err)
	}
	if strings.Contains(n.String(), "abacus") {
		t.Errorf("with AnyPath: %s", n)
	}
	c.Close()
	n = &notes{}
	data, err := Coordinate(t.Context(), connect(t, server.URL()), Training{Recipe: r, Data: "another"}, Options{AnyPath: true, Note: n.add})
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	n.wait(t, "the checksum")
}

// A unit that one worker cannot compute goes to another one; if that one cannot either, the training ends.
func TestFailingWorkers(t *testing.T) {
	server := start(t, embedded.Config{})
	r := parse(t, trainings["backprop"])
	failing := func(inner computer) computer { return failingComputer{inner} }
	c, n := lead(t, server.URL(), r, Options{})
	hire(t, server.URL(), WorkerConfig{}, failing)
	hire(t, server.URL(), WorkerConfig{}, nil)
	for strings.Count(n.String(), "takes part") < 2 {
		time.Sleep(10 * time.Millisecond)
	}
	got, err := train(t.Context(), r, c.Executor(r.Seed), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, alone(t, r))
	two := start(t, embedded.Config{})
	c, n = lead(t, two.URL(), r, Options{})
	for range 2 {
		hire(t, two.URL(), WorkerConfig{}, failing)
	}
	_, err = train(t.Context(), r, c.Executor(r.Seed), nil, nil)
	var wrong *WorkError
	if !errors.As(err, &wrong) || !strings.Contains(err.Error(), "no more memory") {
		t.Errorf("error %v; %s", err, n)
	}
}

type failingComputer struct{ computer }

func (failingComputer) compute(context.Context, []byte) ([]byte, int, error) {
	return nil, 0, errors.New("no more memory")
}

// When the program is to end and no worker is there, waiting ends.
func TestStopping(t *testing.T) {
	server := start(t, embedded.Config{})
	r := parse(t, trainings["backprop"])
	ctx, cancel := context.WithCancel(t.Context())
	c, n := lead(t, server.URL(), r, Options{Stopping: ctx.Done()})
	go func() {
		n.wait(t, "no worker is there")
		cancel()
	}()
	if _, err := train(t.Context(), r, c.Executor(r.Seed), nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
