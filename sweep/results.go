package sweep

import (
	"cmp"
	"slices"

	"learnedopt/compare"
)

// Results are a sweep's records, compared. Its JSON is what metaopt sweep --json prints.
type Results struct {
	*Manifest
	Cells []CellResult `json:"cells"`
	// Summaries has an entry for each learned rule.
	Summaries []Summary `json:"summaries"`
	// Missing counts the records that are not there: of cells to come, or of rules that no
	// learning rate suited.
	Missing int `json:"missing"`
}

// A CellResult is what is known of a cell.
type CellResult struct {
	Cell
	// Records are in the order of Manifest.Rules, without those that are missing.
	Records []Record `json:"records"`
	// Duels has an entry for each learned rule that has a record.
	Duels []Duel `json:"duels"`
}

// A Duel compares a learned rule with the best tuned one of a cell.
type Duel struct {
	Rule      string         `json:"rule"`
	MeanLoss  compare.Number `json:"mean_loss"`
	FinalLoss compare.Number `json:"final_loss"`
	Diverged  int            `json:"diverged"`
	// Best is the tuned rule of the fewest divergences and then the least mean loss, on these
	// instances; "" if the cell has none. Choosing it after the fact favours it.
	Best         string         `json:"best"`
	BestMeanLoss compare.Number `json:"best_mean_loss"`
	Ratio        Ratio          `json:"ratio"`
	// SpeedUp is against SpeedUpAgainst, the ReachRule tuned in the cell, or else on the base
	// task; nil if there is none, or the learned rule diverged.
	SpeedUp        *SpeedUp `json:"speed_up"`
	SpeedUpAgainst string   `json:"speed_up_against"`
}

// Load reads the results of a sweep's folder, finished or not. It takes no lock: what is being
// written meanwhile is left out.
func Load(dir string) (*Results, error) {
	m, err := ReadManifest(dir)
	if err != nil {
		return nil, err
	}
	records, err := readRecords(dir)
	if err != nil {
		return nil, err
	}
	return m.Results(records), nil
}

// Results compares the records of the sweep among some; others are left aside.
func (m *Manifest) Results(records map[string]Record) *Results {
	res := &Results{Manifest: m, Missing: m.Missing(records)}
	for _, cell := range m.Cells {
		c := CellResult{Cell: cell}
		for k, key := range cell.Keys {
			if r, ok := m.recorded(records, key); ok {
				// What is shown may be called otherwise than when it ran.
				rate := r.Rule.LearningRate
				r.Rule, r.Cell = m.Rules[k], cell.Values
				r.Rule.LearningRate = rate
				c.Records = append(c.Records, r)
			}
		}
		for i := range c.Records {
			if c.Records[i].Rule.Kind == compare.Learned {
				c.Duels = append(c.Duels, c.duel(&c.Records[i]))
			}
		}
		res.Cells = append(res.Cells, c)
	}
	for _, r := range m.Rules {
		if r.Kind == compare.Learned {
			res.Summaries = append(res.Summaries, res.summary(r.Name))
		}
	}
	return res
}

// result is a record as metaopt's comparisons know it.
func (r *Record) result() compare.Result {
	res := compare.Result{Name: r.Rule.Name, Kind: r.Rule.Kind, MeanLosses: r.MeanLosses, FinalLosses: r.FinalLosses, Diverged: r.Diverged}
	for i := range r.MeanLosses {
		res.MeanLoss += r.MeanLosses[i] / compare.Number(len(r.MeanLosses))
		res.FinalLoss += r.FinalLosses[i] / compare.Number(len(r.FinalLosses))
	}
	return res
}

