package recipe

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"learnedopt/internal/stream"
	"learnedopt/metatrain"
	"learnedopt/optimizer"
	"learnedopt/tasks"
)

// Training episodes draw the task and the further tasks equally often, and with tensor scaling every second one is
// rescaled. Validations draw their own tasks, never rescaled. The counts are within four standard deviations.
func TestSeveralTasksAreDrawn(t *testing.T) {
	const draws = 3000
	counts := func(family optimizer.Family) map[string]float64 {
		n := map[string]float64{}
		for i := range uint64(draws) {
			p, err := family.Sample(stream.New(1, "test", i))
			if err != nil {
				t.Fatal(err)
			}
			kind := fmt.Sprint(p.Dim())
			if strings.Contains(fmt.Sprintf("%T", p), "rescaled") {
				kind += ", rescaled"
			}
			n[kind]++
		}
		return n
	}
	base := Recipe{Task: tasks.MustParse("quadratic dims=3 batch=1"), MetaSteps: 5, Also: "quadratic dims=4 batch=1 | quadratic dims=5 batch=1"}
	with := func(change func(*Recipe)) metatrain.TrainConfig {
		r := base
		change(&r)
		cfg, err := r.Config(Local{})
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	plain, scaled := with(func(*Recipe) {}), with(func(r *Recipe) { r.TensorScaling = 0.5 })
	other := with(func(r *Recipe) {
		r.TensorScaling, r.ValidTask = 0.5, "quadratic dims=6 batch=1 | quadratic dims=7 batch=1"
	})
	thirds, halves := map[string]float64{"3": 1. / 3, "4": 1. / 3, "5": 1. / 3}, map[string]float64{"6": 0.5, "7": 0.5}
	sixths := map[string]float64{"3": 1. / 6, "4": 1. / 6, "5": 1. / 6, "3, rescaled": 1. / 6, "4, rescaled": 1. / 6, "5, rescaled": 1. / 6}
	for name, c := range map[string]struct {
		family optimizer.Family
		want   map[string]float64
	}{
		"training": {plain.Family, thirds}, "validation": {plain.Valid, thirds},
		"training with tensor scaling": {scaled.Family, sixths}, "validation with tensor scaling": {scaled.Valid, thirds},
		"training with other validations": {other.Family, sixths}, "other validations": {other.Valid, halves},
	} {
		got := counts(c.family)
		for kind, n := range got {
			p := c.want[kind]
			if d := math.Abs(n - draws*p); !(d <= 4*math.Sqrt(draws*p*(1-p))) {
				t.Errorf("%s: %v of %d problems have dimensions %s, want %v", name, n, draws, kind, draws*p)
			}
		}
		if len(got) != len(c.want) {
			t.Errorf("%s: %v, want the shares %v", name, got, c.want)
		}
	}
}
