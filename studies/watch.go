package studies

import (
	"fmt"
	"path/filepath"

	"learnedopt/optimizer"
	"learnedopt/tensorboard"
)

// A watched rule shows each of its steps.
type watched struct {
	optimizer.Rule
	each func(step int, p optimizer.Point, update []float32) error
}

// Needs implements optimizer.Rule: what the rule needs, and the parameters.
func (w watched) Needs() optimizer.Needs {
	n := w.Rule.Needs()
	n.Theta = true
	return n
}

// Start implements optimizer.Rule.
func (w watched) Start(layout optimizer.Layout) optimizer.State {
	return &watchedState{w.Rule.Start(layout), w.each}
}

type watchedState struct {
	optimizer.State
	each func(step int, p optimizer.Point, update []float32) error
}

// Update implements optimizer.State.
func (s *watchedState) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	move, err := s.State.Update(dst, p)
	if err == nil {
		err = s.each(p.Step, p, dst)
	}
	return move, err
}

// An events writes an event file of TensorBoard with what the tutorial's has, or nothing if it has no writer.
type events struct{ w *tensorboard.Writer }

// openEvents begins the event file of a row's first instance.
func (b *bench) openEvents(row string, instance int) (events, error) {
	if b.Dir == "" || instance > 0 {
		return events{}, nil
	}
	dir := filepath.Join("events", row)
	w, err := tensorboard.Create(filepath.Join(b.Dir, dir))
	if err != nil {
		return events{}, fmt.Errorf("studies: %w", err)
	}
	b.Files = append(b.Files, filepath.ToSlash(dir))
	return events{w}, nil
}

func (e events) scalar(step int, tag string, value float64) {
	if e.w != nil {
		e.w.Scalar(int64(step), tag, value)
	}
}

// histograms is the number of steps at which each tensor has histograms.
const histograms = 40

// step writes the loss, and at some steps histograms of each tensor: its numbers, their gradients or what the tutorial's rule has in place of them, and the update.
func (e events) step(step, steps int, layout optimizer.Layout, p optimizer.Point, update, natural []float32) {
	if e.w == nil {
		return
	}
	e.scalar(step, "train/loss", p.Loss)
	if step%max(1, steps/histograms) != 0 {
		return
	}
	grad := p.Grad
	if natural != nil {
		grad = natural
	}
	for _, t := range layout.Tensors() {
		for _, x := range []struct {
			tag    string
			values []float32
		}{{"value/", p.Theta}, {"grad/", grad}, {"update/", update}} {
			e.w.Histogram(int64(step), x.tag+t.Name, x.values[t.From:t.From+t.Len()])
		}
	}
}

func (e events) close() error {
	if e.w == nil {
		return nil
	}
	return e.w.Close()
}
