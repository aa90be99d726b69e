package sweep

import (
	"errors"
	"slices"
	"testing"
)

// Any text is either a valid configuration file or a *ConfigError.
func FuzzReadFile(f *testing.F) {
	for _, seed := range []string{
		"task = \"quadratic\"\noptimizers = [\n \"a.mopt\", # the first\n]\nsteps = 50\n[axes]\nsteps = [10, 1_000]\n\"loss-scale\" = [0.5, 2]\n",
		"axes = { units = [5] }", "axes.units = [5]\naxes.layers = [1]", "steps = 1e400", "[axes]\nsteps = [[1]]", "steps = 1979-05-27T07:32:00Z", "\"axes\".\"units\" = 1\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := parse("sweep.toml", data, keys)
		var wrong *ConfigError
		switch {
		case err != nil && !errors.As(err, &wrong):
			t.Errorf("%T: %v", err, err)
		case err == nil:
			for _, s := range file.Settings {
				if !slices.Contains(keys, s.Key) {
					t.Errorf("a setting %q", s.Key)
				}
			}
			for _, a := range file.Axes {
				if len(a.Values) == 0 {
					t.Errorf("axis %s has no value", a.Key)
				}
			}
		}
	})
}
