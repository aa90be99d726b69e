package nearest

import "testing"

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"adam", "adam", 0}, {"", "sgd", 3}, {"sgd", "", 3}, {"sgd", "sdg", 1}, {"kitten", "sitting", 3}, {"minst", "mnist", 1}, {"tahn", "tanh", 1},
		{"adam", "dam", 1}, {"dam", "adam", 1}, {"abc", "xyz", 3}, {"intention", "execution", 5},
	} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("from %q to %q: %d edits, want %d", c.a, c.b, got, c.want)
		}
	}
}

// A hint is for names that are similar: adam is not mlp misspelt.
func TestDidYouMean(t *testing.T) {
	names := []string{"mlp", "quadratic", "general", "cifar10-grey", "fashion-mnist"}
	for s, want := range map[string]string{
		"adam": ".", "fig7": ".", "x": ".", "": ".", "quadratics": `, did you mean "quadratic"?`, "Genral": `, did you mean "general"?`, "mpl": `, did you mean "mlp"?`,
		"fashion": `, did you mean "fashion-mnist"?`, "cifar": `, did you mean "cifar10-grey"?`, "ml": `, did you mean "mlp"?`, "fa": ".",
	} {
		if got := DidYouMean(s, names); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
	if got := DidYouMean("x", nil); got != "." {
		t.Errorf("without names: %q", got)
	}
}

func TestName(t *testing.T) {
	names := []string{"sgd", "adam", "AdaGrad", "rmsprop"}
	for s, want := range map[string]string{"addam": "adam", "ADAM": "adam", "adagrad": "AdaGrad", "rms-prop": "rmsprop", "sgd": "sgd", "xyz": "sgd"} {
		if got := Name(s, names); got != want {
			t.Errorf("nearest to %q: %q, want %q", s, got, want)
		}
	}
}
