package metaopt_test

import (
	"encoding"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"learnedopt/baselines"
	"learnedopt/curvature"
	"learnedopt/lstm"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
	"learnedopt/rules"
)

// configured returns rules of every type of the library, with schedules of every type. All of their settings differ
// from 0.
func configured(t *testing.T) []optimizer.Rule {
	sgd := baselines.SGD{LearningRate: 0.1}
	adam := baselines.Adam{LearningRate: 0.1, Betas: [2]float64{0.8, 0.9}, Epsilon: 1e-3}
	scaled := func(s rules.Schedule) optimizer.Rule { return rules.Scaled{Rule: sgd, By: s} }
	return []optimizer.Rule{
		sgd, adam,
		baselines.Adam{LearningRate: 0.1}, // with defaults
		baselines.Momentum{LearningRate: 0.1, Momentum: 0.9},
		baselines.Nesterov{LearningRate: 0.1, Momentum: 0.9},
		baselines.AdaGrad{LearningRate: 0.1, Epsilon: 1e-3},
		baselines.RMSProp{LearningRate: 0.1, Alpha: 0.9, Epsilon: 1e-3},
		baselines.NAdamW{LearningRate: 0.1, Epsilon: 1e-3, WarmUp: 0.1, Steps: 50},
		baselines.ScheduleFree{LearningRate: 0.1, Epsilon: 1e-3, WarmUp: 0.1, Steps: 50},
		baselines.SOAP{LearningRate: 0.1, Epsilon: 1e-3, Frequency: 5, MaxDim: 100, Steps: 50},
		baselines.Muon{LearningRate: 0.1, Momentum: 0.9, AdamRatio: 0.5, Steps: 50},
		baselines.Prodigy{Epsilon: 1e-3, Distance: 0.1},
		scaled(rules.Constant(0.5)),
		scaled(rules.WarmUp{Steps: 5, Then: rules.Cosine{Steps: 100, Floor: 0.1}}),
		scaled(rules.StepDecay{Factor: 0.5, Every: 2}),
		scaled(rules.InverseSqrt{Steps: 2}),
		rules.WeightDecay{Rule: adam, Decay: 0.01, By: rules.Cosine{Steps: 9}},
		rules.ClipNorm{Rule: rules.ClipValue{Rule: sgd, Max: 2}, Max: 3},
		rules.Groups{{N: 1, Rule: sgd}, {N: 2, Rule: adam}},
		rules.WarmStart{Steps: 9, First: sgd, Then: adam, Observe: true},
		rules.Resting{Rule: adam, Decay: 0.5},
		metaopt.Guarded{Rule: adam, Guard: metaopt.Guard{Fallback: sgd, Window: 4, Rise: metaopt.Rise{Tolerance: 0.5, Patience: 3}, Stall: 7}},
		metaopt.Guarded{Rule: sgd},
		metaopt.Bounded{Rule: adam, Guard: metaopt.KLGuard{Radius: 0.01, Fallback: sgd, Patience: 3}},
		curvature.NaturalGradient{LearningRate: 0.1, Damping: 0.5, Iterations: 4, Tolerance: 0.1},
		curvature.TrustRegion{Radius: 0.01, Damping: 0.5, Iterations: 4, Shrink: 0.5, Tries: 5},
		someOptimizer(t, lstm.Config{Hidden: 2}).Network,
	}
}

// A variant is a value with one setting changed.
type variant struct {
	path  string
	value reflect.Value
}

