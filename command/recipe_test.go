package command

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"learnedopt/metaopt"
	"learnedopt/recipe"
)

// --print-recipe prints the recipe of the flags. The printed recipe, with or without defaults, and the recipe in the
// optimizer's file give the same training as the flags.
func TestARecipeIsTheTrainingOfItsFlags(t *testing.T) {
	t.Chdir(t.TempDir())
	flags := append([]string{"meta-train", "--meta-steps", "5", "--memory", "0", "--second-derivatives=false", "--clip", "inf", "--name", "it's me"}, small...)
	kept := []string{"--runs", "2", "--rules", "none"}
	succeed(t, append(append(flags, kept...), "--out", "run")...)
	want := readFile(t, filepath.Join("run", optimizerFile))
	for name, print := range map[string]string{"short.json": "--print-recipe", "whole.json": "--print-recipe=all"} {
		text := succeed(t, append(flags, print)...).stdout
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := os.ReadDir("runs"); err == nil {
		t.Errorf("a recipe that was printed trained %v", left)
	}
	short := readJSON(t, readFile(t, "short.json"))
	if len(short) != 12 || short["defaults"] != float64(recipe.Latest) || short["memory"] != 0.0 || short["second_derivatives"] != false || short["clip"] != "inf" {
		t.Errorf("%d options in %v", len(short), short)
	}
	if whole := readJSON(t, readFile(t, "whole.json")); whole["input_gain"] != 4.0 {
		t.Errorf("not all defaults are in %v", whole)
	}
	for _, file := range []string{"short.json", "whole.json", filepath.Join("run", optimizerFile)} {
		out := filepath.Join(t.TempDir(), "run")
		succeed(t, append([]string{"meta-train", "--recipe", file, "--out", out}, kept...)...)
		if readFile(t, filepath.Join(out, optimizerFile)) != want {
			t.Errorf("%s trains other bytes", file)
		}
		// A flag overrides the recipe.
		out = filepath.Join(t.TempDir(), "run")
		succeed(t, append([]string{"meta-train", "--recipe", file, "--seed", "3", "--dims", "2", "--out", out}, kept...)...)
		o, err := metaopt.Load(filepath.Join(out, optimizerFile))
		if err != nil {
			t.Fatal(err)
		}
		if r, err := recipe.Of(o.Provenance); err != nil || r.Seed != 3 || r.Task.Values("dims")[0] != "2" || *r.Memory != 0 || r.Name != "it's me" {
			t.Errorf("%s with --seed 3 --dims 2: %+v, %v", file, r, err)
		}
	}
	// A file from before recipes gives the recipe of its command.
	before := succeed(t, "meta-train", "--recipe", filepath.Join(beforeRecipes, "whole.mopt"), "--print-recipe").stdout
	if got := readJSON(t, before); got["defaults"] != 1.0 || got["objective"] != "log" || got["meta_steps"] != 60.0 {
		t.Errorf("it is %s", before)
	}
}

// beforeRecipes is the absolute path of a run from before recipes existed. Tests may change the working folder.
var beforeRecipes = func() string {
	dir, err := filepath.Abs("../runfolder/testdata/run-before-recipes")
	if err != nil {
		panic(err)
	}
	return dir
}()

// The latest version of the defaults applies, unless a flag sets an older one.
func TestVersionsOfDefaults(t *testing.T) {
	for flags, want := range map[string]string{
		"":                          "--second-derivatives --valid-every 50 --valid-runs 8 --defaults 2 --seed 0",
		"--defaults 2":              "--second-derivatives --valid-every 50 --valid-runs 8 --defaults 2 --seed 0",
		"--defaults 1":              "--clip 1 --valid-every 50 --valid-runs 8 --defaults 1 --seed 0",
		"--defaults 1 --task mnist": "--clip 1 --valid-every 50 --valid-runs 8 --defaults 1 --seed 0",
	} {
		printed := succeed(t, append([]string{"meta-train", "--print-recipe"}, strings.Fields(flags)...)...).stdout
		r, err := recipe.Parse([]byte(printed))
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Command(); !strings.HasSuffix(got, want) {
			t.Errorf("%s: %s, want … %s", flags, got, want)
		}
	}
}

func TestRecipesThatAreRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile("r.json", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"meta_steps": 5}`)
	fail(t, exitUsage, []string{"meta-train", "--recipe", "r.json"}, "r.json", `add "defaults": 2`)
	write(`{"defaults": 2, "meta-steps": 5}`)
	fail(t, exitUsage, []string{"meta-train", "--recipe", "r.json"}, `did you mean "meta_steps"`)
	fail(t, exitFailure, []string{"meta-train", "--recipe", "none.json"}, "none.json")
	fail(t, exitFailure, []string{"meta-train", "--recipe", "none.mopt"}, "none.mopt")
	fail(t, exitUsage, []string{"meta-train", "--defaults", "3"}, "versions 1 to 2")
	fail(t, exitUsage, []string{"meta-train", "--print-recipe=some"}, "set or all")
	fail(t, exitUsage, []string{"meta-train", "--print-recipe", "--steps", "30"}, "divisible")
	fail(t, exitUsage, []string{"meta-train", "--resume", "x", "--recipe", "r.json"}, "--recipe is settled")
}
