package metatrain

import (
	"fmt"
	"reflect"
	"strings"
)

// settings returns the settings on which a training's result depends, as lines of text. Zero fields of structs are left
// out. So a later version can add fields, and trainings saved before still match.
func (t *Trainer) settings() string {
	cfg := t.cfg
	lines := []string{
		"network: " + describe(reflect.ValueOf(t.net.Config())),
		"family: " + cfg.Family.Name(), "validation: " + cfg.Valid.Name(),
		"estimator: " + describe(reflect.ValueOf(cfg.Estimator)),
		fmt.Sprintf("episodes: seed %d, %d steps, unroll %d, random %v, horizons %v, patience %d, batch %d",
			cfg.Seed, cfg.Steps, cfg.Unroll, cfg.RandomSteps, cfg.Horizons, cfg.StagePatience, cfg.Batch),
		fmt.Sprintf("meta-steps: rate %v, warm-up %d, fraction %v by %d, clip %v", cfg.MetaLearningRate, cfg.WarmUp, cfg.FinalFraction, cfg.DecaySteps, cfg.Clip),
		fmt.Sprintf("selection: every %d, %d runs, steps %v, %s", cfg.ValidEvery, cfg.ValidRuns, cfg.ValidSteps, cfg.Selection),
	}
	if cfg.HideLength > 0 {
		lines = append(lines, fmt.Sprintf("hidden lengths: %v", cfg.HideLength))
	}
	return strings.Join(lines, "\n")
}

// firstDifference returns the first pair of lines in which two texts differ. If one text is only longer, it returns both
// texts. If they are equal, it returns two empty strings.
func firstDifference(a, b string) (string, string) {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(as), len(bs)) {
		if as[i] != bs[i] {
			return as[i], bs[i]
		}
	}
	if len(as) != len(bs) {
		return a, b
	}
	return "", ""
}

// describe returns a value's type and its exported non-zero fields as text. It follows pointers and interfaces.
func describe(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Interface, reflect.Pointer:
		if v.IsNil() {
			return "nil"
		}
		return describe(v.Elem())
	case reflect.Struct:
		var fields []string
		for i := range v.NumField() {
			if field := v.Type().Field(i); field.IsExported() && !v.Field(i).IsZero() {
				fields = append(fields, field.Name+" "+describe(v.Field(i)))
			}
		}
		return v.Type().String() + "{" + strings.Join(fields, ", ") + "}"
	}
	if v.IsValid() && v.CanInterface() {
		return fmt.Sprint(v.Interface())
	}
	return "nil"
}
