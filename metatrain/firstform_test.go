package metatrain_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"learnedopt/checkpoints"
	"learnedopt/internal/simd"
	"learnedopt/metatrain"
)

// saved names the states in testdata/first and the training of resumable to which each belongs. They were saved at
// meta-step 7 by the last version before the forms of internal/saved. trained.json holds the kernels of that run, and the
// SHA-256 of each training's last φ, little-endian.
var firstStates = map[string]string{
	"clock-schedule": "rnnprop, clock, schedule",
	"curriculum":     "curriculum, geometric",
	"imitation-pes":  "imitation of momentum or pes",
	"pes-ramp-batch": "pes, ramp, batch, random lengths",
	"relative-batch": "relative, batch",
	"rollback":       "rollback",
	"second":         "second derivatives",
	"skip":           "skip",
}

// A state of the first form can be resumed. With the same kernels it ends with the same φ as the version that saved it.
// With any kernels it ends as the same state does after it was saved again in the present form.
func TestStatesOfTheFirstFormGoOn(t *testing.T) {
	var trained struct {
		Kernels string
		Phi     map[string]string
	}
	readJSON(t, "testdata/first/trained.json", &trained)
	for file, name := range firstStates {
		state, err := os.ReadFile(filepath.Join("testdata/first", file+".state"))
		if err != nil {
			t.Fatal(err)
		}
		cfg := resumable(t)[name]
		again := resaved(t, cfg, state)
		if bytes.Contains(again, []byte("metaopt.")) || bytes.Contains(again, []byte("HasWindow")) {
			t.Errorf("%s: saved again it still is of the first form", file)
		}
		first, now := record(t, t.Context(), cfg, state, nil), record(t, t.Context(), cfg, again, nil)
		if first.err != nil || now.err != nil {
			t.Fatal(first.err, now.err)
		}
		if !slices.Equal(bits(first.trainer.Network().Params()), bits(now.trainer.Network().Params())) || !slices.Equal(first.events, now.events) {
			t.Errorf("%s: φ or events differ after the state was saved again", file)
		}
		var phi []byte
		for _, b := range bits(first.trainer.Network().Params()) {
			phi = binary.LittleEndian.AppendUint32(phi, b)
		}
		if sum := sha256.Sum256(phi); simd.Float32().Path == trained.Kernels && hex.EncodeToString(sum[:]) != trained.Phi[file] {
			t.Errorf("%s: another φ than that of the version that saved the state", file)
		}
	}
}

// resaved restores a state and saves it again.
func resaved(t *testing.T, cfg metatrain.TrainConfig, state []byte) []byte {
	t.Helper()
	tr, err := metatrain.NewTrainer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	if err := tr.UnmarshalBinary(state); err != nil {
		t.Fatal(err)
	}
	again, err := tr.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return again
}

// The first form counted windows, and a meta-batch has several. With three episodes side by side, seven windows in a row
// are one window of a meta-step that was taken, and two skipped meta-steps.
func TestSkippedWindowsOfTheFirstFormAreMetaSteps(t *testing.T) {
	state, err := os.ReadFile("testdata/first/pes-ramp-batch.state")
	if err != nil {
		t.Fatal(err)
	}
	cfg := resumable(t)["pes, ramp, batch, random lengths"]
	f, err := checkpoints.Read(bytes.NewReader(state))
	if err != nil {
		t.Fatal(err)
	}
	skipped := func(data []byte) string {
		f, err := checkpoints.Read(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		_, after, _ := strings.Cut(string(f.Config), "Skipped")
		return after[:1]
	}
	if got := skipped(resaved(t, cfg, state)); got != "\x00" {
		t.Fatalf("the training skipped %q", got)
	}
	f.Config = bytes.Replace(f.Config, []byte("Skipped\x00"), []byte("Skipped\x07"), 1)
	var b bytes.Buffer
	if err := checkpoints.Write(&b, f); err != nil {
		t.Fatal(err)
	}
	if got := skipped(resaved(t, cfg, b.Bytes())); got != "\x02" {
		t.Errorf("%q meta-steps", got)
	}
}
