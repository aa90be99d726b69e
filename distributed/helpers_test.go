package distributed

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"learnedopt/distributed/embedded"
	"learnedopt/metatrain"
	"learnedopt/recipe"
)

// tiny are the options of a training of a fraction of a second.
const tiny = `"defaults": 2, "task": {"name": "quadratic", "dims": [2], "batch": [4]}, "steps": 20, "unroll": 5, "hidden": 4, "valid_runs": 2, "valid_every": 5, "seed": 3`

// trainings are trainings that together have everything that an episode's state can hold.
var trainings = map[string]string{
	"backprop":           `"meta_steps": 12, "meta_batch": 3`,
	"pes, random steps":  `"meta_steps": 12, "meta_batch": 4, "estimator": "pes", "random_steps": true`,
	"imitation of rules": `"meta_steps": 8, "meta_batch": 2, "imitate": 0.5, "objective": "relative", "inputs": "logsign+rnnprop"`,
}

func parse(t testing.TB, options string) recipe.Recipe {
	t.Helper()
	r, err := recipe.Parse([]byte("{" + tiny + ", " + options + "}"))
	if err != nil {
		t.Fatal(err)
	}
	return r.WithDefaults()
}

// A trained is the result of a training: the bits of φ and of the best φ, and the events without their times.
type trained struct {
	Phi, Best []uint32
	Events    []string
}

var secondsOf = regexp.MustCompile(`"(gradient_|update_)?seconds":[0-9.e+-]+,?`)

// train trains by a recipe with an executor, nil for this process. atRest may be nil. state is that of a trainer to resume, or
// nil.
func train(ctx context.Context, r recipe.Recipe, x metatrain.Executor, state []byte, atRest func(*metatrain.Trainer) error) (trained, error) {
	var got trained
	cfg, err := r.Config(recipe.Local{})
	if err != nil {
		return got, err
	}
	cfg.Executor, cfg.AtRest = x, atRest
	cfg.OnEvent = func(e metatrain.Event) {
		line, _ := json.Marshal(e)
		got.Events = append(got.Events, secondsOf.ReplaceAllString(string(line), ""))
	}
	trainer, err := metatrain.NewTrainer(cfg)
	if err != nil {
		return got, err
	}
	if state != nil {
		if err := trainer.UnmarshalBinary(state); err != nil {
			return got, err
		}
	}
	best, err := trainer.Train(ctx)
	if err != nil {
		return got, err
	}
	got.Phi, got.Best = bits(trainer.Network().Params()), bits(best.Network.Params())
	return got, nil
}

func bits(x []float32) (b []uint32) {
	for _, v := range x {
		b = append(b, math.Float32bits(v))
	}
	return b
}

// alone trains in this process.
func alone(t testing.TB, r recipe.Recipe) trained {
	t.Helper()
	got, err := train(t.Context(), r, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func same(t testing.TB, got, want trained) {
	t.Helper()
	if !slices.Equal(got.Phi, want.Phi) || !slices.Equal(got.Best, want.Best) {
		t.Error("φ differs")
	}
	if !slices.Equal(got.Events, want.Events) {
		t.Errorf("events differ:\n%s\nwant\n%s", strings.Join(got.Events, "\n"), strings.Join(want.Events, "\n"))
	}
}

// start starts a server, in a folder of its own unless one is named.
func start(t testing.TB, c embedded.Config) *embedded.Server {
	t.Helper()
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	if c.Store == "" {
		c.Store = t.TempDir()
	}
	s, err := embedded.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func connect(t testing.TB, url string) *Conn {
	t.Helper()
	c, err := Connect(t.Context(), Server{URL: url}, t.Name())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// notes collects what a coordinator or a worker notes.
type notes struct {
	mu  sync.Mutex
	all []string
}

func (n *notes) add(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, fmt.Sprintf(format, args...))
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.all, "\n")
}

func (n *notes) wait(t testing.TB, word string) {
	t.Helper()
	n.waitTimes(t, word, 1)
}

// waitTimes waits until something was noted so many times.
func (n *notes) waitTimes(t testing.TB, word string, times int) {
	t.Helper()
	for range 6000 {
		if strings.Count(n.String(), word) >= times {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("nobody noted %q: %s", word, n)
}

// hire starts a worker of one unit at a time in this process. It ends with the test, or when the returned function is called.
func hire(t testing.TB, url string, cfg WorkerConfig, wrap func(computer) computer) (stop func()) {
	t.Helper()
	return hireOn(t, connect(t, url), cfg, wrap)
}

func hireOn(t testing.TB, conn *Conn, cfg WorkerConfig, wrap func(computer) computer) (stop func()) {
	t.Helper()
	if cfg.Slots == 0 {
		cfg.Slots = 1
	}
	w, err := NewWorker(conn, cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.wrap = wrap
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// lead coordinates a training until the test ends, with notes.
func lead(t testing.TB, url string, r recipe.Recipe, o Options) (*Coordinator, *notes) {
	t.Helper()
	n := &notes{}
	o.Note = n.add
	c, err := Coordinate(t.Context(), connect(t, url), Training{Recipe: r}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, n
}

// Processes of their own are this test's program with the variable roleEnv, which names one of roles.
const (
	roleEnv = "METAOPT_TEST_ROLE"
	urlEnv  = "METAOPT_TEST_URL"
)

var roles = map[string]func(url string) error{"worker": workerRole, "dying worker": dyingRole, "dying coordinator": dyingCoordinatorRole, "dying sweep": dyingSweepRole}

func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		if err := roles[role](os.Getenv(urlEnv)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// spawn starts this test's program in a role. It is killed when the test ends.
func spawn(t testing.TB, role, url string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), append(env, roleEnv+"="+role, urlEnv+"="+url)...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	})
	return cmd
}

func workerRole(url string) error { return roleOf(url, nil) }

// dyingRole is a worker that is killed in the middle of its fourth unit of a training, or its second cell of a sweep: it has been computed,
// and nobody knows.
func dyingRole(url string) error {
	return roleOf(url, func(c computer) computer {
		return &wrapped{computer: c, after: func(n int, _ []byte, _ error) {
			if _, cells := c.(*sweeper); n == 4 || n == 2 && cells {
				kill()
			}
		}}
	})
}

func roleOf(url string, wrap func(computer) computer) error {
	c, err := Connect(context.Background(), Server{URL: url}, "test")
	if err != nil {
		return err
	}
	w, err := NewWorker(c, WorkerConfig{Slots: 1})
	if err != nil {
		return err
	}
	w.wrap = wrap
	return w.Run(context.Background())
}

// kill ends this process as SIGKILL does.
func kill() {
	p, err := os.FindProcess(os.Getpid())
	if err == nil {
		_ = p.Kill()
	}
	select {}
}

// wrapped calls functions before and after each piece, with its number.
type wrapped struct {
	computer
	mu     sync.Mutex
	n      int
	before func(n int)
	after  func(n int, answer []byte, err error)
	change func(n int, answer []byte) []byte
}

func (w *wrapped) compute(ctx context.Context, body []byte) ([]byte, int, error) {
	w.mu.Lock()
	w.n++
	n := w.n
	w.mu.Unlock()
	if w.before != nil {
		w.before(n)
	}
	answer, replayed, err := w.computer.compute(ctx, body)
	if w.after != nil {
		w.after(n, answer, err)
	}
	if w.change != nil && err == nil {
		answer = w.change(n, answer)
	}
	return answer, replayed, err
}
