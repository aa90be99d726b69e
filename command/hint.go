package command

import (
	"fmt"
	"math"

	"learnedopt/metatrain"
	"learnedopt/runfolder"
)

// The thresholds for hints: shares and sizes.
const (
	manySmall     = 0.5
	manySaturated = 0.9
	tinyUpdate    = 1e-6 // 8 units in the last place of a float32 parameter of 1
	adamEpsilon   = 1e-8 // the ε of Adam on φ: smaller gradients give smaller steps
)

// hint looks in the last diagnostics for a number that explains why a training does not improve. It returns the explanation
// with a flag to try, or "" if no number stands out. parameters is the number of the network's parameters. usual is the
// default start of a network.
func hint(r runfolder.Record, d *metatrain.Diagnostics, parameters int, usual runfolder.Start) string {
	if d == nil {
		return ""
	}
	percent := func(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) }
	// With --init, the network's options cannot be changed.
	try := func(change string) string {
		if r.Init != "" {
			return "try to start from a network with " + change
		}
		return "try " + change
	}
	v := d.Validation
	if n := v.NonFinite; n.Count > 0 && 2*n.Count >= n.Of {
		where := n.First[0]
		return fmt.Sprintf("%d of %d validation runs left the finite numbers, the first at step %d (%s): %s", n.Count, n.Of, where.Step, where.What, try("a lower --scale"))
	}
	if v.Sampled > 0 && v.ZeroGradients == 1 {
		return "all gradients that were looked at are 0: there is nothing to learn from in this task"
	}
	if in := v.Inputs; in != nil && in.SmallGradients >= manySmall {
		return fmt.Sprintf("%s of gradients fall below exp(-p) = %.2g, where the network cannot tell their sizes: %s",
			percent(in.SmallGradients), math.Exp(-r.Network.P), try("a larger --p than "+fmt.Sprint(r.Network.P)))
	}
	if v.UpdateRMS.Finite() && v.UpdateRMS < tinyUpdate && v.Sampled > 0 {
		return fmt.Sprintf("updates are about %.2g in size, which float32 parameters hardly notice: %s", float64(v.UpdateRMS), try("a larger --scale than "+fmt.Sprint(r.Network.Scale)))
	}
	for k, g := range v.Gates {
		// f is left out: forget gates with a long memory are saturated by design.
		for _, gate := range []struct {
			name  string
			share float64
		}{{"i", g.I}, {"g", g.G}, {"o", g.O}} {
			if gate.share < manySaturated {
				continue
			}
			change := "a lower --meta-lr than " + fmt.Sprint(r.MetaLearningRate)
			if r.Init == "" && (r.Start.Gain > usual.Gain || r.Start.InputGain > usual.InputGain) {
				change = "a lower --gain or --input-gain"
			}
			return fmt.Sprintf("%s of layer %d's %s activations are saturated, and no slope gets through them: try %s", percent(gate.share), k+1, gate.name, change)
		}
	}
	if d.Training == nil || d.Training.MetaGradient == nil {
		return ""
	}
	m := d.Training.MetaGradient
	if float64(m.MeanNorm) < adamEpsilon*math.Sqrt(float64(parameters)) {
		return fmt.Sprintf("the meta-gradient has a norm of %.2g, too little for Adam to step by: try --objective log, or a longer --unroll", float64(m.MeanNorm))
	}
	return "" // clipping alone explains nothing: it also happens in trainings that go well
}
