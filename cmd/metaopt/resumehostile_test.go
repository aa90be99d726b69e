package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"learnedopt/checkpoints"
)

// A state may be anybody's. Its flags make a training or an error, and write nowhere but in the folder that was named.
func TestHostileResumeStates(t *testing.T) {
	outside := t.TempDir()
	state := filepath.Join(interrupted(t, 5), stateFile)
	for name, c := range map[string]struct {
		flags []string
		code  int
	}{
		"elsewhere":   {[]string{"--out=" + filepath.Join(outside, "out")}, exitOK},
		"events":      {[]string{"--tensorboard=" + filepath.Join(outside, "events")}, exitOK},
		"of resume":   {[]string{"--resume=" + outside}, exitOK},
		"of replay":   {[]string{"--replay=" + outside, "--until=3"}, exitOK},
		"unknown":     {[]string{"--no-such-flag=1"}, exitFailure},
		"arguments":   {[]string{"more", "--", "--even-more"}, exitOK},
		"huge":        {[]string{"--hidden=100000000"}, exitFailure},
		"huge batch":  {[]string{"--batch=1000000000", "--dims=1000000000"}, exitFailure},
		"others":      {[]string{"--seed=77"}, exitFailure},
		"no file":     {[]string{"--init=/nowhere"}, exitFailure},
		"other limit": {[]string{"--meta-steps=5"}, exitOK},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := checkpoints.Load(state)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(f.Tensors, func(x checkpoints.Tensor) bool { return x.Name == "run" })
			var run savedRun
			if err := json.Unmarshal(f.Tensors[i].Bytes, &run); err != nil {
				t.Fatal(err)
			}
			run.Args = append(run.Args, c.flags...)
			data, err := json.Marshal(run)
			if err != nil {
				t.Fatal(err)
			}
			f.Tensors[i].Bytes, f.Tensors[i].Shape = data, []int{len(data)}
			dir := t.TempDir()
			if err := checkpoints.Save(filepath.Join(dir, stateFile), f); err != nil {
				t.Fatal(err)
			}
			log := readFile(t, filepath.Join(filepath.Dir(state), logFile))
			if err := os.WriteFile(filepath.Join(dir, logFile), []byte(log), 0o600); err != nil {
				t.Fatal(err)
			}
			a := cli(t.Context(), "meta-train", "--resume", dir)
			if a.code != c.code {
				t.Errorf("exit %d, want %d: %s", a.code, c.code, a.stderr)
			}
			if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
				t.Errorf("it wrote %v, %v", left, err)
			}
		})
	}
}
