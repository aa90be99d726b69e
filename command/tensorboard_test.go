package command

import (
	"bytes"
	encoding "encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"learnedopt/compare"
	"learnedopt/metaopt"
	"learnedopt/metatrain"
	"learnedopt/tensorboard"
)

// eventFile returns the only event file of a folder. The tests of package tensorboard read its content; here it is enough to
// find tags and to count records.
func eventFile(t *testing.T, dir string) (data string, records int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "events.out.tfevents.*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%d event files in %s, %v", len(files), dir, err)
	}
	data = readFile(t, files[0])
	for rest := data; rest != ""; records++ {
		size := encoding.LittleEndian.Uint64([]byte(rest[:8]))
		rest = rest[16+size:]
	}
	return data, records
}

var boardTags = []string{
	"meta_loss/train", "meta_loss/valid", "meta_loss/valid_final", "meta_gradient_norm/mean", "meta_gradient_norm/max", "meta_gradient_clipped",
	"meta_learning_rate", "update_rms/train", "update_rms/valid", "gradient_rms/valid", "update_to_gradient/train", "small_gradients/valid",
	"clipped_signs/train", "zero_gradients/valid", "gate_saturation/lstm1/i/valid", "gate_saturation/lstm2/o/train", "non_finite/train",
	"phi/lstm1/w", "phi/readout/b", "updates/valid",
}

func TestTensorBoardShowsATraining(t *testing.T) {
	dir := t.TempDir()
	plain, board := trained(t), filepath.Join(dir, "board")
	shown := trained(t, "--tensorboard", board)
	if readFile(t, plain) != readFile(t, shown) {
		t.Error("the training is another with --tensorboard")
	}
	data, records := eventFile(t, board)
	for _, tag := range boardTags {
		if !strings.Contains(data, "\x0a"+string(rune(len(tag)))+tag) { // field 1 of a Value
			t.Errorf("no %s", tag)
		}
	}
	// One record for the version and one for the start. For each validation: 3 scalars, 6 tensors, the updates, and 7 scalars and 8 gates of its
	// diagnosis. For the second validation also: 7 scalars and 8 gates of the training's diagnosis, and 2 more. For each of
	// two episodes: 2.
	if want := 2 + 2*(3+6+1+7+8) + (7 + 8 + 2) + 2*2; records != want {
		t.Errorf("%d records, want %d", records, want)
	}
	several := filepath.Join(dir, "several")
	trained(t, "--seeds", "2", "--seed", "4", "--tensorboard", several)
	eventFile(t, filepath.Join(several, "seed4"))
	eventFile(t, filepath.Join(several, "seed5"))
}

// A folder that cannot be made is an error before the training. A later failure gives one warning, and does not change the
// training.
func TestTensorBoardFails(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"meta-train", "--meta-steps", "5", "--quiet", "--rules", "none"}, small...)
	fail(t, exitFailure, append(slices.Clone(args), "--tensorboard", file), "--tensorboard", "choose another folder")
	if _, err := os.Stat("runs"); err == nil {
		t.Error("a run folder was made")
	}
	if err := os.MkdirAll(filepath.Join(dir, "several"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "several", "seed1"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	a := succeed(t, append(args, "--seeds", "2", "--tensorboard", "several")...)
	if strings.Count(a.stderr, "\n") != 1 || !strings.HasPrefix(a.stderr, "warning: the training goes on") || !strings.Contains(a.stderr, "seed1") {
		t.Errorf("stderr: %s", a.stderr)
	}
	eventFile(t, filepath.Join("several", "seed0"))
}

// full is a writer to a full disk.
type full struct{ closed int }

func (*full) Write([]byte) (int, error) { return 0, errors.New("no space left") }
func (f *full) Close() error            { f.closed++; return nil }

func TestTensorBoardWarnsOnce(t *testing.T) {
	o, err := metaopt.Load(trained(t))
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	disk := &full{}
	b := &board{app: &app{stderr: &stderr, quiet: true}, w: tensorboard.NewWriter(disk)}
	for range 3 {
		b.add(metatrain.Event{Kind: metatrain.EventEpisode}, o.Network, 0.1)
		b.add(metatrain.Event{Kind: metatrain.EventValidation, Valid: &compare.Score{}}, o.Network, 0.1)
	}
	b.end()
	if got := stderr.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "no space left") {
		t.Errorf("stderr: %q", got)
	}
	if disk.closed != 1 {
		t.Errorf("the file was closed %d times", disk.closed)
	}
}
