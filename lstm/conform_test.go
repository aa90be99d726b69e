package lstm

import (
	"testing"

	"learnedopt/optimizer/optimizertest"
)

// TestConformance runs the suite for rules. It includes the check that permuting
// the coordinates permutes the updates, exactly.
func TestConformance(t *testing.T) {
	for _, cfg := range append(configs, Config{}) {
		net, _ := pair(t, cfg, 2)
		t.Run(name(cfg), func(t *testing.T) { optimizertest.Conform(t, net) })
	}
	for _, cfg := range sighted {
		suite := optimizertest.Conform
		if cfg.eyes() {
			suite = optimizertest.ConformTensors
		}
		net, _ := pair(t, cfg, 2)
		t.Run(name(cfg), func(t *testing.T) { suite(t, net) })
	}
}
