package runfolder

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"learnedopt/checkpoints"
	"learnedopt/recipe"
)

// A state may come from a stranger. Reading it gives a training or an error, and writes only to the named folder.
func TestHostileResumeStates(t *testing.T) {
	outside := t.TempDir()
	state := filepath.Join(interrupted(t, small, 5), StateFile)
	old := filepath.Join("testdata", "run-before-recipes", StateFile)
	args := func(more ...string) func(*savedRun) {
		return func(run *savedRun) { run.Args = append(run.Args, more...) }
	}
	for name, c := range map[string]struct {
		state  string
		change func(*savedRun)
		good   bool
	}{
		"nothing":        {state, func(*savedRun) {}, true},
		"events":         {state, func(run *savedRun) { run.Settings.TensorBoard = filepath.Join(outside, "events") }, true},
		"neither":        {state, func(run *savedRun) { run.Recipe, run.Settings = nil, nil }, false},
		"no settings":    {state, func(run *savedRun) { run.Settings = nil }, false},
		"empty settings": {state, func(run *savedRun) { run.Settings = &Settings{} }, false},
		"no such rule":   {state, func(run *savedRun) { run.Settings.Rules = []string{"magic"} }, false},
		"both":           {state, func(run *savedRun) { run.Args = []string{"--meta-steps=5"} }, false},
		"huge":           {state, func(run *savedRun) { run.Recipe.Hidden = 100000000 }, false},
		"negative":       {state, func(run *savedRun) { run.Recipe.MetaBatch = -1 }, false},
		"huge batch":     {state, func(run *savedRun) { run.Recipe.MetaBatch = math.MaxInt }, false},
		"others":         {state, func(run *savedRun) { run.Recipe.Seed = 77 }, false},
		"no file":        {state, func(run *savedRun) { *run.Recipe = recipe.Recipe{Defaults: 1, Init: "/nowhere", MetaSteps: 30} }, false},
		"other limit":    {state, func(run *savedRun) { run.Recipe.MetaSteps = 5 }, true},
		"seeds":          {state, func(run *savedRun) { run.Seed = -1 }, false},

		"old":             {old, args(), true},
		"old, elsewhere":  {old, args("--out=" + filepath.Join(outside, "out")), false},
		"old, events":     {old, args("--tensorboard=" + filepath.Join(outside, "events")), true},
		"old, of resume":  {old, args("--resume=" + outside), false},
		"old, of replay":  {old, args("--replay="+outside, "--until=3"), false},
		"old, unknown":    {old, args("--no-such-flag=1"), false},
		"old, arguments":  {old, args("more", "--", "--even-more"), false},
		"old, huge":       {old, args("--hidden=100000000"), false},
		"old, huge batch": {old, args("--batch=1000000000", "--dims=1000000000"), false},
		"old, others":     {old, args("--seed=77"), false},
		"old, no file":    {old, args("--init=/nowhere"), false},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := checkpoints.Load(c.state)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(f.Tensors, func(x checkpoints.Tensor) bool { return x.Name == "run" })
			var run savedRun
			if err := json.Unmarshal(f.Tensors[i].Bytes, &run); err != nil {
				t.Fatal(err)
			}
			c.change(&run)
			data, err := json.Marshal(run)
			if err != nil {
				t.Fatal(err)
			}
			f.Tensors[i].Bytes, f.Tensors[i].Shape = data, []int{len(data)}
			dir := t.TempDir()
			if err := checkpoints.Save(filepath.Join(dir, StateFile), f); err != nil {
				t.Fatal(err)
			}
			log := read(t, filepath.Join(filepath.Dir(c.state), LogFile))
			if err := os.WriteFile(filepath.Join(dir, LogFile), log, 0o600); err != nil {
				t.Fatal(err)
			}
			r, err := Resume(dir, nil, nil)
			if err == nil {
				_, err = r.Train(t.Context())
				err = errors.Join(err, r.Close())
			}
			if (err == nil) != c.good {
				t.Errorf("%v", err)
			}
			if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
				t.Errorf("it wrote %v, %v", left, err)
			}
		})
	}
}
