package sweep

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"learnedopt/compare"
	"learnedopt/metaopt"
	"learnedopt/sweep/results"
	"learnedopt/tasks"
)

// small is a sweep over four cells of quadratics that takes a fraction of a second.
func small(t testing.TB) Config {
	t.Helper()
	o, err := metaopt.Pretrained("quadratic")
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Task:  tasks.MustParse("quadratic batch=4"),
		Axes:  []Axis{{Key: "dims", Values: []string{"2", "5"}}, {Key: "steps", Values: []string{"5", "12"}}},
		Steps: 8, Runs: 5, Seed: 3, Learned: []Learned{{"q", "pretrained:quadratic", o}},
		Rules: []string{"sgd", "adam"}, Tune: TuneCell, TuneRuns: 2, Grid: 1, Reach: 3,
	}
}

func plan(t testing.TB, c Config) *Plan {
	t.Helper()
	p, err := c.Plan()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPlanLaysOutCells(t *testing.T) {
	p := plan(t, small(t))
	var got []string
	for i, c := range p.Cells {
		got = append(got, p.Name(c)+": "+c.Task)
		if want := []int{5, 12}[i%2]; c.Steps != want || p.families[i].Name() != c.Task {
			t.Errorf("cell %d: %d steps, family %s", i, c.Steps, p.families[i].Name())
		}
	}
	want := []string{
		"dims=2 steps=5: quadratic dims=2 batch=4", "dims=2 steps=12: quadratic dims=2 batch=4",
		"dims=5 steps=5: quadratic dims=5 batch=4", "dims=5 steps=12: quadratic dims=5 batch=4",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("cells %q, want %q", got, want)
	}
	c := small(t)
	c.Tune = TuneBoth
	c.Axes = []Axis{{Key: DataAxis, Values: []string{"quadratic", "rosenbrock"}}, {Key: "condition", Values: []string{"10"}}}
	if _, err := c.Plan(); err == nil || !strings.Contains(err.Error(), "condition does not apply to the task rosenbrock") {
		t.Errorf("an axis that a cell's task lacks: %v", err)
	}
	c.Axes = []Axis{{Key: DataAxis, Values: []string{"rosenbrock"}}, {Key: "loss-scale", Values: []string{"1", "10"}}, {Key: "gradient-noise", Values: []string{"0", "0.5"}}}
	p = plan(t, c)
	if got := p.Cells[3].Task; p.Task != "quadratic dims=10 batch=4" || got != "rosenbrock dims=2 batch=4 loss-scale=10 gradient-noise=0.5" || p.Cells[0].Task != "rosenbrock dims=2 batch=4" {
		t.Errorf("base task %q, cells %q and %q", p.Task, p.Cells[0].Task, got)
	}
	var names []string
	for _, r := range p.Rules {
		names = append(names, r.Name)
	}
	if got := strings.Join(names, "; "); got != "q; sgd (tuned here); sgd (tuned on the base task); adam (tuned here); adam (tuned on the base task)" {
		t.Errorf("rules %s", got)
	}
}

// Values of the axis task are whole tasks, wherever the axis stands: they take the place of the base task, and other axes change them.
func TestTaskIsAnAxis(t *testing.T) {
	c := small(t)
	whole, err := NewAxis(TaskAxis, []string{"rosenbrock batch=2", "quadratic dims=3  loss-scale=10"})
	if err != nil {
		t.Fatal(err)
	}
	c.Axes = []Axis{{Key: "gradient-noise", Values: []string{"0.5"}}, whole, {Key: StepsAxis, Values: []string{"5", "7"}}}
	want := []string{
		"gradient-noise=0.5 task=rosenbrock dims=2 batch=2 steps=5: rosenbrock dims=2 batch=2 gradient-noise=0.5",
		"gradient-noise=0.5 task=rosenbrock dims=2 batch=2 steps=7: rosenbrock dims=2 batch=2 gradient-noise=0.5",
		"gradient-noise=0.5 task=quadratic dims=3 batch=128 loss-scale=10 steps=5: quadratic dims=3 batch=128 loss-scale=10 gradient-noise=0.5",
		"gradient-noise=0.5 task=quadratic dims=3 batch=128 loss-scale=10 steps=7: quadratic dims=3 batch=128 loss-scale=10 gradient-noise=0.5",
	}
	p := plan(t, c)
	var got []string
	for _, c := range p.Cells {
		got = append(got, p.Name(c)+": "+c.Task)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("cells %q, want %q", got, want)
	}
	if _, err := NewAxis(TaskAxis, []string{"quadratic dimms=3"}); err == nil || !strings.Contains(err.Error(), `did you mean "dims"`) {
		t.Errorf("a task with an unknown option: %v", err)
	}
	if _, err := NewAxis(TaskAxis, []string{"quadratic", "quadratic dims=10"}); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("one task in two texts: %v", err)
	}
}