// variants changes each exported setting in turn, at any depth, and records in met the types that it finds.
func variants(path string, v reflect.Value, met map[string]bool) (all []variant) {
	if v.Kind() != reflect.Interface {
		met[strings.TrimPrefix(v.Type().String(), "*")] = true
	}
	within := func(part string, v reflect.Value, change func(to reflect.Value) reflect.Value) {
		for _, p := range variants(part, v, met) {
			all = append(all, variant{p.path, change(p.value)})
		}
	}
	to := reflect.New(v.Type()).Elem()
	to.Set(v)
	switch v.Kind() {
	case reflect.Interface:
		if !v.IsNil() {
			within(path, v.Elem(), func(x reflect.Value) reflect.Value { to := reflect.New(v.Type()).Elem(); to.Set(x); return to })
		}
	case reflect.Struct:
		for i := range v.NumField() {
			within(path+"."+v.Type().Field(i).Name, v.Field(i), func(x reflect.Value) reflect.Value {
				to := reflect.New(v.Type()).Elem()
				to.Set(v)
				to.Field(i).Set(x)
				return to
			})
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			within(fmt.Sprintf("%s[%d]", path, i), v.Index(i), func(x reflect.Value) reflect.Value {
				to := reflect.New(v.Type()).Elem()
				to.Set(v)
				if v.Kind() == reflect.Slice {
					to.Set(reflect.AppendSlice(reflect.MakeSlice(v.Type(), 0, 0), v))
				}
				to.Index(i).Set(x)
				return to
			})
		}
	case reflect.Float64:
		if to.SetFloat(0.75 * v.Float()); v.Float() == 0 {
			to.SetFloat(0.25)
		}
		all = append(all, variant{path, to})
	case reflect.Int:
		to.SetInt(v.Int() + 1)
		all = append(all, variant{path, to})
	case reflect.Uint16: // a metric
		to.SetUint(uint64(optimizer.EmpiricalFisher))
		all = append(all, variant{path, to})
	case reflect.Bool:
		to.SetBool(!v.Bool())
		all = append(all, variant{path, to})
	case reflect.Pointer: // the network
		net := v.Interface().(*lstm.Network)
		cfg, phi := net.Config(), net.Params()
		phi[0]++
		all = append(all, variant{path + ".Parameters", reflect.ValueOf(net.With(phi))})
		for name, set := range map[string]func(*lstm.Config){
			"Inputs": func(c *lstm.Config) { c.Inputs = lstm.RNNProp }, "P": func(c *lstm.Config) { c.P++ }, "SignP": func(c *lstm.Config) { c.SignP++ },
			"Readout": func(c *lstm.Config) { c.Readout = lstm.Tanh }, "Scale": func(c *lstm.Config) { c.Scale /= 2 }, "Anneal": func(c *lstm.Config) { c.Anneal = 9 },
		} {
			other := cfg
			set(&other)
			n, err := lstm.NewNetwork(other, net.Params())
			if err != nil {
				panic(err)
			}
			all = append(all, variant{path + ".Config." + name, reflect.ValueOf(n)})
		}
	case reflect.Func:
	default:
		panic(fmt.Sprintf("%s is a %v", path, v.Type()))
	}
	return all
}

// TestChangedSettings saves runs of every rule and resumes them with one setting changed. UnmarshalBinary must return an
// error that names the setting; ResumeChanged must accept it.
func TestChangedSettings(t *testing.T) {
	const n, steps = 3, 4
	met, tried := map[string]bool{}, 0
	for _, rule := range configured(t) {
		w := ways(n)[0].start(startWithCurvature(rule, n))
		w.steps(t, steps)
		data := save(t, w.run)
		if err := startWithCurvature(rule, n).UnmarshalBinary(data); err != nil {
			t.Fatalf("%T: %v", rule, err)
		}
		for _, v := range variants("rule", reflect.ValueOf(rule), met) {
			changed := v.value.Interface().(optimizer.Rule)
			if strings.HasSuffix(v.path, ".N") {
				continue // the states of groups of other sizes do not fit: TestChangedTooMuch
			}
			if c, ok := changed.(interface{ Validate() error }); ok && c.Validate() != nil {
				continue // a tolerance without a patience
			}
			tried++
			run := startWithCurvature(changed, n)
			fresh := save(t, run)
			err := run.UnmarshalBinary(data)
			if !errors.Is(err, metaopt.ErrState) || !errors.Is(err, metaopt.ErrChanged) || !strings.Contains(err.Error(), v.path+" was ") {
				t.Errorf("%T resumed with another %s: %v", rule, v.path, err)
			}
			if !slices.Equal(save(t, run), fresh) {
				t.Errorf("%T resumed with another %s: the refusal changed the run", rule, v.path)
			}
			if v.path == "rule.Config.Inputs" {
				continue // its state has a different number of rows: TestChangedTooMuch
			}
			if err := run.ResumeChanged(data); err != nil || run.Steps() != steps {
				t.Errorf("%T with another %s where that is asked for: step %d, %v", rule, v.path, run.Steps(), err)
				continue
			}
			ways(n)[0].start(run).steps(t, steps)
			// The run continues with the new settings, and the next save holds them.
			again := save(t, run)
			if err := startWithCurvature(changed, n).UnmarshalBinary(again); err != nil {
				t.Errorf("%T with another %s: saved again: %v", rule, v.path, err)
			}
			if err := startWithCurvature(rule, n).UnmarshalBinary(again); !errors.Is(err, metaopt.ErrChanged) {
				t.Errorf("%T with another %s: saved again with the old one: %v", rule, v.path, err)
			}
		}
	}
	if tried < 60 {
		t.Errorf("%d settings changed: the test tests too little", tried)
	}
	for _, dir := range []string{"../baselines", "../rules", "../lstm", "."} {
		for _, name := range ruleTypes(t, dir) {
			// Bounded runs where steps can be tried: TestKLGuardSaves.
			if !met[name] && name != "metaopt.Bounded" {
				t.Errorf("%s is in none of the rules that were tried", name)
			}
		}
	}
}

