package lstm

import (
	"testing"

	"learnedopt/optimizer/optimizertest"
)

// TestConformance runs the suite that every rule passes; it includes that
// permuting coordinates permutes updates, exactly.
func TestConformance(t *testing.T) {
	for _, cfg := range append(configs, Config{}) {
		net, _ := pair(t, cfg, 2)
		t.Run(name(cfg), func(t *testing.T) { optimizertest.Conform(t, net) })
	}
}
