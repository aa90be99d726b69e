package metatrain

import "testing"

// What a hand-designed rule's zero fields meant in a state of the first form is written out, in the order of the fields.
func TestRulesOfTheFirstForm(t *testing.T) {
	for old, want := range map[string]string{
		"estimator: metaopt.Imitation{Teacher baselines.Momentum{LearningRate 0.05}, Probability 0.5}": "estimator: metatrain.Imitation{Teacher baselines.Momentum{LearningRate 0.05, Momentum 0.9}, Probability 0.5}",
		"estimator: metaopt.Imitation{Teacher baselines.Nesterov{Momentum 0.5}}":                       "estimator: metatrain.Imitation{Teacher baselines.Nesterov{LearningRate 0.001, Momentum 0.5}}",
		"estimator: metaopt.ES{Objective metaopt.Relative{Rule baselines.RMSProp{}}}":                  "estimator: metatrain.ES{Objective metatrain.Relative{Rule baselines.RMSProp{LearningRate 0.01, Alpha 0.99}}}",
		"estimator: metaopt.ES{Objective metaopt.Relative{Rule baselines.RMSProp{Alpha 0.5}}}":         "estimator: metatrain.ES{Objective metatrain.Relative{Rule baselines.RMSProp{LearningRate 0.01, Alpha 0.5}}}",
		"estimator: metaopt.ES{Objective metaopt.Relative{Rule baselines.Adam{}}}":                     "estimator: metatrain.ES{Objective metatrain.Relative{Rule baselines.Adam{LearningRate 0.001}}}",
		"estimator: metaopt.ES{Objective metaopt.Relative{Rule baselines.AdaGrad{Epsilon 1e-05}}}":     "estimator: metatrain.ES{Objective metatrain.Relative{Rule baselines.AdaGrad{LearningRate 0.01, Epsilon 1e-05}}}",
		"estimator: metaopt.ES{Objective metaopt.Relative{Rule baselines.SGD{LearningRate 2}}}":        "estimator: metatrain.ES{Objective metatrain.Relative{Rule baselines.SGD{LearningRate 2}}}",
	} {
		if got := modern(old); got != want {
			t.Errorf("%s\nbecomes %s\nwant    %s", old, got, want)
		}
	}
}
