package distributed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"learnedopt/distributed/embedded"
	"learnedopt/metaopt"
	"learnedopt/report/comparison"
	"learnedopt/sweep"
	"learnedopt/sweep/results"
	"learnedopt/tasks"
)

// sweptPlan is the plan of a sweep of a fraction of a second, with everything that a cell can have.
func sweptPlan(t testing.TB, change func(*sweep.Config)) *sweep.Plan {
	t.Helper()
	p, err := sweptConfig(change).Plan()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func sweptConfig(change func(*sweep.Config)) sweep.Config {
	o, err := metaopt.Pretrained("quadratic")
	if err != nil {
		panic(err) // it is in the program
	}
	c := sweep.Config{
		Task:  tasks.MustParse("quadratic batch=4"),
		Axes:  []sweep.Axis{{Key: "dims", Values: []string{"2", "5", "3"}}, {Key: "steps", Values: []string{"5", "12"}}},
		Steps: 5, Runs: 3, Seed: 3, Learned: []sweep.Learned{{Name: "q", Source: "pretrained:quadratic", Optimizer: o}},
		Rules: []string{"sgd", "adam"}, Tune: sweep.TuneBoth, TuneRuns: 2, Grid: 1, Reach: 2, TuneLearned: true, KLGuard: 0.01, Times: true,
	}
	if change != nil {
		change(&c)
	}
	return c
}

// The measured parts of a record.
var measuredOf = regexp.MustCompile(`"time":"[^"]*",|,"seconds":[0-9.e+-]+(,"step_time":\{[^}]*\})?`)

// run runs a sweep in a folder, and returns the remarks.
func run(ctx context.Context, dir string, p *sweep.Plan, x sweep.Executor) (n *notes, err error) {
	n = &notes{}
	s, err := sweep.OpenStore(dir)
	if err != nil {
		return n, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := p.Write(dir); err != nil {
		return n, err
	}
	return n, p.Run(ctx, s, sweep.RunOptions{Executor: x, Note: n.add})
}

// written returns what a sweep wrote, without what is measured: the files and the table.
func written(t testing.TB, dir string) string {
	t.Helper()
	var all strings.Builder
	plain := t.TempDir()
	for _, name := range []string{results.CellsFile, sweep.TuningFile, results.ManifestFile} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		data = measuredOf.ReplaceAll(data, nil)
		all.Write(data)
		if err := os.WriteFile(filepath.Join(plain, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	res, err := results.Load(plain)
	if err != nil {
		t.Fatal(err)
	}
	if err := comparison.WriteSweep(&all, res); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, sweep.AheadFile)); err == nil {
		t.Errorf("%s is still there", sweep.AheadFile)
	}
	return all.String()
}

// sameText reports the first line in which two texts differ.
func sameText(t testing.TB, got, want string) {
	t.Helper()
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			t.Errorf("line %d of %d differs, want %d lines:\n%.400q\nwant\n%.400q", i+1, len(a), len(b), a[min(i, len(a)-1)], b[min(i, len(b)-1)])
			return
		}
	}
}

// swept sweeps in this process and returns what is written, and the remarks.
func swept(t testing.TB, p *sweep.Plan) (string, string) {
	t.Helper()
	dir := t.TempDir()
	n, err := run(t.Context(), dir, p, nil)
	if err != nil {
		t.Fatal(err)
	}
	return written(t, dir), n.String()
}