// duel pairs a learned record with each tuned one, which it notes in the record, and with
// the best of them.
func (c *CellResult) duel(learned *Record) Duel {
	own := learned.result()
	d := Duel{Rule: own.Name, MeanLoss: own.MeanLoss, FinalLoss: own.FinalLoss, Diverged: own.Diverged}
	all := compare.Comparison{Runs: learned.Runs, Seed: learned.Seed, Rules: []compare.Result{own}}
	learned.Paired, learned.SpeedUp = map[string]Ratio{}, map[string]SpeedUp{}
	for i := range c.Records {
		r := &c.Records[i]
		if r.Rule.Kind != compare.Baseline {
			continue
		}
		one := compare.Comparison{Runs: learned.Runs, Seed: learned.Seed, Rules: []compare.Result{own, r.result()}}
		one.Pair()
		learned.Paired[r.Rule.Name] = ratioOf(one.Paired[0])
		all.Rules = append(all.Rules, r.result())
		if s, ok := r.speedUp(own.FinalLoss); ok {
			learned.SpeedUp[r.Rule.Name] = s
			if d.SpeedUp == nil || r.Rule.Tuned == TuneCell {
				d.SpeedUp, d.SpeedUpAgainst = &s, r.Rule.Name
			}
		}
	}
	all.Pair()
	if len(all.Paired) > 0 {
		d.Best, d.Ratio = all.Paired[0].Against, learned.Paired[all.Paired[0].Against]
		i := slices.IndexFunc(all.Rules, func(r compare.Result) bool { return r.Name == d.Best && r.Kind == compare.Baseline })
		d.BestMeanLoss = all.Rules[i].MeanLoss
	}
	return d
}

// badness orders duels: a ratio, 0 where the best tuned rule diverged and the learned one did not.
func (d *Duel) badness() compare.Number {
	if d.Diverged == 0 && !d.BestMeanLoss.Finite() {
		return 0
	}
	return d.Ratio.Ratio
}

func ratioOf(p compare.Paired) Ratio {
	r := Ratio{Ratio: p.Ratio, CI95: p.RatioCI95, Verdict: p.Verdict}
	if r.Verdict == compare.Undecided {
		r.Verdict = Open
	}
	return r
}

// A Summary counts what became of a learned rule's cells.
type Summary struct {
	Rule string `json:"rule"`
	// Cells are those that were compared; Won, Lost and Open are their parts.
	Cells int `json:"cells"`
	Won   int `json:"won"`
	Lost  int `json:"lost"`
	Open  int `json:"open"`
	// Worst is the index, among Results.Cells, of the cell with the most divergences and then the
	// largest ratio; -1 if there is none.
	Worst int `json:"worst"`
	// SpeedUps are the cells', by their factors, ascending; lower bounds count as what they are at least
	// and follow what equals them.
	SpeedUps []SpeedUp `json:"speed_ups"`
}

func (res *Results) summary(rule string) Summary {
	s := Summary{Rule: rule, Worst: -1, SpeedUps: []SpeedUp{}}
	var worst *Duel
	for i, c := range res.Cells {
		k := slices.IndexFunc(c.Duels, func(d Duel) bool { return d.Rule == rule })
		if k < 0 || c.Duels[k].Best == "" {
			continue
		}
		d := &c.Duels[k]
		s.Cells++
		switch d.Ratio.Verdict {
		case compare.Won:
			s.Won++
		case compare.Lost:
			s.Lost++
		default:
			s.Open++
		}
		if worst == nil || d.Diverged > worst.Diverged || d.Diverged == worst.Diverged && d.badness() > worst.badness() {
			worst, s.Worst = d, i
		}
		if d.SpeedUp != nil {
			s.SpeedUps = append(s.SpeedUps, *d.SpeedUp)
		}
	}
	slices.SortStableFunc(s.SpeedUps, func(a, b SpeedUp) int {
		censored := func(x SpeedUp) int {
			if x.Censored {
				return 1
			}
			return 0
		}
		return cmp.Or(cmp.Compare(a.Factor, b.Factor), censored(a)-censored(b))
	})
	return s
}

// MedianSpeedUp is the median of SpeedUps' factors, the lower one of two; atLeast says that it is a
// lower bound, since a lower bound is among those up to it. ok is false if there is none.
func (s Summary) MedianSpeedUp() (factor float64, atLeast, ok bool) {
	if len(s.SpeedUps) == 0 {
		return 0, false, false
	}
	middle := (len(s.SpeedUps) - 1) / 2
	atLeast = slices.ContainsFunc(s.SpeedUps[:middle+1], func(x SpeedUp) bool { return x.Censored })
	return s.SpeedUps[middle].Factor, atLeast, true
}

// Name is the cell's values in the order of the axes: "units=20 layers=2".
func (m *Manifest) Name(c Cell) string {
	text := ""
	for _, a := range m.Axes {
		if text != "" {
			text += " "
		}
		text += a.Key + "=" + c.Values[a.Key]
	}
	if text == "" {
		return c.Task
	}
	return text
}