// A row in the table of task options is enough to make an option an axis.
func TestWeightInitIsAnAxis(t *testing.T) {
	if testing.Short() {
		t.Skip("renders the digits; not with -short")
	}
	c := small(t)
	c.Axes = []Axis{{Key: DataAxis, Values: []string{"digits"}}, {Key: "weight-init", Values: []string{"he", "torch"}}}
	if got := plan(t, c).Cells[1].Task; got != "digits units=20 layers=1 activation=sigmoid batch=4 weight-init=torch" {
		t.Errorf("cell %q", got)
	}
	c.Task = tasks.MustParse("mnist init-scale=0.1")
	if _, err := c.Plan(); err == nil || !strings.Contains(err.Error(), "init-scale 0.1 with weight-init he") {
		t.Errorf("error %v", err)
	}
}

// The axis channels replaces the base task's units and layers. An axis of units beside it is an error.
func TestChannelsAreAnAxis(t *testing.T) {
	if testing.Short() {
		t.Skip("renders the digits; not with -short")
	}
	c := small(t)
	c.Task = tasks.MustParse("digits units=5 layers=2 batch=4")
	c.Axes = []Axis{{Key: "channels", Values: []string{"2", "2-4"}}}
	if got := plan(t, c).Cells[1].Task; got != "digits activation=sigmoid batch=4 channels=2-4" {
		t.Errorf("cell %q", got)
	}
	c.Axes = append(c.Axes, Axis{Key: "units", Values: []string{"5", "10"}})
	if _, err := c.Plan(); err == nil || !strings.Contains(err.Error(), "units does not apply to the task digits with channels") {
		t.Errorf("error %v", err)
	}
}

func TestConfigErrors(t *testing.T) {
	for what, change := range map[string]func(c *Config){
		"all must be positive": func(c *Config) { c.Runs = 0 },
		`tuning on "never"`:    func(c *Config) { c.Tune = "never" },
		"no optimizer":         func(c *Config) { c.Learned, c.Rules = nil, nil },
		"is there twice":       func(c *Config) { c.Axes = append(c.Axes, c.Axes[0]) },
		"called q":             func(c *Config) { c.Learned = append(c.Learned, c.Learned[0]) },
		"adam (tuned here)":    func(c *Config) { c.Learned[0].Name = "adam (tuned here)" },
		`no axis "size"`:       func(c *Config) { c.Axes[0].Key = "size" },
		"shorten the axes":     func(c *Config) { c.Axes = wide() },
		"no task":              func(c *Config) { c.Task = tasks.Spec{} },
	} {
		c := small(t)
		change(&c)
		if _, err := c.Plan(); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("error %v, want %q", err, what)
		}
	}
}

// Several learned rules are compared, under names of their own.
func TestSeveralLearnedRules(t *testing.T) {
	c := small(t)
	c.Learned = append(c.Learned, Learned{"r", "r.mopt", c.Learned[0].Optimizer}, Learned{"s", "s.mopt", c.Learned[0].Optimizer})
	if p := plan(t, c); len(p.Rules) != 5 || p.Rules[2].Name != "s" || p.Rules[2].Kind != compare.Learned {
		t.Errorf("%+v", p.Rules)
	}
}

