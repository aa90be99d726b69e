package baselines

import (
	"encoding/json"
	"fmt"
	"math"

	"learnedopt/optimizer"
)

// A Tuned is a rule at its best learning rate, with the results for the whole grid. Its
// JSON form is complete: reading it makes Rule anew from Name and LearningRate.
type Tuned struct {
	// Name is one of Names().
	Name string `json:"name"`
	// Rule is the rule at LearningRate, with its defaults otherwise; nil if
	// every learning rate diverged.
	Rule optimizer.Rule `json:"-"`
	// LearningRate is the best rate of the grid, and the lowest of several equally good rates.
	// It is 0 if every rate diverged.
	LearningRate float64 `json:"learning_rate"`
	// AtEdge reports that the best rate is the first or the last of the grid. A
	// better rate may then lie outside, and the grid should be wider.
	AtEdge bool `json:"at_edge"`
	// Family is the family's name; Steps, Runs and Seed are the values that were used.
	Family string `json:"family"`
	Steps  int    `json:"steps"`
	Runs   int    `json:"runs"`
	Seed   uint64 `json:"seed"`
	// Grid has one point for each learning rate tried, ascending.
	Grid []GridPoint `json:"grid"`
}

// A GridPoint is the result for one learning rate.
type GridPoint struct {
	LearningRate float64
	// MeanLoss is the mean of f(θ_0) … f(θ_T), averaged over all instances;
	// +Inf if any run diverged. Tuning minimizes it.
	MeanLoss float64
	// FinalLoss is the mean of the last five of these losses, averaged over all
	// instances; +Inf if any run diverged.
	FinalLoss float64
	// Diverged is the number of runs that diverged.
	Diverged int
}

// best returns the index of the point with the smallest finite mean loss, -1 if there is none.
func (t Tuned) best() int {
	best, least := -1, math.Inf(1)
	for i, p := range t.Grid {
		if p.MeanLoss < least {
			best, least = i, p.MeanLoss
		}
	}
	return best
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *Tuned) UnmarshalJSON(data []byte) error {
	type fields Tuned // without this method
	var f fields
	if err := json.Unmarshal(data, &f); err != nil {
		return err
	}
	if f.LearningRate != 0 {
		rule, err := New(f.Name, f.LearningRate)
		if err != nil {
			return err
		}
		f.Rule = rule
	}
	*t = Tuned(f)
	return nil
}

// A gridPointJSON has null for +Inf, which JSON cannot write.
type gridPointJSON struct {
	LearningRate float64  `json:"learning_rate"`
	MeanLoss     *float64 `json:"mean_loss"`
	FinalLoss    *float64 `json:"final_loss"`
	Diverged     int      `json:"diverged"`
}

// MarshalJSON implements json.Marshaler; a loss of +Inf becomes null.
func (p GridPoint) MarshalJSON() ([]byte, error) {
	j := gridPointJSON{LearningRate: p.LearningRate, Diverged: p.Diverged}
	if !math.IsInf(p.MeanLoss, 1) {
		j.MeanLoss = &p.MeanLoss
	}
	if !math.IsInf(p.FinalLoss, 1) {
		j.FinalLoss = &p.FinalLoss
	}
	return json.Marshal(j)
}

// UnmarshalJSON implements json.Unmarshaler; null, or no loss, becomes +Inf.
func (p *GridPoint) UnmarshalJSON(data []byte) error {
	var j gridPointJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	*p = GridPoint{LearningRate: j.LearningRate, MeanLoss: math.Inf(1), FinalLoss: math.Inf(1), Diverged: j.Diverged}
	if j.MeanLoss != nil {
		p.MeanLoss = *j.MeanLoss
	}
	if j.FinalLoss != nil {
		p.FinalLoss = *j.FinalLoss
	}
	return nil
}

// An UntunableError says that a rule diverged at every learning rate.
type UntunableError struct {
	Name            string
	Lowest, Highest float64 // the ends of the grid
}

// Error implements error.
func (e *UntunableError) Error() string {
	return fmt.Sprintf("baselines: tune: %s diverged on some instance at every learning rate from %v to %v; extend the grid downwards",
		e.Name, e.Lowest, e.Highest)
}
