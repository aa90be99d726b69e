package nearest

import "testing"

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"adam", "adam", 0}, {"", "sgd", 3}, {"sgd", "", 3}, {"sgd", "sdg", 2}, {"kitten", "sitting", 3}, {"minst", "mnist", 2},
		{"adam", "dam", 1}, {"dam", "adam", 1}, {"abc", "xyz", 3}, {"intention", "execution", 5},
	} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("from %q to %q: %d edits, want %d", c.a, c.b, got, c.want)
		}
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