func wide() (axes []Axis) {
	values := []string{"1", "2", "3", "4", "5", "6", "7", "8"}
	for _, key := range []string{"units", "layers", "batch", "dims", "steps"} {
		axes = append(axes, Axis{Key: key, Values: values})
	}
	return axes
}

// Keys are pinned: if they change, every sweep that someone has begun is computed anew. If records
// change on purpose, raise format and pin the new keys.
func TestKeysAreStable(t *testing.T) {
	p := plan(t, small(t))
	if got, want := p.Cells[3].Keys[1:], []string{"12ab071efb4471d7", "b4205ac7e6b9c0d7"}; !reflect.DeepEqual(got, want) {
		t.Errorf("keys of tuned rules %q, want %q", got, want)
	}
	// A learned rule's key is of nothing but the cell and the network, which may come to be another one.
	want := fmt.Sprintf(`{"format":1,"task":"quadratic dims=5 batch=4","steps":12,"runs":5,"seed":3,"digest":%q}`, p.Rules[0].Digest)
	if sum := sha256.Sum256([]byte(want)); p.Cells[3].Keys[0] != hex.EncodeToString(sum[:8]) {
		t.Errorf("the learned rule's key %q is not of %s", p.Cells[3].Keys[0], want)
	}
	seen := map[string]bool{}
	for _, c := range p.Cells {
		for _, key := range c.Keys {
			if len(key) != 16 || seen[key] {
				t.Errorf("key %q is of another length, or another record's", key)
			}
			seen[key] = true
		}
	}
}

// A setting that the numbers depend on changes the key; a name that is only shown does not.
func TestKeysDependOnWhatMatters(t *testing.T) {
	other, err := metaopt.Pretrained("mlp")
	if err != nil {
		t.Fatal(err)
	}
	base := plan(t, small(t)).Cells[0].Keys // of the learned rule, sgd, adam
	for what, c := range map[string]struct {
		change func(c *Config)
		moved  [3]bool
	}{
		"task":      {func(c *Config) { c.Task = tasks.MustParse("quadratic batch=8") }, [3]bool{true, true, true}},
		"seed":      {func(c *Config) { c.Seed++ }, [3]bool{true, true, true}},
		"runs":      {func(c *Config) { c.Runs++ }, [3]bool{true, true, true}},
		"steps":     {func(c *Config) { c.Axes[1].Values[0] = "6" }, [3]bool{true, true, true}},
		"network":   {func(c *Config) { c.Learned[0].Optimizer = other }, [3]bool{true, false, false}},
		"tune runs": {func(c *Config) { c.TuneRuns++ }, [3]bool{false, true, true}},
		"grid":      {func(c *Config) { c.Grid++ }, [3]bool{false, true, true}},
		"tune":      {func(c *Config) { c.Tune = TuneBase }, [3]bool{false, true, true}},
		"reach":     {func(c *Config) { c.Reach++ }, [3]bool{false, false, true}},
		"name":      {func(c *Config) { c.Learned[0].Name, c.Learned[0].Source = "r", "r.mopt" }, [3]bool{}},
		"axes":      {func(c *Config) { c.Axes[0].Values = append(c.Axes[0].Values, "7") }, [3]bool{}},
		"base":      {func(c *Config) { c.Steps = 99 }, [3]bool{}},
	} {
		config := small(t)
		c.change(&config)
		for k, key := range plan(t, config).Cells[0].Keys {
			if (key != base[k]) != c.moved[k] {
				t.Errorf("another %s: key %d moved: %v, want %v", what, k, key != base[k], c.moved[k])
			}
		}
	}
}

func TestManifestIsReadBack(t *testing.T) {
	p, dir := plan(t, small(t)), t.TempDir()
	if err := p.Write(dir); err != nil {
		t.Fatal(err)
	}
	m, err := results.ReadManifest(dir)
	if err != nil || !reflect.DeepEqual(*m, p.Manifest) {
		t.Errorf("error %v; read %+v, wrote %+v", err, m, p.Manifest)
	}
}