func leadSweep(t testing.TB, url string, p *sweep.Plan, o Options) (*SweepCoordinator, *notes) {
	t.Helper()
	n := &notes{}
	o.Note = n.add
	c, err := CoordinateSweep(t.Context(), connect(t, url), p, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, n
}

// A sweep has the bytes of one in this process, with one worker and with three, whatever is tuned where. Answers come twice and out of
// order, and strangers answer.
func TestSweepGivesTheBytesOfOneProcess(t *testing.T) {
	server := start(t, embedded.Config{})
	conn := connect(t, server.URL())
	again, err := conn.nc.Subscribe("metaopt.*.*.>", func(m *nats.Msg) {
		if m.Header.Get("Nats-Msg-Id") != "" {
			_ = conn.nc.Publish(m.Subject, m.Data) // without an id the server takes it for a new one
			_ = conn.nc.Publish(m.Subject, []byte("stranger"))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Unsubscribe() }()
	for _, tune := range sweep.Tunes() {
		p := sweptPlan(t, func(c *sweep.Config) { c.Tune = tune })
		want, remarks := swept(t, p)
		for _, workers := range []int{1, 3} {
			t.Run(tune, func(t *testing.T) {
				c, n := leadSweep(t, server.URL(), p, Options{})
				for i := range workers {
					hire(t, server.URL(), WorkerConfig{Slots: 2}, func(inner computer) computer {
						return &wrapped{computer: inner, before: func(k int) {
							if k%3 == i {
								time.Sleep(3 * time.Millisecond) // after a later one
							}
						}}
					})
				}
				dir := t.TempDir()
				told, err := run(t.Context(), dir, p, c)
				if err != nil {
					t.Fatalf("%v; %s", err, n)
				}
				sameText(t, written(t, dir), want)
				if told.String() != remarks {
					t.Errorf("remarks %s\nwant %s", told, remarks)
				}
			})
		}
	}
}

// A worker's process is killed in the middle of a cell. A training has the same workers at the same time.
func TestKilledWorkersOfASweep(t *testing.T) {
	server := start(t, embedded.Config{})
	p := sweptPlan(t, nil)
	want, _ := swept(t, p)
	c, n := leadSweep(t, server.URL(), p, Options{})
	r := parse(t, trainings["backprop"])
	beside, _ := lead(t, server.URL(), r, Options{})
	spawn(t, "dying worker", server.URL())
	spawn(t, "worker", server.URL())
	n.waitTimes(t, "takes part", 2)
	trainedBeside := make(chan error, 1)
	var got trained
	go func() {
		var err error
		got, err = train(t.Context(), r, beside.Executor(r.Seed), nil, nil)
		trainedBeside <- err
	}()
	dir := t.TempDir()
	if _, err := run(t.Context(), dir, p, c); err != nil {
		t.Fatal(err)
	}
	if err := <-trainedBeside; err != nil {
		t.Fatal(err)
	}
	same(t, got, alone(t, r))
	sameText(t, written(t, dir), want)
	if !strings.Contains(n.String(), "has gone") {
		t.Errorf("nobody died: %s", n)
	}
}

// folderEnv names the folder of a sweep.
const folderEnv = "METAOPT_TEST_FOLDER"

// dyingSweepRole sweeps, and is killed when four results have come and the first cell has not: all of them are ahead of their turn.
func dyingSweepRole(url string) error {
	conn, err := Connect(context.Background(), Server{URL: url}, "test")
	if err != nil {
		return err
	}
	p, err := sweptConfig(func(c *sweep.Config) { c.Tune = sweep.TuneCell }).Plan()
	if err != nil {
		return err
	}
	c, err := CoordinateSweep(context.Background(), conn, p, Options{Lease: 3 * time.Second})
	if err != nil {
		return err
	}
	_, err = run(context.Background(), os.Getenv(folderEnv), p, dyingExecutor{c})
	return errors.Join(err, errors.New("it was not killed"))
}

// dyingExecutor is killed after its fourth result. It keeps the first unit's result back.
type dyingExecutor struct{ *SweepCoordinator }

func (x dyingExecutor) Compute(ctx context.Context, units []sweep.Unit, take func(...sweep.Result) error) error {
	n := 0
	return x.SweepCoordinator.Compute(ctx, units, func(all ...sweep.Result) error {
		for _, res := range all {
			if res.Unit == 0 {
				continue
			}
			if err := take(res); err != nil {
				return err
			}
			if n++; n == 4 {
				kill()
			}
		}
		return nil
	})
}

// The coordinator's process of a sweep is killed, and another one goes on in the same folder, with the workers that are there. What came
// ahead of its turn is not computed again, and a sweep in one process goes on as well.
func TestKilledCoordinatorOfASweep(t *testing.T) {
	server := start(t, embedded.Config{})
	computed := make(chan int, 100)
	for range 2 {
		hire(t, server.URL(), WorkerConfig{}, func(inner computer) computer {
			return &wrapped{computer: inner, after: func(n int, _ []byte, err error) {
				if err == nil {
					computed <- n
				}
			}}
		})
	}
	p := sweptPlan(t, func(c *sweep.Config) { c.Tune = sweep.TuneCell })
	want, _ := swept(t, p)
	for _, many := range []bool{false, true} {
		dir := t.TempDir()
		if err := spawn(t, "dying sweep", server.URL(), folderEnv+"="+dir).Wait(); err == nil {
			t.Fatal("it was not killed")
		}
		data, err := os.ReadFile(filepath.Join(dir, sweep.AheadFile))
		if err != nil || bytes.Count(data, []byte("\n")) != 4 {
			t.Fatalf("%d results are kept, want 4; %v", bytes.Count(data, []byte("\n")), err)
		}
		for len(computed) > 0 {
			<-computed
		}
		var x sweep.Executor
		if many {
			c, _ := leadSweep(t, server.URL(), p, Options{Lease: 3 * time.Second})
			for len(computed) > 0 { // what was in the workers when the coordinator died
				<-computed
			}
			x = c
		}
		if _, err := run(t.Context(), dir, p, x); err != nil {
			t.Fatal(err)
		}
		sameText(t, written(t, dir), want)
		if n := len(computed); many && n != 2 {
			t.Errorf("%d cells were computed, want the 2 that were missing", n)
		}
	}
}

// An interrupt ends a sweep at once, and the workers stop computing for it. Where it goes on, nothing is lost.
func TestInterruptedSweep(t *testing.T) {
	server := start(t, embedded.Config{})
	p := sweptPlan(t, nil)
	want, _ := swept(t, p)
	c, _ := leadSweep(t, server.URL(), p, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	s := &stuck{left: 5, then: cancel, stopped: stopped}
	hire(t, server.URL(), WorkerConfig{}, func(inner computer) computer {
		s.computer = inner
		return s
	})
	dir := t.TempDir()
	if _, err := run(ctx, dir, p, c); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	c.Close()
	<-stopped
	c, _ = leadSweep(t, server.URL(), p, Options{})
	if _, err := run(t.Context(), dir, p, c); err != nil {
		t.Fatal(err)
	}
	sameText(t, written(t, dir), want)
}

// stuck computes some pieces, then calls a function and computes until it is told to stop.
type stuck struct {
	computer
	left    int
	then    func()
	stopped chan struct{}
}

func (s *stuck) compute(ctx context.Context, body []byte) ([]byte, int, error) {
	if s.left--; s.left == 0 {
		s.then()
		<-ctx.Done()
		close(s.stopped)
		return nil, 0, ctx.Err()
	}
	return s.computer.compute(ctx, body)
}

// A cell that no worker can compute ends the sweep with the worker's error; what is there stays. Answers that are no result of their cell, and
// two answers that differ, are errors; times may differ.
func TestWrongCells(t *testing.T) {
	server := start(t, embedded.Config{})
	p := sweptPlan(t, nil)
	edit := func(from, to string) func(computer) computer {
		return func(inner computer) computer {
			return &wrapped{computer: inner, change: func(n int, body []byte) []byte {
				m, err := readCell(body)
				if err != nil {
					panic(err)
				}
				if n == 6 {
					m.Result, m.Measured = bytes.Replace(m.Result, []byte(from), []byte(to), 1), bytes.Replace(m.Measured, []byte(from), []byte(to), 1)
				}
				body, _ = m.marshal()
				return body
			}}
		}
	}
	for name, c := range map[string]struct {
		wrap func(computer) computer
		word string
		want error
	}{
		"failing":        {func(inner computer) computer { return failingComputer{inner} }, "no more memory", &WorkError{}},
		"another key":    {edit(`"key":"`, `"key":"x`), "is missing", ErrMessage},
		"another cell":   {edit(`"cell":{"dims":"`, `"cell":{"dims":"1`), "something else", ErrMessage},
		"too few losses": {edit(`"mean_losses":[`, `"mean_losses":[1,`), "fewer or more numbers", ErrMessage},
		"unknown":        {edit(`"records":`, `"recordings":`), "unknown field", ErrMessage},
		"no times":       {edit(`{"time":`, `{"tim":`), "unknown field", ErrMessage},
		"more":           {edit(`],"records":[`, `,{"key":"x"}],"records":[`), "something else", ErrMessage},
	} {
		t.Run(name, func(t *testing.T) {
			stop := hire(t, server.URL(), WorkerConfig{}, c.wrap)
			defer stop()
			lead, n := leadSweep(t, server.URL(), p, Options{})
			defer lead.Close()
			_, err := run(t.Context(), t.TempDir(), p, lead)
			var failed *WorkError
			if is := errors.As(err, &failed); err == nil || !strings.Contains(err.Error(), c.word) || !is && !errors.Is(err, c.want) {
				t.Errorf("error %v; %s", err, n)
			}
		})
	}
	stop := hire(t, server.URL(), WorkerConfig{}, edit("never", ""))
	defer stop()
	c, _ := leadSweep(t, server.URL(), p, Options{})
	conn := connect(t, server.URL())
	liar, err := conn.nc.Subscribe(answerSubject(c.ID(), ">"), func(m *nats.Msg) {
		a, err := readAnswer(m.Data)
		if err != nil || a.Worker == "liar" {
			return
		}
		cell, err := readCell(a.Body)
		if err != nil {
			return
		}
		a.Worker, cell.Result = "liar", bytes.Replace(cell.Result, []byte(`"mean_losses":[`), []byte(`"mean_losses":[1`), 1)
		a.Body, _ = cell.marshal()
		data, _ := a.marshal()
		_ = conn.nc.Publish(m.Subject, data)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = liar.Unsubscribe() }()
	_, err = run(t.Context(), t.TempDir(), p, c)
	var wrong *DisagreementError
	if !errors.As(err, &wrong) {
		t.Errorf("error %v", err)
	}
}

// Workers refuse a sweep whose optimizers have other checksums, and units that contradict it.
func TestHostileSweeps(t *testing.T) {
	p := sweptPlan(t, nil)
	cfg := p.Config()
	j := job{Protocol: Protocol, Kind: sweepKind, Sweep: &cfg, Objects: []string{optimizerPrefix + digest("another")}}
	if _, err := newSweeper(&j, map[string][]byte{j.Objects[0]: []byte("bytes")}, WorkerConfig{}); !errors.Is(err, ErrMessage) || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("error %v", err)
	}
	s := &sweeper{p}
	for _, u := range []string{`{"cell":6,"rules":[0]}`, `{"cell":-1,"rules":[]}`, `{"cell":0,"rules":[0,0]}`, `{"cell":0,"rules":[99]}`, `{"cell":0,"base":true,"rules":[0]}`, `{"cell":0,"rules":[3]}`, `{"cell":0,"known":[{"key":"a"}],"rules":[0]}`, `{"cell":0,"x":1}`, `x`} {
		if _, _, err := s.compute(t.Context(), []byte(u)); err == nil {
			t.Errorf("%s was computed", u)
		}
	}
	data, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{`"lease":"0s"`: `"lease":"1s"`, `"Steps":5`: `"Steps":0`, `"objects":[`: `"objects":["x",`, `"kind":"sweep"`: `"kind":"training"`} {
		bad := strings.Replace(string(data), `"lease":"0s"`, `"lease":"1s"`, 1)
		if from != `"lease":"0s"` {
			bad = strings.Replace(bad, from, to, 1)
		}
		if _, err := readJob([]byte(bad)); (err == nil) != (from == `"lease":"0s"`) || err != nil && !errors.Is(err, ErrMessage) {
			t.Errorf("%s: error %v", to, err)
		}
	}
}
