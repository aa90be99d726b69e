package command

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"learnedopt/compare"
	"learnedopt/metatrain"
	"learnedopt/runfolder"
)

// healthy are diagnostics in which nothing stands out.
func healthy() *metatrain.Diagnostics {
	phase := func() *metatrain.Diagnosis {
		return &metatrain.Diagnosis{
			Sampled: 1000, GradientRMS: 0.1, UpdateRMS: 0.01, UpdateToGradient: 0.1, ZeroGradients: 0.2,
			Inputs:    &metatrain.ClippedInputs{SmallGradients: 0.3, ClippedSigns: 0.5},
			Gates:     []metatrain.GateSaturation{{I: 0.1, F: 1, G: 0.2, O: 0.1}, {I: 0.1, F: 0.1, G: 0.89, O: 0.1}},
			NonFinite: metatrain.NonFinite{Of: 8},
		}
	}
	d := &metatrain.Diagnostics{Training: phase(), Validation: phase()}
	d.Training.MetaGradient = &metatrain.MetaGradient{Windows: 50, MeanNorm: 2, MaxNorm: 9, Clipped: 0.6}
	return d
}

func TestHints(t *testing.T) {
	record := runfolder.Record{
		Network: runfolder.Network{P: 5, Scale: 0.1}, Start: runfolder.Start{Gain: 1, InputGain: 1}, MetaLearningRate: 0.003, Clip: 1,
	}
	for name, c := range map[string]struct {
		change func(*metatrain.Diagnostics, *runfolder.Record)
		want   string // "" means no hint
	}{
		"healthy":         {func(*metatrain.Diagnostics, *runfolder.Record) {}, ""},
		"small gradients": {func(d *metatrain.Diagnostics, _ *runfolder.Record) { d.Validation.Inputs.SmallGradients = 0.89 }, "89 % of gradients fall below exp(-p) = 0.0067, where the network cannot tell their sizes: try a larger --p than 5"},
		"not quite":       {func(d *metatrain.Diagnostics, _ *runfolder.Record) { d.Validation.Inputs.SmallGradients = 0.49 }, ""},
		"small in a file": {func(d *metatrain.Diagnostics, r *runfolder.Record) {
			d.Validation.Inputs.SmallGradients, r.Init = 0.6, "a.mopt"
		}, "try to start from a network with a larger --p"},
		"small in training alone": {func(d *metatrain.Diagnostics, _ *runfolder.Record) { d.Training.Inputs.SmallGradients = 0.9 }, ""},
		"other inputs":            {func(d *metatrain.Diagnostics, _ *runfolder.Record) { d.Validation.Inputs = nil }, ""},
		"diverged": {func(d *metatrain.Diagnostics, _ *runfolder.Record) {
			d.Validation.NonFinite = metatrain.NonFinite{Count: 5, Of: 8, First: []metatrain.NonFiniteEvent{{Step: 12, What: "loss"}}}
		}, "5 of 8 validation runs left the finite numbers, the first at step 12 (loss): try a lower --scale"},
		"some diverged": {func(d *metatrain.Diagnostics, _ *runfolder.Record) {
			d.Validation.NonFinite = metatrain.NonFinite{Count: 3, Of: 8, First: []metatrain.NonFiniteEvent{{Step: 12, What: "loss"}}}
		}, ""},
		"flat":      {func(d *metatrain.Diagnostics, _ *runfolder.Record) { d.Validation.ZeroGradients = 1 }, "all gradients that were looked at are 0"},
		"tiny":      {func(d *metatrain.Diagnostics, _ *runfolder.Record) { d.Validation.UpdateRMS = 3e-8 }, "updates are about 3e-08 in size, which float32 parameters hardly notice: try a larger --scale than 0.1"},
		"saturated": {func(d *metatrain.Diagnostics, _ *runfolder.Record) { d.Validation.Gates[1].G = 0.93 }, "93 % of layer 2's g activations are saturated, and no slope gets through them: try a lower --meta-lr than 0.003"},
		"saturated start": {func(d *metatrain.Diagnostics, r *runfolder.Record) {
			d.Validation.Gates[0].O, r.Start.InputGain = 0.95, 30
		}, "95 % of layer 1's o activations are saturated, and no slope gets through them: try a lower --gain or --input-gain"},
		"vanished":    {func(d *metatrain.Diagnostics, _ *runfolder.Record) { d.Training.MetaGradient.MeanNorm = 9e-8 }, "the meta-gradient has a norm of 9e-08, too little for Adam to step by: try --objective log"},
		"nearly":      {func(d *metatrain.Diagnostics, _ *runfolder.Record) { d.Training.MetaGradient.MeanNorm = 2e-7 }, ""},
		"clipped":     {func(d *metatrain.Diagnostics, _ *runfolder.Record) { d.Training.MetaGradient.Clipped = 1 }, ""}, // clipping is usual on quadratics
		"no training": {func(d *metatrain.Diagnostics, _ *runfolder.Record) { d.Training = nil }, ""},
		"no window":   {func(d *metatrain.Diagnostics, _ *runfolder.Record) { d.Training.MetaGradient = nil }, ""},
		"nothing seen": {func(d *metatrain.Diagnostics, _ *runfolder.Record) {
			d.Validation = &metatrain.Diagnosis{UpdateRMS: compare.Number(math.NaN())}
		}, ""},
		"worst is said": {func(d *metatrain.Diagnostics, _ *runfolder.Record) {
			d.Validation.Inputs.SmallGradients = 0.9
			d.Validation.Gates[0].I = 1
		}, "exp(-p)"},
	} {
		d, r := healthy(), record
		c.change(d, &r)
		got := hint(r, d, 100, runfolder.Start{Gain: 1, InputGain: 1})
		if c.want == "" && got != "" || !strings.Contains(got, c.want) || strings.Contains(got, "\n") {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if got := hint(record, nil, 100, runfolder.Start{Gain: 1, InputGain: 1}); got != "" {
		t.Errorf("without diagnostics: %q", got)
	}
}

// A training that can only get worse prints a hint in one line. A training that improves prints none.
func TestTrainingsGiveHints(t *testing.T) {
	t.Chdir(t.TempDir())
	hints := func(args ...string) (found []string) {
		a := succeed(t, append(append([]string{"meta-train", "--meta-steps", "5", "--rules", "none"}, small...), args...)...)
		for line := range strings.Lines(a.stderr) {
			if strings.Contains(line, "than its start") || strings.Contains(line, "was better") {
				found = append(found, line)
			}
		}
		return found
	}
	worse := []string{"--meta-lr", "100", "--scale", "10"}
	if got := hints(append(worse, "--out", "worse")...); len(got) != 1 || !strings.HasPrefix(got[0], "training found nothing better than its start: ") ||
		!strings.Contains(got[0], "activations are saturated, and no slope gets through them: try a lower --meta-lr than 100") {
		t.Errorf("hints %q", got)
	}
	log := lines(t, filepath.Join("worse", logFile))
	gates := log[len(log)-2]["diagnostics"].(map[string]any)["validation"].(map[string]any)["gates"].([]any)[0].(map[string]any)
	if gates["i"].(float64) < manySaturated && gates["g"].(float64) < manySaturated && gates["o"].(float64) < manySaturated {
		t.Errorf("the log says that gates saturate as %v", gates)
	}
	if got := hints("--meta-lr", "0.001"); got != nil {
		t.Errorf("a training that improves gets the hints %q", got)
	}
	if got := hints(append(worse, "--quiet")...); got != nil {
		t.Errorf("with --quiet: %q", got)
	}
}
