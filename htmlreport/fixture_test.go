package htmlreport

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"learnedopt/compare"
	"learnedopt/metatrain"
	"learnedopt/optimizer"
	"learnedopt/sweep/results"
)

// hostile is a name that would run a script if a page used it as markup, in an attribute or in a script.
const hostile = `</script><img src=x onerror="window.hacked=1">` + "'\"`\u2028\u202e<!--"

func write(t *testing.T, path string, data string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

func appendTo(t *testing.T, path string, data string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(data); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// line returns a value as a line of JSON.
func line(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data) + "\n"
}

// startLine returns the first line of a log.
func startLine(seed int) string {
	return fmt.Sprintf(`{"event":"start","version":"v1.2.3","go":"go1.26.0","os":"linux","arch":"amd64","kernels":"avx2","task":"quadratic dims=10 batch=128","seed":%d,"network":{"inputs":"logsign","hidden":20},"steps":100,"horizons":[50,100],"clip":null}`+"\n", seed)
}

// events returns the lines of n episodes of a training from meta-step from on, with a validation before every ten episodes.
func events(t *testing.T, from, n int) string {
	t.Helper()
	var b strings.Builder
	for k := from; k < from+n; k++ {
		x := float64(k)
		level := 0.15 + 7*math.Exp(-x/12)
		if k%10 == 0 {
			b.WriteString(validationLine(t, 5*k, level))
		}
		noise := 1 + 0.3*math.Sin(x*12.9)
		b.WriteString(line(t, metatrain.Event{
			Kind: metatrain.EventEpisode, MetaStep: 5*k + 5, Episode: k, MeanLoss: compare.Number(level * noise), FinalLoss: compare.Number(level * noise / 3),
			GradNorm: compare.Number(200 * level * noise), Clipped: 3,
		}))
	}
	return b.String()
}

// validationLine returns a validation with diagnostics as the trainer writes them.
func validationLine(t *testing.T, metaStep int, loss float64) string {
	t.Helper()
	data := line(t, metatrain.Event{
		Kind: metatrain.EventValidation, MetaStep: metaStep, Best: true,
		Valid: &compare.Score{MeanLoss: compare.Number(loss), FinalLoss: compare.Number(loss / 3)},
	})
	phase := func(f float64) string {
		return fmt.Sprintf(`{"sampled":640,"gradient_rms":%g,"update_rms":0.01,"update_to_gradient":%g,"zero_gradients":0.01,"inputs":{"small_gradients":%g,"clipped_signs":%g},`+
			`"gates":[{"i":%g,"f":0.2,"g":0.05,"o":0.1},{"i":0.2,"f":%g,"g":0.02,"o":0.1}],"meta_gradient":{"windows":50,"mean_norm":%g,"max_norm":%g,"clipped":0.4},`+
			`"non_finite":{"count":0,"of":50}}`, f, 0.05/f, 0.1*f/(1+f), 0.3, 0.1+0.02*f, 0.3/(1+f), 10*f, 40*f)
	}
	return strings.TrimSuffix(data, "}\n") + fmt.Sprintf(`,"diagnostics":{"training":%s,"validation":%s}}`, phase(loss), phase(loss/2)) + "\n"
}

func divergedLine(t *testing.T, metaStep int) string {
	t.Helper()
	return line(t, metatrain.Event{Kind: metatrain.EventDiverged, MetaStep: metaStep, Diverged: &optimizer.DivergedError{Step: 17, What: "gradient", Coordinate: 3, Value: math.NaN()}})
}

const endLine = `{"event":"end","reason":"time","seconds":6.4,"meta_steps":200,"best_meta_step":150,"valid_loss":0.1512,"start_valid_loss":7.15,"skipped":1}` + "\n"

// exampleComparison returns a comparison of five rules over 100 steps; name is the name of the learned rule.
func exampleComparison(name string) *compare.Comparison {
	c := &compare.Comparison{Task: "quadratic dims=10 batch=128", Steps: 100, Runs: 20, Seed: 7}
	for i, r := range []struct {
		name, kind  string
		rate, floor float64
	}{
		{name, compare.Learned, 0.22, 0.03}, {"nesterov", compare.Baseline, 0.12, 0.08}, {"adam", compare.Baseline, 0.08, 0.1}, {"sgd", compare.Baseline, 0.06, 0.18},
		{"rmsprop", compare.Baseline, 0.07, 0.15},
	} {
		result := compare.Result{Name: r.name, Kind: r.kind}
		if r.kind == compare.Baseline {
			lr := 0.01 * float64(i)
			result.LearningRate = &lr
		}
		sum := 0.0
		for t := range c.Steps + 1 {
			v := r.floor + 3.2*math.Exp(-r.rate*float64(t))
			sum += v
			result.Curve = append(result.Curve, compare.Number(v))
			result.CurveCI95[0] = append(result.CurveCI95[0], compare.Number(0.9*v))
			result.CurveCI95[1] = append(result.CurveCI95[1], compare.Number(1.1*v))
		}
		mean := sum / float64(c.Steps+1)
		for k := range c.Runs {
			result.MeanLosses = append(result.MeanLosses, compare.Number(mean*(1+0.1*math.Sin(float64(k)))))
		}
		result.MeanLoss, result.FinalLoss = compare.Number(mean), compare.Number(r.floor)
		result.MeanLossCI95 = [2]compare.Number{compare.Number(0.95 * mean), compare.Number(1.05 * mean)}
		if r.name != "sgd" {
			result.StepTime = fixtureTime(r.kind)
		}
		if r.name == "rmsprop" {
			result.Diverged, result.MeanLosses[3], result.MeanLoss = 1, compare.Number(math.Inf(1)), compare.Number(math.Inf(1))
		}
		c.Rules = append(c.Rules, result)
	}
	c.Pair()
	return c
}

// fixtureTime is the time of a step in these tests: 10 ms of a learned rule, of which 8 are the update, and 2.5 ms of others.
func fixtureTime(kind string) *compare.StepTime {
	if kind == compare.Learned {
		return &compare.StepTime{Gradient: 0.002, Update: 0.008}
	}
	return &compare.StepTime{Gradient: 0.002, Update: 0.0005}
}

// resultText returns the text of a result.json.
func resultText(t *testing.T, name string) string {
	t.Helper()
	return line(t, map[string]any{
		"comparison": exampleComparison(name),
		"tuning":     []map[string]any{{"name": "sgd", "learning_rate": 10, "at_edge": true, "grid": []int{}}},
		"train":      map[string]any{"command": "metaopt meta-train --task quadratic --name '" + name + "'", "seed": 0},
	})
}

// writeRun makes the folder of a finished run.
func writeRun(t *testing.T, dir, name string) {
	t.Helper()
	write(t, filepath.Join(dir, logFile), startLine(0)+events(t, 0, 40)+divergedLine(t, 190)+endLine)
	write(t, filepath.Join(dir, resultFile), resultText(t, name))
}

// The hand-designed rules of the sweeps in these tests.
var tunedRules = []results.Rule{
	{Name: "adam", Kind: compare.Baseline, Baseline: "adam", Tuned: results.TuneBase}, {Name: "sgd", Kind: compare.Baseline, Baseline: "sgd", Tuned: results.TuneBase},
}

// keyOf returns the key of a record.
func keyOf(rule string, units, steps int, activation string) string {
	return fmt.Sprintf("%s %d %d %s", rule, units, steps, activation)
}

// newRecord returns a record with mean losses of about level and final losses of about level/4. Adam reaches such a final loss
// after 2/level times the steps; with 80 units it does not reach it in 1.5 times the steps.
func newRecord(units, steps int, activation, rule, kind string, level float64, diverged int) results.Record {
	const n = 8
	r := results.Record{
		Key: keyOf(rule, units, steps, activation), Version: "v1.2.3", Time: "2026-01-02T03:04:05Z", Task: fmt.Sprintf("mnist units=%d activation=%s", units, activation),
		Cell:  map[string]string{"units": fmt.Sprint(units), "steps": fmt.Sprint(steps), "activation": activation},
		Steps: steps, Runs: n, Seed: 5, Diverged: diverged, Seconds: 1.5, StepTime: fixtureTime(kind),
		Rule: results.Rule{Name: rule, Kind: kind, Digest: "0123456789abcdef", Source: "pretrained:mlp"},
	}
	spread := 0.0
	for i := range n {
		factor := 1 + 0.2*math.Sin(float64(i))
		spread += factor / n
		mean := level * factor
		if i < diverged {
			mean = math.Inf(1)
		}
		r.MeanLosses, r.FinalLosses = append(r.MeanLosses, compare.Number(mean)), append(r.FinalLosses, compare.Number(mean/4))
	}
	if kind == compare.Baseline {
		rate := 0.03
		r.Rule = results.Rule{Name: rule, Kind: kind, Baseline: rule, Tuned: results.TuneBase, LearningRate: &rate}
	}
	if rule == results.ReachRule {
		r.ReachEvery = steps / 100
		last := 400
		if units == 80 {
			last = 150
		}
		for i := range last + 1 {
			r.Reach = append(r.Reach, compare.Number((1-1e-9)*spread*50/max(float64(i), 0.1)))
		}
	}
	if diverged > 0 {
		r.DivergedAt = []string{"instance 0: loss not finite at step 12"}
	}
	for k := range 101 {
		v := compare.Number(level/4 + 2.3*math.Exp(-float64(k)/20/level))
		r.CurveSteps, r.Curve = append(r.CurveSteps, k*steps/100), append(r.Curve, v)
		r.CurveCI95[0], r.CurveCI95[1] = append(r.CurveCI95[0], 0.9*v), append(r.CurveCI95[1], 1.1*v)
	}
	return r
}

// cellRecord returns a line of cells.jsonl.
func cellRecord(t *testing.T, units, steps int, activation, rule, kind string, level float64, diverged int) string {
	t.Helper()
	return line(t, newRecord(units, steps, activation, rule, kind, level, diverged))
}

var (
	unitsAxis      = []int{5, 10, 20, 40, 80}
	stepsAxis      = []int{100, 1000, 10000}
	activationAxis = []string{"sigmoid", "relu"}
)

// newManifest returns the manifest of a sweep with a learned rule and two tuned rules over three axes.
func newManifest(learned string) *results.Manifest {
	m := &results.Manifest{Version: "v1.2.3", Task: "mnist", Steps: 100, Runs: 8, Seed: 5, Tune: results.TuneBase, TuneRuns: 5, Grid: 4, Reach: 4, Axes: []results.Axis{
		{Key: "units", Values: []string{"5", "10", "20", "40", "80"}}, {Key: "steps", Values: []string{"100", "1000", "10000"}}, {Key: "activation", Values: activationAxis},
	}}
	m.Rules = append([]results.Rule{{Name: learned, Kind: compare.Learned, Digest: "0123456789abcdef", Source: "pretrained:mlp"}}, tunedRules...)
	for _, units := range unitsAxis {
		for _, steps := range stepsAxis {
			for _, activation := range activationAxis {
				c := results.Cell{Values: map[string]string{"units": fmt.Sprint(units), "steps": fmt.Sprint(steps), "activation": activation}, Steps: steps}
				for _, r := range m.Rules {
					c.Keys = append(c.Keys, keyOf(r.Name, units, steps, activation))
				}
				m.Cells = append(m.Cells, c)
			}
		}
	}
	return m
}

// sweepText returns the sweep.json of a sweep with a learned rule "mlp".
func sweepText(t *testing.T) string { return line(t, newManifest("mlp")) }

// writeSweep makes a sweep folder in which the last cell has no records.
func writeSweep(t *testing.T, dir, name string) {
	t.Helper()
	write(t, filepath.Join(dir, sweepFile), line(t, newManifest(name)))
	var b strings.Builder
	for i, units := range unitsAxis {
		for j, steps := range stepsAxis {
			for k, activation := range activationAxis {
				if i == 4 && j == 2 && k == 1 {
					continue
				}
				diverged := 0
				if i == 3 && j == 2 {
					diverged = 2
				}
				level := 0.5 + 0.15*float64(i) + 0.3*float64(j)*float64(k)
				b.WriteString(cellRecord(t, units, steps, activation, name, compare.Learned, level, diverged))
				b.WriteString(cellRecord(t, units, steps, activation, "adam", compare.Baseline, 0.9, 0))
				b.WriteString(cellRecord(t, units, steps, activation, "sgd", compare.Baseline, 1.4, 0))
			}
		}
	}
	write(t, filepath.Join(dir, cellsFile), b.String())
}
