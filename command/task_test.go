package command

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"learnedopt/metaopt"
	"learnedopt/tasks"
)

// A task's name in a file is read back as exactly the same task, for every task that needs no data.
func TestTaskNamesRoundTrip(t *testing.T) {
	for _, text := range []string{
		"quadratic dims=3 batch=7", "quadratic-uniform", "rosenbrock batch=2,4,2 dims=3,2", "quadratic condition=1,5 loss-scale=1,2",
		"digits units=3,8 layers=2 activation=elu,relu batch=9 init-scale=0.01,0.125 gradient-noise=0.5", "digits weight-init=he,torch",
		"digits,digits units=3,4 image-size=7,28",
	} {
		if strings.HasPrefix(text, "digits") && testing.Short() {
			continue
		}
		family, err := tasks.MustParse(text).Family("")
		if err != nil {
			t.Fatal(err)
		}
		again, err := (&taskFlags{}).familyOf(family.Name())
		if err != nil || again.Name() != family.Name() {
			t.Errorf("%s is read back as %v, %v", family.Name(), again, err)
		}
		var flags taskFlags
		cmd := &cobra.Command{}
		flags.add(cmd, defaultTask, "task")
		if err := cmd.ParseFlags(tasks.MustParse(family.Name()).Args()); err != nil {
			t.Errorf("%s: %v", family.Name(), err)
		}
		if again, err := flags.family(); err != nil || again.Name() != family.Name() {
			t.Errorf("%s as flags is %v, %v", family.Name(), again, err)
		}
	}
}

// Every option in the table of tasks is a flag, a line of help, and a key of a sweep's settings. The shell completes options
// whose values are names.
func TestEveryOptionIsAFlag(t *testing.T) {
	help := succeed(t, "sweep", "--help").stdout
	long, _, _ := strings.Cut(help, "Usage:")
	path := filepath.Join(t.TempDir(), "sweep.toml")
	for _, o := range tasks.OptionTable() {
		if !strings.Contains(help, "--"+o.Key+" "+o.Placeholder()) || !strings.Contains(long, o.Key) {
			t.Errorf("help of metaopt sweep does not have %s as a flag and as an axis", o.Key)
		}
		if err := os.WriteFile(path, []byte(o.Key+" = \"\"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		fail(t, exitUsage, []string{"sweep", "--config", path, "--out", "unused"}, "sweep.toml:1: "+o.Key+` = "": it must be`)
		if values := o.Values(); values != nil {
			got := succeed(t, "__complete", "compare", "--"+o.Key, "").stdout
			if !strings.HasPrefix(got, strings.Join(values, "\n")+"\n") {
				t.Errorf("completion of --%s is %q, want %q", o.Key, got, values)
			}
		}
	}
}

// A flag replaces a file's list.
func TestTaskFlagsOverrideLists(t *testing.T) {
	var flags taskFlags
	cmd := &cobra.Command{}
	flags.add(cmd, defaultTask, "task")
	if err := cmd.ParseFlags([]string{"--dims", "7"}); err != nil {
		t.Fatal(err)
	}
	family, err := flags.familyOf("quadratic dims=2,10,10 batch=3,4")
	if err != nil || family.Name() != "quadratic dims=7 batch=3,4" {
		t.Errorf("--dims 7 gives %v, %v", family, err)
	}
	for _, canonical := range []string{"quadratic dims=2,x batch=3", "quadratic dims=2, batch=3", "quadratic dims=02 batch=3", "quadratic batch=3 dims=2", "quadratic"} {
		if family, err := flags.familyOf(canonical); err == nil {
			t.Errorf("%q is read as %s", canonical, family.Name())
		}
	}
}

func TestDistinctNames(t *testing.T) {
	for _, c := range []struct{ paths, names, rules, want []string }{
		{[]string{"x.mopt"}, []string{""}, nil, []string{"learned"}},
		{[]string{"x.mopt", "y.mopt"}, []string{"", ""}, nil, []string{"x", "y"}},
		{[]string{"x.mopt", "y.mopt"}, []string{"", "b"}, nil, []string{"learned", "b"}},
		{[]string{"r/a/o.mopt", "s/a/o.mopt", "c.mopt"}, []string{"", "", ""}, nil, []string{"r/a/o", "s/a/o", "c"}},
		{[]string{"adam.mopt"}, []string{"adam"}, []string{"adam"}, []string{"adam.mopt"}},
	} {
		var all []*metaopt.Optimizer
		for _, name := range c.names {
			all = append(all, &metaopt.Optimizer{Provenance: metaopt.Provenance{Name: name}})
		}
		if got := distinctNames(c.paths, all, c.rules); !slices.Equal(got, c.want) {
			t.Errorf("%q with names %q beside %q are called %q, want %q", c.paths, c.names, c.rules, got, c.want)
		}
	}
}
