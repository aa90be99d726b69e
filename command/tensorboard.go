package command

import (
	"fmt"
	"os"
	"path/filepath"

	"learnedopt/compare"
	"learnedopt/lstm"
	"learnedopt/metatrain"
	"learnedopt/tensorboard"
)

// A board shows a training in TensorBoard. Without --tensorboard, and after a first failure, it does nothing: a failing board
// must not end the training.
type board struct {
	app *app
	w   *tensorboard.Writer
}

// checkBoard returns an error if the folder of --tensorboard cannot be made. It is called before a training.
func checkBoard(dir string) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("--tensorboard %s: %w; choose another folder", dir, err)
	}
	return nil
}

// hasEvents says whether a folder already holds events of a training.
func hasEvents(dir string) bool {
	for _, below := range []string{"", "seed*"} {
		if found, err := filepath.Glob(filepath.Join(dir, below, "events.out.tfevents*")); err == nil && len(found) > 0 {
			return true
		}
	}
	return false
}

// openBoard begins the event file of a training. With several seeds, each seed has its own folder in dir, which TensorBoard
// shows as a run. Of a training that goes on, next is the first meta-step that is still to be shown.
func (a *app) openBoard(dir string, seed *uint64, next int) *board {
	b := &board{app: a}
	if dir == "" {
		return b
	}
	if seed != nil {
		dir = filepath.Join(dir, fmt.Sprintf("seed%d", *seed))
	}
	w, err := tensorboard.Create(dir)
	if err != nil {
		b.fail(err)
		return b
	}
	b.w = w
	w.Start(int64(next))
	return b
}

// fail prints a warning. It does so even with --quiet, because something that the user asked for is missing.
func (b *board) fail(err error) {
	fmt.Fprintf(b.app.stderr, "%s the training goes on, but TensorBoard does not see all of it: %s\n", paint(b.app.stderr, yellow, "warning:"), oneLine(err))
}

// end closes the file. There is only one warning, for the first failure.
func (b *board) end() {
	if b.w == nil {
		return
	}
	if err := b.w.Close(); err != nil {
		b.fail(err)
	}
	b.w = nil
}

// add writes an event of a training. net is the present network, and rate the meta learning rate of the last meta-step.
func (b *board) add(e metatrain.Event, net *lstm.Network, rate float64) {
	if b.w == nil {
		return
	}
	switch e.Kind {
	case metatrain.EventEpisode:
		b.scalar(e, "meta_loss/train", e.MeanLoss)
		b.scalar(e, "meta_gradient_norm/mean", e.GradNorm)
	case metatrain.EventValidation:
		b.validation(e, net, rate)
		b.flush()
	}
}

// flush makes what was added visible. After a failure the file is closed.
func (b *board) flush() {
	if b != nil && b.w != nil && b.w.Flush() != nil {
		b.end()
	}
}

func (b *board) scalar(e metatrain.Event, tag string, value compare.Number) {
	b.w.Scalar(int64(e.MetaStep), tag, float64(value))
}

func (b *board) validation(e metatrain.Event, net *lstm.Network, rate float64) {
	b.scalar(e, "meta_loss/valid", e.Valid.Loss())
	b.scalar(e, "meta_loss/valid_final", e.Valid.FinalLoss)
	b.scalar(e, "meta_learning_rate", compare.Number(rate))
	for _, t := range net.Tensors() {
		b.w.Histogram(int64(e.MetaStep), "phi/"+t.Name, t.Data)
	}
	d := e.Diagnostics
	if d == nil {
		return
	}
	b.w.Histogram(int64(e.MetaStep), "updates/valid", d.Validation.Updates)
	b.phase(e, "valid", d.Validation)
	if d.Training == nil {
		return
	}
	b.phase(e, "train", d.Training)
	if m := d.Training.MetaGradient; m != nil {
		b.scalar(e, "meta_gradient_norm/max", m.MaxNorm)
		b.scalar(e, "meta_gradient_clipped", compare.Number(m.Clipped))
	}
}

func (b *board) phase(e metatrain.Event, phase string, d *metatrain.Diagnosis) {
	b.scalar(e, "non_finite/"+phase, compare.Number(d.NonFinite.Count))
	if d.Sampled == 0 {
		return
	}
	b.scalar(e, "update_rms/"+phase, d.UpdateRMS)
	b.scalar(e, "gradient_rms/"+phase, d.GradientRMS)
	b.scalar(e, "update_to_gradient/"+phase, d.UpdateToGradient)
	b.scalar(e, "zero_gradients/"+phase, compare.Number(d.ZeroGradients))
	if in := d.Inputs; in != nil {
		b.scalar(e, "small_gradients/"+phase, compare.Number(in.SmallGradients))
		b.scalar(e, "clipped_signs/"+phase, compare.Number(in.ClippedSigns))
	}
	for k, g := range d.Gates {
		for i, share := range []float64{g.I, g.F, g.G, g.O} {
			b.scalar(e, fmt.Sprintf("gate_saturation/lstm%d/%c/%s", k+1, "ifgo"[i], phase), compare.Number(share))
		}
	}
}
