package metatrain

import (
	"reflect"
	"testing"

	"learnedopt/baselines"
	"learnedopt/lstm"
)

// Settings of the first form are converted to the settings that the same training has today.
func TestSettingsOfTheFirstForm(t *testing.T) {
	for was, now := range map[string]any{
		"TruncatedBackprop{SecondDerivatives true, AdjointClip 2, Objective nil, Coordinates 0}":            TruncatedBackprop{SecondDerivatives: true, AdjointClip: 2},
		"TruncatedBackprop{SecondDerivatives false, AdjointClip 0, Objective metaopt.Log{}, Coordinates 7}": &TruncatedBackprop{Objective: Log{}, Coordinates: 7},
		"ES{Perturbation 0, Pairs 0, Objective nil}":                                                        ES{},
		"PES{Perturbation 0.5, Pairs 10, Objective metaopt.Relative{Rule nil}}":                             PES{Perturbation: 0.5, Pairs: 10, Objective: Relative{}},
		"Imitation{Teacher nil, Probability 0, Estimator nil}":                                              Imitation{Probability: 0.5},
		"Imitation{Teacher baselines.Momentum{LearningRate 0, Momentum 0}, Probability 0.25, Estimator metaopt.PES{Perturbation 0, Pairs 2, Objective nil}}": &Imitation{
			Teacher: baselines.Momentum{LearningRate: 0.001, Momentum: 0.9}, Probability: 0.25, Estimator: &PES{Pairs: 2}},
		"ES{Perturbation 0, Pairs 0, Objective metaopt.Relative{Rule baselines.Nesterov{LearningRate 0.1, Momentum 0.5}}}": ES{
			Objective: Relative{Rule: baselines.Nesterov{LearningRate: 0.1, Momentum: 0.5}}},
		"ES{Perturbation 0, Pairs 0, Objective metaopt.Relative{Rule baselines.SGD{LearningRate 0}}}": ES{Objective: Relative{Rule: baselines.SGD{LearningRate: 0.001}}},
		"ES{Perturbation 0, Pairs 0, Objective metaopt.Relative{Rule baselines.AdaGrad{LearningRate 0, Epsilon 0}}}": ES{
			Objective: Relative{Rule: baselines.AdaGrad{LearningRate: 0.01}}},
		"ES{Perturbation 0, Pairs 0, Objective metaopt.Relative{Rule baselines.RMSProp{LearningRate 0, Alpha 0, Epsilon 1e-06}}}": ES{
			Objective: Relative{Rule: baselines.RMSProp{LearningRate: 0.01, Alpha: 0.99, Epsilon: 1e-6}}},
		"Imitation{Teacher baselines.Adam{LearningRate 0.01, Beta1 0, Beta2 0, Epsilon 0}, Probability 1, Estimator nil}": Imitation{
			Teacher: baselines.Adam{LearningRate: 0.01}, Probability: 1},
		"Imitation{Teacher baselines.Adam{LearningRate 0.01, Beta1 0.5, Beta2 0, Epsilon 0}, Probability 1, Estimator nil}": Imitation{
			Teacher: baselines.Adam{LearningRate: 0.01, Betas: [2]float64{0.5, 0.999}}, Probability: 1},
		"Imitation{Teacher baselines.Adam{LearningRate 0.01, Beta1 0, Beta2 0.9, Epsilon 0.1}, Probability 1, Estimator nil}": Imitation{
			Teacher: baselines.Adam{LearningRate: 0.01, Betas: [2]float64{0.9, 0.9}, Epsilon: 0.1}, Probability: 1},
	} {
		if got, want := upgradeSettings("estimator: metaopt."+was), "estimator: "+describe(reflect.ValueOf(now)); got != want {
			t.Errorf("%s\n became %s\n   want %s", was, got, want)
		}
	}
	for was, now := range map[string]lstm.Config{
		"{Inputs:logsign P:5 SignP:5 Dense:0 Hidden:4 Layers:2 NoLSTM:false Readout:linear Scale:0.1 Anneal:0}": {Hidden: 4},
		"{Inputs:logsign+rnnprop+clock P:2.5 SignP:1 Dense:3 Hidden:20 Layers:1 NoLSTM:false Readout:tanh Scale:10 Anneal:200}": {
			Inputs: lstm.LogAndSign | lstm.RNNProp | lstm.Clock, P: 2.5, SignP: 1, Dense: 3, Layers: 1, Readout: lstm.Tanh, Scale: 10, Anneal: 200},
		"{Inputs:raw P:5 SignP:5 Dense:0 Hidden:0 Layers:0 NoLSTM:true Readout:exp Scale:1 Anneal:0}": {Inputs: lstm.Raw, NoLSTM: true, Readout: lstm.Exp, Scale: 1},
	} {
		net, err := lstm.Size(now)
		if err != nil {
			t.Fatal(err)
		}
		made, err := lstm.NewNetwork(now, make([]float32, net))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := upgradeSettings("network: "+was), "network: "+describe(reflect.ValueOf(made.Config())); got != want {
			t.Errorf("%s\n became %s\n   want %s", was, got, want)
		}
	}
	// A line that describes neither network nor estimator stays as it is, even if it looks like one.
	if s := "family: metaopt. Dims 0, x\nepisodes: seed 0, 20 steps"; upgradeSettings(s) != s {
		t.Errorf("%q", upgradeSettings(s))
	}
}
