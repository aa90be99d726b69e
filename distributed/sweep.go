package distributed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"learnedopt/internal/saved"
	"learnedopt/metaopt"
	"learnedopt/sweep"
)

// A SweepCoordinator sends the units of a sweep to workers. It belongs to one goroutine.
type SweepCoordinator struct {
	queue *queue
	plan  *sweep.Plan
}

var _ sweep.Executor = (*SweepCoordinator)(nil)

// optimizerPrefix and the checksum of an optimizer's bytes are the name of the object that holds it.
const optimizerPrefix = "optimizer-"

// cellsAhead is the time for which a worker is given cells in advance: longer than a request takes on any network, and short beside
// the cells that others could begin meanwhile.
const cellsAhead = 250 * time.Millisecond

// CoordinateSweep begins to coordinate a sweep. It takes the sweep's lease: if another process has it, the error is a *LedError.
// Close ends it.
func CoordinateSweep(ctx context.Context, c *Conn, p *sweep.Plan, o Options) (*SweepCoordinator, error) {
	cfg := p.Config()
	data, err := p.Checksum()
	if err != nil {
		return nil, err
	}
	j, objects := job{Kind: sweepKind, Sweep: &cfg, Data: data}, map[string][]byte{}
	for _, l := range cfg.Learned {
		var b bytes.Buffer
		if err := metaopt.Write(&b, l.Optimizer); err != nil {
			return nil, err
		}
		name := optimizerPrefix + digestOf(b.Bytes())
		j.Objects, objects[name] = append(j.Objects, name), b.Bytes()
	}
	q, err := openQueue(ctx, c, j, objects, o)
	if err != nil {
		return nil, err
	}
	q.ahead = cellsAhead
	q.fixed = func(body []byte) []byte {
		if m, err := readCell(body); err == nil {
			return m.Result
		}
		return body
	}
	return &SweepCoordinator{q, p}, nil
}

// Close ends the job on the server, unless another coordinator has taken it over.
func (c *SweepCoordinator) Close() { c.queue.close() }

// ID returns the job's identity on the server.
func (c *SweepCoordinator) ID() string { return c.queue.id }

// Compute implements sweep.Executor. It waits as long as it takes for workers to compute the units.
func (c *SweepCoordinator) Compute(ctx context.Context, units []sweep.Unit, take func(...sweep.Result) error) error {
	pieces := make([]*piece, len(units))
	for i, u := range units {
		body, err := json.Marshal(u)
		if err != nil {
			return fmt.Errorf("distributed: %s: %w", c.plan.UnitName(u), err)
		}
		pieces[i] = &piece{id: digest("cell", string(body)), what: c.plan.UnitName(u), body: body}
	}
	return c.queue.runBatches(ctx, pieces, func(all []answered) error {
		var got []sweep.Result
		for _, d := range all {
			res, err := c.result(units[d.piece.order], d.answer.Body)
			if err != nil {
				return fmt.Errorf("worker %s: %w", d.answer.Worker, err)
			}
			res.Unit, res.Ended = d.piece.order, true
			got = append(got, res)
		}
		return take(got...)
	})
}

// result reads the result of a unit.
func (c *SweepCoordinator) result(u sweep.Unit, body []byte) (res sweep.Result, err error) {
	m, err := readCell(body)
	if err != nil {
		return res, err
	}
	var measured []sweep.Measurement
	if err = errors.Join(strict(m.Result, &res), strict(m.Measured, &measured)); err == nil {
		if res, err = res.Measured(measured); err == nil {
			err = c.plan.CheckResult(u, res)
		}
	}
	if err != nil {
		return res, fmt.Errorf("%w: a cell: %w", ErrMessage, err)
	}
	return res, nil
}

// strict reads JSON without unknown keys.
func strict(data []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	return d.Decode(to)
}

// A cellMessage is the result of a unit of a sweep: a sweep.Result without measurements, and these, in JSON.
type cellMessage struct{ Result, Measured []byte }

func (m *cellMessage) marshal() ([]byte, error) {
	w := saved.NewWriter("cell", Protocol)
	w.Text(string(m.Result))
	w.Text(string(m.Measured))
	return w.Bytes()
}

func readCell(data []byte) (*cellMessage, error) {
	r := saved.NewReader(data, "cell", Protocol)
	m := &cellMessage{Result: []byte(r.Text()), Measured: []byte(r.Text())}
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("%w: a cell: %w", ErrMessage, err)
	}
	return m, nil
}

// A sweeper computes the units of one sweep.
type sweeper struct{ plan *sweep.Plan }

func newSweeper(j *job, objects map[string][]byte, w WorkerConfig) (*sweeper, error) {
	cfg := *j.Sweep
	cfg.DataDir = w.DataDir
	for i, name := range j.Objects {
		data := objects[name]
		if name != optimizerPrefix+digestOf(data) {
			return nil, fmt.Errorf("%w: the object %s has another checksum", ErrMessage, name)
		}
		o, err := metaopt.Read(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("%w: the optimizer %.80q: %w", ErrMessage, cfg.Learned[i].Name, err)
		}
		cfg.Learned[i].Optimizer = o
	}
	p, err := cfg.Plan()
	if err != nil {
		return nil, err
	}
	data, err := p.Checksum()
	if err != nil {
		return nil, err
	}
	if data != j.Data {
		return nil, &RefusedError{Reason: RefusedData, Here: data, There: j.Data}
	}
	return &sweeper{p}, nil
}

// compute implements computer.
func (s *sweeper) compute(ctx context.Context, body []byte) ([]byte, int, error) {
	var u sweep.Unit
	if err := strict(body, &u); err != nil {
		return nil, 0, fmt.Errorf("%w: a unit of a sweep: %w", ErrMessage, err)
	}
	res, err := s.plan.Compute(ctx, u)
	if err != nil {
		return nil, 0, err
	}
	res, measured := res.Unmeasured()
	m := &cellMessage{}
	if m.Result, err = json.Marshal(res); err == nil {
		m.Measured, err = json.Marshal(measured)
	}
	if err != nil {
		return nil, 0, err
	}
	data, err := m.marshal()
	return data, 0, err
}

func (s *sweeper) close(bool) {}
