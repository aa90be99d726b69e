package metaopt_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"learnedopt/optimizer"
)

// family makes a family of a function.
type family func(rng *rand.Rand) (optimizer.Problem, error)

func (f family) Name() string                                     { return "test" }
func (f family) Sample(rng *rand.Rand) (optimizer.Problem, error) { return f(rng) }

// only is the family of one problem.
func only(p optimizer.Problem) family {
	return func(*rand.Rand) (optimizer.Problem, error) { return p, nil }
}

func near(a, b, tol float64) bool { return math.Abs(a-b) <= tol*(1+math.Abs(b)) }

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 99)) }
