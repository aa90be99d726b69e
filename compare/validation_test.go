package compare

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"learnedopt/optimizer"
)

// A script is a problem of one coordinate with a given loss for each step t. After the last one the loss is NaN.
type script struct {
	losses []float64
	t      int
}

func (s *script) Dim() int             { return 1 }
func (s *script) Init(theta []float32) {}
func (s *script) Seek(t int)           { s.t = t }
func (s *script) LossGrad(_, grad []float32) (float64, error) {
	s.t++
	if s.t > len(s.losses) {
		return math.NaN(), nil
	}
	return s.losses[s.t-1], nil
}

// scripts is a family whose instance i has the i-th losses.
type scripts [][]float64

func (scripts) Name() string { return "scripts" }
func (f scripts) Sample(rng *rand.Rand) (optimizer.Problem, error) {
	return &script{losses: f[rng.Uint64()]}, nil
}

// at is a random source that always returns i.
type at uint64

func (i at) Uint64() uint64 { return uint64(i) }

// still is a rule that never moves.
type still struct{}

func (still) Needs() optimizer.Needs                 { return optimizer.Needs{} }
func (still) Start(optimizer.Layout) optimizer.State { return still{} }
func (still) Update(dst []float32, _ optimizer.Point) (optimizer.Move, error) {
	clear(dst)
	return 0, nil
}

func (f scripts) validate(ctx context.Context, selection string, horizons ...int) (Score, []HorizonScore, error) {
	return Validation{
		Family: f, Instance: func(i int) *rand.Rand { return rand.New(at(i)) }, Runs: len(f), Horizons: horizons, Selection: selection,
	}.Score(ctx, still{})
}

// Two instances at horizons 1 and 3. The mean losses of the first are 3 and 2, of the second 300 and 200. The runs
// have fewer than five losses, so final and mean loss are equal.
func TestValidationOfSeveralHorizons(t *testing.T) {
	f := scripts{{4, 2, 1, 1}, {400, 200, 100, 100}}
	for _, c := range []struct {
		selection          string
		short, long, total float64 // Loss
	}{
		{SelectMean, 151.5, 101, 126.25},
		{SelectGeometric, 30, 20, math.Sqrt(600)},
		{SelectGeometricBoth, 30, 20, math.Sqrt(600)},
	} {
		score, parts, err := f.validate(t.Context(), c.selection, 1, 3)
		if err != nil || len(parts) != 2 || parts[0].Steps != 1 || parts[1].Steps != 3 {
			t.Fatalf("%s: %+v, %v", c.selection, parts, err)
		}
		for i, want := range []float64{c.short, c.long} {
			if got := float64(parts[i].Loss()); math.Abs(got-want) > 1e-12*want {
				t.Errorf("%s: loss %v at %d steps, want %v", c.selection, got, parts[i].Steps, want)
			}
		}
		if got := float64(score.Loss()); math.Abs(got-c.total) > 1e-12*c.total {
			t.Errorf("%s: loss %v, want %v", c.selection, got, c.total)
		}
		if score.MeanLoss != 126.25 || score.Diverged != 0 {
			t.Errorf("%s: %+v", c.selection, score)
		}
	}
}

// A run of seven losses has a mean loss of (1+1+5·8)/7 = 6 and, over its last five losses, a final loss of 8.
func TestGeometricBothReadsTheEnd(t *testing.T) {
	score, _, err := scripts{{1, 1, 8, 8, 8, 8, 8}}.validate(t.Context(), SelectGeometricBoth, 6)
	if err != nil || math.Abs(float64(score.Loss())-math.Sqrt(48)) > 1e-12 || score.MeanLoss != 6 || score.FinalLoss != 8 {
		t.Errorf("%+v, %v", score, err)
	}
}

// The geometric mean of the mean losses does not depend on the final losses.
func TestGeometricDoesNotReadTheEnd(t *testing.T) {
	score, _, err := scripts{{1, 1, 8, 8, 8, 8, 8}, {24, 24, 24, 24, 24, 24, 24}}.validate(t.Context(), SelectGeometric, 6)
	if err != nil || math.Abs(float64(score.Loss())-12) > 1e-12 {
		t.Errorf("%+v, %v; want √(6·24)", score, err)
	}
}

// Scaling the losses of one instance by a factor scales the geometric mean of every network by the same factor, so
// their order stays. The order of arithmetic means can change.
func TestGeometricSelectionIsScaleFree(t *testing.T) {
	loss := func(selection string, scale, easy, hard float64) Number {
		score, _, err := scripts{{easy, easy}, {scale * hard, scale * hard}}.validate(t.Context(), selection, 1)
		if err != nil {
			t.Fatal(err)
		}
		return score.Loss()
	}
	for _, scale := range []float64{1e-6, 1, 1e6} {
		// One network halves the easy instance's loss, another takes a tenth off the hard one's.
		if a, b := loss(SelectGeometric, scale, 0.5, 1), loss(SelectGeometric, scale, 1, 0.9); a >= b {
			t.Errorf("scale %v: %v is not below %v", scale, a, b)
		}
	}
	if loss(SelectMean, 1e6, 0.5, 1) < loss(SelectMean, 1e6, 1, 0.9) {
		t.Error("the hard instance does not dominate the mean: this test shows nothing")
	}
}

// A run that diverges at step 2 has a finite score at horizon 1, and +Inf at horizons 2 and 3.
func TestDivergenceCountsFromWhereItIs(t *testing.T) {
	for _, selection := range Selections() {
		score, parts, err := scripts{{4, 2}, {4, 2, 1, 1}}.validate(t.Context(), selection, 1, 2, 3)
		if err != nil {
			t.Fatal(err)
		}
		if parts[0].Diverged != 0 || math.Abs(float64(parts[0].Loss())-3) > 1e-12 {
			t.Errorf("%s: horizon 1 is %+v", selection, parts[0])
		}
		for _, p := range append(parts[1:], HorizonScore{0, score}) {
			if p.Diverged != 1 || !math.IsInf(float64(p.Loss()), 1) || !math.IsInf(float64(p.FinalLoss), 1) {
				t.Errorf("%s: horizon %d is %+v, want +Inf", selection, p.Steps, p)
			}
		}
	}
}

func TestGeometricMeanOfWhatHasNone(t *testing.T) {
	f := scripts{{1, -4}}
	if _, _, err := f.validate(t.Context(), SelectGeometric, 1); err == nil || !strings.Contains(err.Error(), "select by the mean") {
		t.Errorf("error %v of a negative loss", err)
	}
	if score, _, err := f.validate(t.Context(), SelectMean, 1); err != nil || score.Loss() != -1.5 {
		t.Errorf("%v, %v", score, err)
	}
	// The score of a solved problem is finite and lower than any other.
	score, _, err := scripts{{0, 0}, {1, 1}}.validate(t.Context(), SelectGeometric, 1)
	if err != nil || !(score.Geometric > 0 && score.Geometric < 1e-150) {
		t.Errorf("%v, %v", score, err)
	}
}
