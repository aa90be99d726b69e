package command

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"learnedopt/metaopt"
)

// TestTheBestSeedIsKept trains three seeds in one command, and each seed alone. The file must hold the network of the seed
// with the lowest score, and say that it was chosen.
func TestTheBestSeedIsKept(t *testing.T) {
	flags := []string{"--meta-lr", "0.03", "--valid-steps", "10,20", "--selection", "geometric"}
	dir := filepath.Join(t.TempDir(), "run")
	args := append([]string{"meta-train", "--meta-steps", "20", "--out", dir, "--seed", "4", "--seeds", "3"}, small...)
	succeed(t, append(args, flags...)...)
	path := filepath.Join(dir, optimizerFile)
	o, err := metaopt.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	train := readJSON(t, readFile(t, filepath.Join(dir, resultFile)))["train"].(map[string]any)
	seeds := train["seeds"].([]any)
	if len(seeds) != 3 || train["best_of"] != 3.0 || train["seed"] != 4.0 || train["command"] != o.Provenance.Command ||
		!strings.Contains(o.Provenance.Command, "--seeds 3 ") || !strings.HasSuffix(o.Provenance.Command, "--seed 4") {
		t.Fatalf("train is %v", train)
	}
	var losses []float64
	chosen := -1
	for k, s := range seeds {
		s := s.(map[string]any)
		sel := s["select"].(map[string]any)
		if s["seed"] != float64(4+k) || len(sel["horizons"].([]any)) != 2 {
			t.Errorf("seed %d is %v", 4+k, s)
		}
		losses = append(losses, sel["geometric"].(float64))
		if s["chosen"] == true {
			chosen = k
		}
	}
	if chosen < 0 || losses[chosen] != slices.Min(losses) || slices.Max(losses) == losses[chosen] {
		t.Fatalf("%d is chosen of %v", chosen, losses)
	}
	for k := range 3 {
		alone, err := metaopt.Load(trained(t, append([]string{"--meta-steps", "20", "--seed", fmt.Sprint(4 + k)}, flags...)...))
		if err != nil {
			t.Fatal(err)
		}
		if same := slices.Equal(alone.Network.Params(), o.Network.Params()); same != (k == chosen) {
			t.Errorf("the network is that of seed %d: %v, want %v", 4+k, same, k == chosen)
		}
		if k == chosen && (o.Provenance.Seed != uint64(4+k) || o.Provenance.ValidLoss != alone.Provenance.ValidLoss || train["valid_loss"] != alone.Provenance.ValidLoss) {
			t.Errorf("provenance %+v, alone %+v", o.Provenance, alone.Provenance)
		}
	}
	reproduces(t, path)

	log := lines(t, filepath.Join(dir, logFile))
	count := map[any]int{}
	for _, line := range log[:len(log)-1] {
		count[line["seed"]]++
	}
	last := log[len(log)-1]
	if len(count) != 3 || count[4.0] < 6 || count[4.0] != count[6.0] || last["event"] != "select" || len(last["seeds"].([]any)) != 3 || last["runs"] != 20.0 {
		t.Errorf("the log has %v lines and ends with %v", count, last)
	}
	fail(t, exitUsage, append([]string{"meta-train", "--time", "1s", "--seeds", "2"}, small...), "--meta-steps")
}

// After an interrupt in the second seed, the better of the two networks is kept, with a command that trains only its seed.
func TestAnInterruptAmongSeeds(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan answer)
	go func() {
		done <- cli(ctx, append([]string{"meta-train", "--meta-steps", "300", "--seeds", "1000", "--out", dir}, small...)...)
	}()
	for !strings.Contains(string(peek(filepath.Join(dir, logFile))), `{"seed":1,"event":"validation"`) {
		time.Sleep(time.Millisecond)
	}
	cancel()
	a := <-done
	if a.code != exitInterrupted {
		t.Fatalf("exit %d\n%s%s", a.code, a.stdout, a.stderr)
	}
	path := filepath.Join(dir, optimizerFile)
	o, err := metaopt.Load(path)
	if err != nil || strings.Contains(o.Provenance.Command, "--seeds") {
		t.Fatalf("%+v, %v", o, err)
	}
	reproduces(t, path)
}

// If one seed diverges, the others are still trained. If all diverge, the command fails and keeps the best network so far.
func TestSeedsThatDiverge(t *testing.T) {
	dir := t.TempDir()
	a := cli(t.Context(), append([]string{"meta-train", "--task", "rosenbrock", "--meta-steps", "50", "--meta-lr", "1e30",
		"--clip", "inf", "--inputs", "raw", "--scale", "1e30", "--seeds", "2", "--out", dir}, small...)...)
	if a.code != exitFailure || !strings.Contains(a.stderr, optimizerFile) {
		t.Errorf("exit %d: %s", a.code, a.stderr)
	}
	if _, err := metaopt.Load(filepath.Join(dir, optimizerFile)); err != nil {
		t.Error(err)
	}
	var ends []any
	for _, line := range lines(t, filepath.Join(dir, logFile)) {
		if line["event"] == "end" {
			ends = append(ends, line["seed"], line["reason"])
		}
	}
	if want := []any{0.0, "diverged", 1.0, "diverged"}; !slices.Equal(ends, want) {
		t.Errorf("ends %v, want %v", ends, want)
	}
}
