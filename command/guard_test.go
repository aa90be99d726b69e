package command

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"learnedopt/compare"
	"learnedopt/lstm"
	"learnedopt/metaopt"
)

// wildFile is an optimizer that diverges: its steps are a hundred times too long.
func wildFile(t *testing.T) string { return scaledFile(t, "", 100) }

// scaledFile is the file of a trained optimizer with scaled steps.
func scaledFile(t *testing.T, name string, by float64) string {
	t.Helper()
	o, err := metaopt.Load("../metaopt/testdata/quadratic.mopt")
	if err != nil {
		t.Fatal(err)
	}
	cfg := o.Network.Config()
	cfg.Scale *= by
	if o.Network, err = lstm.NewNetwork(cfg, o.Network.Params()); err != nil {
		t.Fatal(err)
	}
	o.Provenance.Name = name
	path := filepath.Join(t.TempDir(), "scaled.mopt")
	if err := metaopt.Save(path, o); err != nil {
		t.Fatal(err)
	}
	return path
}

// The wild optimizer's steps change predictions by far more than the radius; the tame one's do so as well, at first, on a
// quadratic, whose errors count as of variance ½.
func TestCompareWithAKLGuard(t *testing.T) {
	line := []string{"compare", wildFile(t), scaledFile(t, "tame", 1), "--rules", "none", "--batch", "4", "--steps", "60", "--runs", "3"}
	compare := func(flags ...string) (c compare.Comparison, table string) {
		t.Helper()
		a := succeed(t, append(append(line, flags...), "--json", "-")...)
		if err := json.Unmarshal([]byte(a.stdout), &c); err != nil {
			t.Fatal(err)
		}
		return c, a.stderr
	}
	bare, _ := compare()
	c, table := compare("--kl-guard", "0.5", "--guard=adam:0.1")
	var names []string
	for _, r := range c.Rules {
		names = append(names, r.Name)
	}
	if want := []string{"learned", "tame", "learned+guard", "tame+guard", "learned+kl-guard", "tame+kl-guard"}; !slices.Equal(names, want) {
		t.Fatalf("rules %q, want %q", names, want)
	}
	if !slices.Equal(c.Rules[0].Curve, bare.Rules[0].Curve) {
		t.Error("--kl-guard changes the rule without it")
	}
	if !(c.Rules[4].MeanLoss < c.Rules[0].MeanLoss/10) || c.Rules[4].HandedOver == nil {
		t.Errorf("mean loss %v under the guard, %v without; handed over %v", c.Rules[4].MeanLoss, c.Rules[0].MeanLoss, c.Rules[4].HandedOver)
	}
	if !strings.Contains(table, "learned+kl-guard handed over to its fallback in") {
		t.Errorf("the table:\n%s", table)
	}
	if loose, _ := compare("--kl-guard", "1e30"); !slices.Equal(loose.Rules[3].Curve, bare.Rules[1].Curve) || *loose.Rules[3].HandedOver != 0 {
		t.Error("a guard that never acts changes the run")
	}
	fail(t, exitUsage, append(line, "--kl-guard", "0"), "kl-guard", "positive")
	fail(t, exitUsage, []string{"compare", "--rules", "adam", "--kl-guard", "1"}, "--kl-guard is for learned rules")
}

func TestCompareWithAGuard(t *testing.T) {
	path := wildFile(t)
	line := []string{"compare", path, scaledFile(t, "tame", 1), "--rules", "none", "--batch", "4", "--steps", "60", "--runs", "3"}
	compare := func(flags ...string) (c compare.Comparison, table string) {
		t.Helper()
		a := succeed(t, append(append(line, flags...), "--json", "-")...)
		if err := json.Unmarshal([]byte(a.stdout), &c); err != nil {
			t.Fatal(err)
		}
		return c, a.stderr
	}
	bare, table := compare()
	if len(bare.Rules) != 2 || strings.Contains(table, "guard") {
		t.Errorf("without --guard:\n%s", table)
	}
	c, table := compare("--guard=adam:0.1")
	var names []string
	for _, r := range c.Rules {
		names = append(names, r.Name)
	}
	if want := []string{"learned", "tame", "learned+guard", "tame+guard"}; !slices.Equal(names, want) {
		t.Fatalf("rules %q, want %q", names, want)
	}
	for i := range 2 {
		if !slices.Equal(c.Rules[i].Curve, bare.Rules[i].Curve) || c.Rules[i].HandedOver != nil {
			t.Errorf("--guard changes %s", names[i])
		}
	}
	if n := c.Rules[2].HandedOver; n == nil || *n != 3 || !(c.Rules[2].FinalLoss < c.Rules[0].FinalLoss/10) {
		t.Errorf("%v handovers; %v under guard, %v without", n, c.Rules[2].FinalLoss, c.Rules[0].FinalLoss)
	}
	if n := c.Rules[3].HandedOver; n == nil || *n != 0 || !slices.Equal(c.Rules[3].Curve, c.Rules[1].Curve) {
		t.Errorf("%v handovers of a rule that works", n)
	}
	for _, want := range []string{"learned+guard handed over to its fallback in 3 of 3 runs.", "tame+guard handed over to its fallback in 0 of 3 runs."} {
		if !strings.Contains(table, want) {
			t.Errorf("the table lacks %q:\n%s", want, table)
		}
	}
	// Each setting has an effect: another fallback, and guards that are too patient or too tolerant to act.
	slow, _ := compare("--guard")
	if slow.Rules[2].FinalLoss == c.Rules[2].FinalLoss || *slow.Rules[2].HandedOver != 3 {
		t.Errorf("--guard alone ends where adam:0.1 does: %v", slow.Rules[2].FinalLoss)
	}
	for _, flags := range [][]string{{"--guard-patience", "60"}, {"--guard-tolerance", "1e30"}} {
		if never, _ := compare(append(flags, "--guard")...); *never.Rules[2].HandedOver != 0 {
			t.Errorf("%v: handed over", flags)
		}
	}
	if stalled, _ := compare("--guard", "--guard-window", "1", "--guard-stall", "1"); *stalled.Rules[3].HandedOver != 3 {
		t.Error("no step without a new best in 60")
	}
}

func TestGuardUsage(t *testing.T) {
	for line, want := range map[string]string{
		"--guard=foo":                    `unknown rule "foo". The rules are`,
		"--guard=adm":                    `did you mean "adam"`,
		"--guard=adam:fast":              `"fast" is no learning rate`,
		"--guard=adam:-1":                `"-1" is no learning rate`,
		"--guard=adam:0":                 `"0" is no learning rate`,
		"--guard --guard-window 0":       "--guard-window",
		"--guard --guard-tolerance -0.5": "--guard-tolerance",
		"--guard-patience 5":             "add --guard",
	} {
		fail(t, exitUsage, append([]string{"compare", shipped}, strings.Fields(line)...), want)
	}
	fail(t, exitUsage, []string{"compare", "--rules", "adam", "--guard"}, "learned rules")
}

func TestGuardedNamesAreDistinct(t *testing.T) {
	g := guardFlags{guard: metaopt.Guard{}.WithDefaults()}
	got := g.variants([]compare.Contender{{Name: "a"}, {Name: "a+guard"}})
	if got[0].Name != "a+guard+guard" || got[1].Name == got[0].Name {
		t.Errorf("named %q and %q", got[0].Name, got[1].Name)
	}
}
