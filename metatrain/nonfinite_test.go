package metatrain

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"learnedopt/lstm"
	"learnedopt/optimizer"
)

// A cracked dish has a non-finite loss at its second step.
type cracked struct{ dish }

func (c *cracked) LossGrad(theta, grad []float32) (float64, error) {
	f, err := c.dish.LossGrad(theta, grad)
	if slices.Max(theta) != 0 || slices.Min(theta) != 0 {
		f = math.NaN()
	}
	return f, err
}

// some is a family of dishes. The k-th sampled dish is cracked if the function returns true for k.
type some struct {
	sampled int
	cracked func(k int) bool
}

func (s *some) Name() string { return "some" }
func (s *some) Sample(rng *rand.Rand) (optimizer.Problem, error) {
	p, err := dishes{}.Sample(rng)
	s.sampled++
	if s.cracked(s.sampled - 1) {
		return &cracked{*p.(*dish)}, err
	}
	return p, err
}

func onSome(batch int, policy string, which func(k int) bool) TrainConfig {
	return TrainConfig{
		Family: &some{cracked: which}, Valid: dishes{}, Network: lstm.Config{Hidden: 4, Inputs: lstm.Raw},
		Steps: 4, Unroll: 2, MetaSteps: 30, ValidEvery: 10, ValidRuns: 1, Batch: batch, OnNonFinite: policy,
	}
}

// The skip limit counts meta-steps, whatever their number of windows: a meta-batch of 25 non-finite windows counts as one.
// So a rollback happens before the limit of 20 ends the training.
func TestSkipLimitCountsMetaSteps(t *testing.T) {
	const batch = 25
	for _, policy := range []string{SkipNonFinite, RollbackNonFinite} {
		cfg := onSome(batch, policy, func(k int) bool { return k < 3*batch })
		diverged := 0
		cfg.OnEvent = func(e Event) {
			if e.Kind == EventDiverged {
				diverged++
			}
		}
		trainer := begin(t, cfg)
		if _, err := trainer.Train(t.Context()); err != nil || trainer.MetaSteps() != 30 || diverged != 3*batch {
			t.Errorf("%s: %v at meta-step %d after %d windows", policy, err, trainer.MetaSteps(), diverged)
		}
	}
	for _, c := range []struct {
		limit, batch, tries int
		cracked             func(k int) bool
		want                MetaDivergedError // but for Last
		policy, text        string
	}{
		{3, 2, 3, func(int) bool { return true }, MetaDivergedError{Skipped: 3}, SkipNonFinite, "3 meta-steps in a row without a finite window"},
		{1, 2, 1, func(int) bool { return true }, MetaDivergedError{Skipped: 1}, SkipNonFinite, "non-finite values in a window"},
		{3, 2, 3, func(int) bool { return true }, MetaDivergedError{Returns: 3}, RollbackNonFinite, "3 returns to the last good validation"},
		// One finite window of two: no meta-step is skipped, all are rolled back.
		{3, 2, 3, func(k int) bool { return k%2 == 0 }, MetaDivergedError{Returns: 3}, RollbackNonFinite, "3 returns to the last good validation"},
		{3, 2, 1, func(k int) bool { return k == 1 }, MetaDivergedError{Skipped: 1}, StopNonFinite, "non-finite values in a window"},
	} {
		cfg := onSome(c.batch, c.policy, c.cracked)
		cfg.SkipLimit = c.limit
		trainer := begin(t, cfg)
		var err error
		tries := 0
		for ; err == nil && tries < 10; tries++ {
			err = trainer.Step(t.Context())
		}
		var got *MetaDivergedError
		if !errors.As(err, &got) || got.Last == nil || tries != c.tries {
			t.Errorf("%s, limit %d: %v after %d tries", c.policy, c.limit, err, tries)
			continue
		}
		c.want.Last = got.Last
		if *got != c.want || !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), got.Last.Error()) {
			t.Errorf("%s, limit %d: %+v: %v", c.policy, c.limit, got, err)
		}
	}
	// Only meta-steps in a row count: a finite one in between resets the count.
	cfg := onSome(1, SkipNonFinite, func(k int) bool { return k%3 != 2 })
	cfg.SkipLimit, cfg.ValidEvery = 3, 1000
	trainer := begin(t, cfg)
	for range 60 {
		if err := trainer.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if trainer.MetaSteps() < 20 {
		t.Errorf("%d meta-steps", trainer.MetaSteps())
	}
}

// A rollback restores φ and Adam's moments from the last validation in which no run diverged. If there is none, it
// restores them from the first validation.
func TestRollbackGoesBackToTheLastGoodValidation(t *testing.T) {
	for _, firstIsBad := range []bool{false, true} {
		bad, crackedNow := firstIsBad, false
		cfg := onSome(2, RollbackNonFinite, func(int) bool { return crackedNow })
		cfg.Valid = &some{cracked: func(int) bool { return bad }}
		trainer := begin(t, cfg)
		at := func() (string, []byte) {
			meta, err := marshalState(trainer.meta)
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprint(trainer.phi), meta
		}
		steps := func(n int) {
			for range n {
				if err := trainer.Step(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		validate := func(diverged bool) {
			bad = diverged
			score, err := trainer.Validate(t.Context())
			if err != nil || (score.Diverged > 0) != diverged {
				t.Fatal(err, score)
			}
		}
		steps(3)
		validate(firstIsBad)
		phi, meta := at()
		steps(3)
		if !firstIsBad {
			validate(true) // a validation with a divergence makes no safe point
			steps(3)
		}
		if p, m := at(); p == phi || bytes.Equal(m, meta) {
			t.Fatal("nothing moved: no test")
		}
		rollBack := func() {
			before := trainer.MetaSteps()
			for crackedNow = true; trainer.rollbacks == 0; { // when the running episodes end
				steps(1)
			}
			crackedNow = false
			if trainer.MetaSteps() < before {
				t.Error("the number of meta-steps is set back")
			}
		}
		rollBack()
		if p, m := at(); p != phi || !bytes.Equal(m, meta) {
			t.Errorf("first validation bad %v: φ is the good one's: %v, Adam's moments are: %v", firstIsBad, p == phi, bytes.Equal(m, meta))
		}
		if got := fmt.Sprint(trainer.Network().Params()); got != phi {
			t.Error("the network is another one than φ")
		}
		// After the rollback, a later validation makes a new safe point.
		steps(3)
		validate(false)
		phi, meta = at()
		if trainer.rollbacks != 0 {
			t.Errorf("%d returns to a point that is new", trainer.rollbacks)
		}
		steps(3)
		rollBack()
		if p, m := at(); p != phi || !bytes.Equal(m, meta) {
			t.Error("no return to the second good validation")
		}
	}
}