// startWithCurvature starts a run of three coordinates whose caller provides everything.
func startWithCurvature(rule optimizer.Rule, n int) *metaopt.Run {
	run, err := metaopt.StartRule(rule, optimizer.Flat(n), optimizer.Needs{Theta: true, Loss: true, Trial: true, Metrics: optimizer.Fisher | optimizer.EmpiricalFisher})
	if err != nil {
		panic(err)
	}
	run.SetCurvature(triangle)
	return run
}

// ruleTypes returns the exported types of a folder that are rules or schedules: with a method Start that takes a layout, or At.
func ruleTypes(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatal(dir, files, err)
	}
	for _, path := range files {
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, src, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv == nil || strings.HasSuffix(path, "_test.go") {
				continue
			}
			of := fn.Recv.List[0].Type
			if star, ok := of.(*ast.StarExpr); ok {
				of = star.X
			}
			name, ok := of.(*ast.Ident)
			if ok && name.IsExported() && name.Name != "Optimizer" && (fn.Name.Name == "Start" || fn.Name.Name == "At") {
				names = append(names, f.Name.Name+"."+name.Name)
			}
		}
	}
	if len(names) == 0 {
		t.Fatalf("no rule in %s", dir)
	}
	return names
}

// TestChangedLayout expects a saved run to refuse another layout.
func TestChangedLayout(t *testing.T) {
	w := optimizer.Tensor{Name: "w", Shape: []int{2, 3}, Kind: optimizer.Matrix, OutputAxis: 1}
	b := optimizer.Tensor{Name: "b", Shape: []int{3}, Kind: optimizer.Bias}
	started := func(tensors ...optimizer.Tensor) *metaopt.Run {
		t.Helper()
		layout, err := optimizer.NewLayout(tensors...)
		if err != nil {
			t.Fatal(err)
		}
		run, err := metaopt.StartRule(baselines.SGD{LearningRate: 1}, layout, optimizer.Needs{})
		if err != nil {
			t.Fatal(err)
		}
		return run
	}
	data := save(t, started(w, b))
	named, turned, vector, axis := w, w, b, b
	named.Name, turned.OutputAxis, vector.Kind, axis.OutputAxis = "W", 0, optimizer.Vector, 1
	for want, run := range map[string]*metaopt.Run{
		"":                                       started(w, axis), // a bias does not use its output axis
		`layout[0].Name was "w" and is "W"`:      started(named, b),
		"layout[0].OutputAxis was 1 and is not ": started(turned, b),
		`layout[1].Kind was "bias" and is "vec`:  started(w, vector),
		`layout[0].Shape was "[2 3]" and is "[3`: started(optimizer.Tensor{Name: "w", Shape: []int{3, 2}, Kind: optimizer.Matrix, OutputAxis: 1}, b),
		"layout.len was 2 and is 1":              startRun(baselines.SGD{LearningRate: 1}, 9),
	} {
		err := run.UnmarshalBinary(data)
		if want == "" && err != nil || want != "" && (!errors.Is(err, metaopt.ErrChanged) || !strings.Contains(err.Error(), want)) {
			t.Errorf("another layout: %v, want %q", err, want)
		}
		if err := run.ResumeChanged(data); err != nil {
			t.Error(err)
		}
	}
}

