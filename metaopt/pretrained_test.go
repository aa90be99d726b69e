package metaopt_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"learnedopt/compare"
	"learnedopt/metaopt"
)

// TestPretrained expects each shipped optimizer to load, to equal the file in the folder, to be
// small, and to say how it was made.
func TestPretrained(t *testing.T) {
	files, err := filepath.Glob("pretrained/*.mopt")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	names := metaopt.PretrainedNames()
	if len(names) != len(files) || !slices.IsSorted(names) {
		t.Fatalf("names %q of %q", names, files)
	}
	for _, name := range names {
		o, err := metaopt.Pretrained(name)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("pretrained", name+".mopt")
		file, err := metaopt.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(o.Network.Params(), file.Network.Params()) || o.Network.Config() != file.Network.Config() {
			t.Errorf("%s is not the network of its file", name)
		}
		if o.Name() == compare.Learned {
			t.Errorf("%s carries no name", name)
		}
		if info, err := os.Stat(path); err != nil || info.Size() > 64<<10 {
			t.Errorf("%s: %v; more than 64 KiB in every program that imports the package", path, err)
		}
		p := file.Provenance
		if p.Task == "" || p.Command == "" || p.MetaSteps == 0 || p.Steps == 0 || p.Unroll == 0 || p.ValidLoss == 0 {
			t.Errorf("%s does not say how it was trained: %+v", name, p)
		}
		// Each call reads anew: one caller's changes must not reach another caller.
		o.Provenance.Task = "changed"
		if again, err := metaopt.Pretrained(name); err != nil || again.Provenance.Task != p.Task {
			t.Errorf("%s remembers what a caller did with it: %v", name, err)
		}
	}
}

// trainedOn returns the part of a model card that must agree with the provenance.
func trainedOn(o *metaopt.Optimizer) string {
	p := o.Provenance
	return fmt.Sprintf(`| figure | value |
|---|---|
| task | %s |
| meta-steps | %d |
| inner steps | %d in windows of %d |
| meta learning rate | %g |
| validation loss | %.4g |
| seed | %d |
| parameters | %d |
`, strings.ReplaceAll(p.Task, "|", `\|`), p.MetaSteps, p.Steps, p.Unroll, p.MetaLearningRate, p.ValidLoss, p.Seed, len(o.Network.Params()))
}

// TestModelCards compares the figures and the command of each card with its file, so that
// a file cannot be replaced without its card.
func TestModelCards(t *testing.T) {
	for _, name := range metaopt.PretrainedNames() {
		o, err := metaopt.Pretrained(name)
		if err != nil {
			t.Fatal(err)
		}
		card, err := metaopt.ModelCard(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(card, "# "+name+"\n") {
			t.Errorf("%s.md does not begin with its name", name)
		}
		command := o.Provenance.Command
		if o.Provenance.Recipe == "" { // the defaults were those of version 1, which a command line has to say now
			command = strings.Replace(command, "metaopt meta-train ", "metaopt meta-train --defaults 1 ", 1)
		}
		for _, want := range []string{trainedOn(o), "```sh\n" + command + "\n```\n"} {
			if !strings.Contains(card, want) {
				t.Errorf("%s.md is not of %[1]s.mopt: it lacks\n\n%s", name, want)
			}
		}
		// With --seeds N, the file has the seed that was chosen from S … S+N−1.
		number := func(flag string, unless uint64) uint64 {
			m := regexp.MustCompile(flag + ` (\d+)( |$)`).FindStringSubmatch(o.Provenance.Command)
			if m == nil {
				return unless
			}
			x, err := strconv.ParseUint(m[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return x
		}
		if first, n := number("--seed", math.MaxUint64), number("--seeds", 1); o.Provenance.Seed < first || o.Provenance.Seed >= first+n {
			t.Errorf("%s: the command %q is not of seed %d", name, o.Provenance.Command, o.Provenance.Seed)
		}
		for _, section := range []string{"Trained on", "How it does", "Where it fails"} {
			// The section has its own text.
			if !regexp.MustCompile(`(?m)^## ` + section + `\n\n[^#\s]`).MatchString(card) {
				t.Errorf("%s.md has no section %q", name, section)
			}
		}
	}
	cards, err := filepath.Glob("pretrained/*.md")
	if err != nil || len(cards) != len(metaopt.PretrainedNames()) {
		t.Errorf("%d cards of %d optimizers: %v", len(cards), len(metaopt.PretrainedNames()), err)
	}
}

func TestUnknownPretrained(t *testing.T) {
	for _, name := range []string{"", "quadratic-unifrom", "../testdata/quadratic", "quadratic-uniform.mopt"} {
		_, err := metaopt.Pretrained(name)
		_, cardErr := metaopt.ModelCard(name)
		for _, err := range []error{err, cardErr} {
			var unknown *metaopt.UnknownPretrainedError
			if !errors.As(err, &unknown) || unknown.Name != name {
				t.Fatalf("%q: %v", name, err)
			}
			for _, known := range metaopt.PretrainedNames() {
				if !strings.Contains(err.Error(), known) {
					t.Errorf("%q: %v does not name %s", name, err, known)
				}
			}
		}
		if name == "quadratic-unifrom" && !strings.Contains(err.Error(), `did you mean "quadratic-uniform"`) {
			t.Errorf("%v suggests nothing", err)
		}
	}
}
