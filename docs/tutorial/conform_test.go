package tutorial

import (
	"testing"

	"learnedopt/optimizer/optimizertest"
)

func TestLogistics(t *testing.T) { optimizertest.ConformFamily(t, Logistics{}) }

func TestSign(t *testing.T) { optimizertest.Conform(t, Sign{Length: 0.1}) }