// The next steps of a changed run were computed by hand: SGD with learning rate 1 is u = −g, and all gradients are 1.
func TestChangedByHand(t *testing.T) {
	sgd := baselines.SGD{LearningRate: 1}
	half, momentum := baselines.SGD{LearningRate: 0.5}, baselines.Momentum{LearningRate: 1, Momentum: 0.5} // u = −1, −1.5, −1.75, −1.875, …
	guard := func(window int) optimizer.Rule {
		return metaopt.Guarded{Rule: sgd, Guard: metaopt.Guard{Fallback: half, Window: window, Rise: metaopt.Rise{Patience: 1}}}
	}
	falling := []float64{8, 6, 4, 2}
	for name, c := range map[string]struct {
		was, is  optimizer.Rule
		before   []float64 // losses
		after    []float64
		at, want float64 // θ after before, and after after
	}{
		"learning rate": {sgd, half, falling, falling[:2], -4, -5},
		"schedule":      {rules.Scaled{Rule: sgd, By: rules.StepDecay{Factor: 0.5, Every: 4}}, rules.Scaled{Rule: sgd, By: rules.StepDecay{Factor: 0.5, Every: 2}}, falling, falling[:1], -4, -4.25},
		// The state of the second rule is fresh at step 4, or has observed 4 gradients.
		"warm start, earlier":            {rules.WarmStart{Steps: 9, First: sgd, Then: momentum}, rules.WarmStart{Steps: 2, First: sgd, Then: momentum}, falling, falling[:2], -4, -6.5},
		"warm start, earlier, observing": {rules.WarmStart{Steps: 9, First: sgd, Then: momentum, Observe: true}, rules.WarmStart{Steps: 2, First: sgd, Then: momentum, Observe: true}, falling, falling[:1], -4, -5.9375},
		"warm start, later":              {rules.WarmStart{Steps: 5, First: sgd, Then: momentum}, rules.WarmStart{Steps: 6, First: sgd, Then: momentum}, falling, falling[:4], -4, -8.5},
		// s = 8 7 5 3; the last two losses stay: s = 3.33 of 4 2 4, and b = 3 of θ_3.
		"wider window": {guard(2), guard(4), falling, []float64{4}, -4, -3},
		// s = 8 7 6 5; the last loss stays, s = 1, b = 1, and 1.5 is above it: back to θ_4.
		"narrower window": {guard(4), guard(1), falling, []float64{1, 1.5}, -4, -4},
		// s = 2: the fallback of the new guard takes over from θ_4 = −4, and its first step is −0.5.
		"handed over": {guard(1), guard(3), []float64{8, 6, 7}, []float64{6, 6}, -1, -2},
	} {
		theta, grad := []float32{0}, []float32{1}
		run := startRun(c.was, 1)
		for _, f := range c.before {
			if err := run.StepLoss(theta, grad, f); err != nil {
				t.Fatal(name, err)
			}
		}
		if theta[0] != float32(c.at) {
			t.Errorf("%s: θ = %v before, want %v", name, theta[0], c.at)
		}
		again := startRun(c.is, 1)
		if err := again.ResumeChanged(save(t, run)); err != nil {
			t.Error(name, err)
			continue
		}
		for _, f := range c.after {
			if err := again.StepLoss(theta, grad, f); err != nil {
				t.Fatal(name, err)
			}
		}
		if theta[0] != float32(c.want) {
			t.Errorf("%s: θ = %v after, want %v", name, theta[0], c.want)
		}
	}
}

// A saved state that cannot fit the new run is an error for ResumeChanged too, and the run stays unchanged.
func TestChangedTooMuch(t *testing.T) {
	sgd, adam := baselines.SGD{LearningRate: 1}, baselines.Adam{LearningRate: 1}
	net := someOptimizer(t, lstm.Config{Hidden: 2}).Network
	rnnprop, err := lstm.NewNetwork(lstm.Config{Hidden: 2, Inputs: lstm.RNNProp}, net.Params())
	if err != nil {
		t.Fatal(err)
	}
	for says, c := range map[string]struct{ was, is optimizer.Rule }{
		"start the state with the rule":           {sgd, adam},
		"start with the rule that it was":         {sgd, rules.Scaled{Rule: sgd}},
		"coordinates in a group 1, want 2":        {rules.Groups{{N: 1, Rule: sgd}, {N: 2, Rule: adam}}, rules.Groups{{N: 2, Rule: sgd}, {N: 1, Rule: adam}}},
		"gave its state up after 2 steps; at st":  {rules.WarmStart{Steps: 2, First: sgd, Then: adam}, rules.WarmStart{Steps: 5, First: sgd, Then: adam}},
		"start the state with the network and th": {net, rnnprop},
	} {
		w := ways(3)[0].start(startRun(c.was, 3))
		w.steps(t, 4)
		run := startRun(c.is, 3)
		fresh := save(t, run)
		if err := run.ResumeChanged(save(t, w.run)); !errors.Is(err, metaopt.ErrState) || errors.Is(err, metaopt.ErrChanged) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
		if !slices.Equal(save(t, run), fresh) {
			t.Errorf("%s: the refusal changed the run", says)
		}
	}
}

// mine is a user's own rule with unexported settings.
type mine struct {
	Rate   float64
	secret float64
}

func (m *mine) Definition() any        { return []float64{m.Rate, m.secret} }
func (m *mine) Needs() optimizer.Needs { return optimizer.Needs{} }
func (m *mine) Start(l optimizer.Layout) optimizer.State {
	return baselines.SGD{LearningRate: m.Rate}.Start(l)
}

func TestChangedRuleOfOnesOwn(t *testing.T) {
	data := save(t, startRun(rules.Scaled{Rule: &mine{1, 2}}, 1))
	if err := startRun(rules.Scaled{Rule: &mine{1, 2}}, 1).UnmarshalBinary(data); err != nil {
		t.Errorf("the same rule at another address: %v", err)
	}
	if err := startRun(rules.Scaled{Rule: &mine{1, 3}}, 1).UnmarshalBinary(data); !errors.Is(err, metaopt.ErrChanged) || !strings.Contains(err.Error(), "rule.Rule[1] was 2 and is 3") {
		t.Errorf("another setting: %v", err)
	}
	if err := startRun(rules.Scaled{Rule: &mine{1, 2}, By: rules.Constant(1)}, 1).UnmarshalBinary(data); err != nil {
		t.Errorf("a schedule of 1, as by default: %v", err)
	}
}

// A state that is saved without a run still refuses other values of the settings that its data depend on.
func TestChangedStates(t *testing.T) {
	sgd := baselines.SGD{LearningRate: 1}
	for name, c := range map[string]struct{ was, is optimizer.Rule }{
		"first steps": {rules.WarmStart{Steps: 9, First: sgd, Then: sgd}, rules.WarmStart{Steps: 8, First: sgd, Then: sgd}},
		"a window":    {metaopt.Guarded{Rule: sgd}, metaopt.Guarded{Rule: sgd, Guard: metaopt.Guard{Window: 9}}},
		"in groups":   {rules.Groups{{Rule: rules.WarmStart{Steps: 9, First: sgd, Then: sgd}}}, rules.Groups{{Rule: rules.WarmStart{Steps: 8, First: sgd, Then: sgd}}}},
		"wrapped":     {rules.Scaled{Rule: metaopt.Guarded{Rule: sgd}}, rules.Scaled{Rule: metaopt.Guarded{Rule: sgd, Guard: metaopt.Guard{Window: 9}}}},
	} {
		data := save(t, start(c.was, 2).state.(encoding.BinaryMarshaler))
		if err := start(c.is, 2).state.(encoding.BinaryUnmarshaler).UnmarshalBinary(data); err == nil {
			t.Errorf("%s: other ones are taken without a word", name)
		}
		if err := start(c.is, 2).state.(interface{ UnmarshalChanged([]byte) error }).UnmarshalChanged(data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
